//! What was reported, as moderators of the tenant see it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{FRAME_BYTES, ID_BYTES, Message, Opener, rfc3339};
use crate::crypto::Field;
use crate::domain::conversation::{ReportOutcome, ReportReason};
use crate::domain::policy::ConversationKind;
use crate::domain::{ConversationId, Timestamp, UserId};
use crate::gateway::ports::{MessageRow, OpenError, ReportedRow, ResolutionRow, SaidRow};

/// A message that was reported.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ReportedMessage {
    /// Where.
    conversation: ConversationId,
    /// Direct, group or channel.
    kind: ConversationKind,
    /// The conversation's name; none of a direct one.
    name: Option<String>,
    /// Which message.
    seq: i64,
    /// Who sent it, also when it was removed.
    sender: UserId,
    /// As it is now.
    message: Message,
    /// How many members have reported it; 1,000: that many or more.
    count: i64,
    /// How many of these said what.
    reasons: BTreeMap<ReportReason, i64>,
    /// The newest 20, the newest first.
    reports: Vec<MemberReport>,
    /// Since when it waits: the first report that no resolution was of.
    #[serde(serialize_with = "rfc3339")]
    opened_at: Timestamp,
    /// The newest report.
    #[serde(serialize_with = "rfc3339")]
    last_at: Timestamp,
    /// The newest, if it was ever resolved.
    resolution: Option<Resolved>,
}

/// What a member says of a message.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct MemberReport {
    /// Who.
    user: UserId,
    /// What is wrong with it.
    reason: ReportReason,
    /// In its own words.
    comment: Option<String>,
    /// When.
    #[serde(serialize_with = "rfc3339")]
    at: Timestamp,
}

/// What a moderator made of it.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
struct Resolved {
    /// What came of it.
    outcome: ReportOutcome,
    /// Which moderator said so.
    by: UserId,
    /// When.
    #[serde(serialize_with = "rfc3339")]
    at: Timestamp,
}

impl Opener<'_> {
    /// Opens a message that was reported, and what was said of it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn reported(&self, row: ReportedRow) -> Result<ReportedMessage, OpenError> {
        let (conversation, seq) = (row.conversation, row.seq);
        let said = row.said.into_iter().map(|said| self.member_report(conversation, said));
        let resolved = |ResolutionRow { outcome, by, at }| Resolved { outcome, by, at };
        Ok(ReportedMessage {
            conversation,
            kind: row.kind,
            name: self.shown(conversation, Field::Name, row.name)?,
            seq,
            sender: row.sender,
            message: match row.message {
                Some(message) => self.message(conversation, message)?,
                None => Message::removed(conversation, seq),
            },
            count: row.reasons.iter().map(|(_, count)| count).sum(),
            reasons: row.reasons.into_iter().collect(),
            reports: said.collect::<Result<_, _>>()?,
            opened_at: row.opened_at,
            last_at: row.last_at,
            resolution: row.resolution.map(resolved),
        })
    }

    fn member_report(&self, conversation: ConversationId, said: SaidRow) -> Result<MemberReport, OpenError> {
        let SaidRow { user, reason, comment, at } = said;
        let comment = comment.map(|comment| {
            let place = self.place(conversation, comment.causation);
            self.keyring.open_written(place, user, Field::Comment, &comment.bytes)
        });
        Ok(MemberReport { user, reason, comment: comment.transpose()?, at })
    }
}

impl ReportedRow {
    /// About how long it will be, for pages.
    pub fn bytes(&self) -> usize {
        let comments = self.said.iter().filter_map(|said| said.comment.as_ref());
        let said: usize = comments.map(|comment| comment.bytes.len()).sum::<usize>() + self.said.len() * 3 * ID_BYTES;
        FRAME_BYTES + self.message.as_ref().map_or(0, MessageRow::bytes) + said
    }
}
