//! What members report of messages, and what moderators of the tenant make of it.

use std::collections::HashMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::{Timestamp, UserId};

crate::string_enum! {
    /// What is wrong with a message.
    pub enum ReportReason {
        /// Nobody asked for it.
        Spam => "spam",
        /// It insults or threatens somebody.
        Harassment => "harassment",
        /// It shows violence, or calls for it.
        Violence => "violence",
        /// It is sexual.
        Sexual => "sexual",
        /// Somebody may harm itself.
        SelfHarm => "self_harm",
        /// It is against the law.
        Illegal => "illegal",
        /// As the comment says.
        Other => "other",
    }
}

crate::string_enum! {
    /// What came of a report.
    pub enum ReportOutcome {
        /// Nothing: the message may stay.
        Dismissed => "dismissed",
        /// The message was removed.
        Removed => "removed",
        /// Its sender was banned or muted.
        Restricted => "restricted",
        /// Something else, outside of here.
        Other => "other",
    }
}

/// Body of `message.report`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportMessage {
    /// Which message.
    pub seq: i64,
    /// What is wrong with it.
    pub reason: ReportReason,
    /// Encrypted under the reporter's data key.
    #[serde(default)]
    pub comment: Option<Bytes>,
    /// Keyed hash of the comment, so that the same report again is known as such.
    #[serde(default)]
    pub fingerprint: Option<Bytes>,
}

/// Body of `message.reported`: all that the actor says of the message, instead of what it said before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Which message.
    pub seq: i64,
    /// What is wrong with it.
    pub reason: ReportReason,
    /// Encrypted under the reporter's data key.
    #[serde(default)]
    pub comment: Option<Bytes>,
    /// Keyed hash of the comment.
    #[serde(default)]
    pub fingerprint: Option<Bytes>,
    /// Who sent the message, for when it is there no more.
    pub sender: UserId,
    /// Since when the message waits for a moderator: the first report after the newest resolution.
    pub opened_at: Timestamp,
}

/// Body of `report.resolve` and `report.resolved`: the actor's word on all that was reported of a message until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// Which message.
    pub seq: i64,
    /// What came of it.
    pub outcome: ReportOutcome,
    /// The newest report that the actor has seen; none: whatever there was.
    #[serde(default)]
    pub last_at: Option<Timestamp>,
}

/// What is known of the reports of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports {
    /// Since when it waits for a moderator; none: it was resolved, or never reported.
    pub opened_at: Option<Timestamp>,
    /// The newest report.
    pub last_at: Option<Timestamp>,
    /// How it was resolved last.
    pub outcome: Option<ReportOutcome>,
    /// What single members said, as far as that was looked up. None: nothing.
    pub said: HashMap<UserId, Option<Said>>,
    /// Whether `said` is of everybody, as the message was seen from its beginning.
    pub complete: bool,
}

/// What a member said of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// See [`Report::reason`].
    pub reason: ReportReason,
    /// See [`Report::fingerprint`].
    pub fingerprint: Option<Bytes>,
}

impl Reports {
    /// Whether anybody ever reported the message.
    pub const fn are_any(&self) -> bool {
        self.opened_at.is_some() || self.outcome.is_some()
    }

    /// Whether it is known what `user` said.
    pub fn know(&self, user: UserId) -> bool {
        self.complete || self.said.contains_key(&user)
    }

    /// Applies `message.reported`.
    pub fn report(&mut self, by: UserId, at: Timestamp, report: &Report) {
        (self.opened_at, self.last_at) = (Some(report.opened_at), Some(at));
        let said = Said { reason: report.reason, fingerprint: report.fingerprint.clone() };
        self.said.insert(by, Some(said));
    }

    /// Applies `report.resolved`.
    pub fn resolve(&mut self, resolution: Resolution) {
        (self.opened_at, self.outcome) = (None, Some(resolution.outcome));
    }
}
