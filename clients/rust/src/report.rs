//! What members reported, as moderators of the tenant read it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::types::{Message, nullable};

/// A page of reported messages.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ReportsPage {
    /// One for each message: the longest waiting first, or resolved last first.
    pub reported: Vec<Reported>,
    /// For the next page.
    pub cursor: Option<String>,
    /// There are more.
    #[serde(deserialize_with = "nullable")]
    pub has_more: bool,
}

/// A message that was reported.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Reported {
    /// `cnv_…`.
    pub conversation: String,
    /// `direct`, `group` or `channel`.
    #[serde(deserialize_with = "nullable")]
    pub kind: String,
    /// Absent for a direct one.
    pub name: Option<String>,
    /// Its number among the messages.
    pub seq: u64,
    /// Who sent it, also when it was removed.
    #[serde(deserialize_with = "nullable")]
    pub sender: String,
    /// As it is now.
    pub message: Message,
    /// How many members have reported it; 1,000: that many or more.
    pub count: u64,
    /// How many of these gave which reason.
    pub reasons: BTreeMap<String, u64>,
    /// The newest reports, the newest first.
    pub reports: Vec<Report>,
    /// Since when it waits, RFC 3339.
    pub opened_at: String,
    /// The newest report, RFC 3339.
    pub last_at: String,
    /// The newest resolution, if there ever was one.
    pub resolution: Option<Resolution>,
}

/// What a member said of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Report {
    /// `usr_…`.
    pub user: String,
    /// `spam`, `harassment`, `violence`, `sexual`, `self_harm`, `illegal` or `other`.
    #[serde(deserialize_with = "nullable")]
    pub reason: String,
    /// In its own words.
    pub comment: Option<String>,
    /// RFC 3339.
    pub at: String,
}

/// What a moderator made of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Resolution {
    /// `dismissed`, `removed`, `restricted` or `other`.
    #[serde(deserialize_with = "nullable")]
    pub outcome: String,
    /// Which moderator, `usr_…`.
    #[serde(deserialize_with = "nullable")]
    pub by: String,
    /// RFC 3339.
    pub at: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_message_and_what_is_unknown_are_fine() {
        let page = r#"{"reported": [{"conversation": "cnv_1", "kind": "direct", "name": null, "seq": 2, "sender": "usr_1",
            "message": {"conversation": "cnv_1", "seq": 2, "deleted": true}, "count": 1, "reasons": {"later": 1}, "later": 7,
            "reports": [{"user": "usr_2", "reason": "later", "comment": null, "at": "2026-11-21T16:20:00.000Z"}],
            "resolution": null}], "cursor": null, "has_more": false}"#;
        let page: ReportsPage = serde_json::from_str(page).expect("reads");
        let reported = &page.reported[0];
        assert!(reported.message.deleted && reported.resolution.is_none());
        assert_eq!((reported.reasons["later"], reported.reports[0].comment.as_ref()), (1, None));
    }
}
