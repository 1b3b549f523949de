//! What must be known of a conversation to decide.

use std::collections::{BTreeSet, HashMap};

use super::event::Settings;
use super::known::Known;
use crate::domain::decision::Done;
use crate::domain::policy::{self, Action, ConversationKind, History, Role};
use crate::domain::{ConversationId, Rejection, TenantId, Timestamp, UserId};

/// A conversation's members and counters, and what is known of its messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Direct, group or channel.
    pub kind: ConversationKind,
    /// Present members.
    pub members: HashMap<UserId, Member>,
    /// The slot of the next member.
    pub next_slot: i64,
    /// The newest event of the timeline.
    pub last_position: i64,
    /// The newest message.
    pub last_seq: i64,
    /// The time of the newest event.
    pub last_at: Timestamp,
    /// What new members see of what was said before they came.
    pub history: History,
    /// Pinned messages.
    pub pins: BTreeSet<i64>,
    /// Single messages and sends.
    pub known: Known,
}

/// A member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Standing.
    pub role: Role,
    /// Number in the roster.
    pub slot: i64,
    /// The newest message when it came.
    pub joined_seq: i64,
    /// The newest message read.
    pub read_seq: i64,
    /// The newest message that reached a device.
    pub delivered_seq: i64,
    /// How it sees the conversation.
    pub settings: Settings,
}

impl Member {
    /// One that has just come, and has nothing to read up to `read_seq`.
    pub fn new(role: Role, slot: i64, read_seq: i64) -> Self {
        let settings = Settings::default();
        Self { role, slot, joined_seq: read_seq, read_seq, delivered_seq: read_seq, settings }
    }
}

impl Conversation {
    /// Whether `user` may do `action` here.
    ///
    /// # Errors
    /// As [`policy::allow`].
    pub fn allow(&self, user: UserId, action: Action) -> Result<(), Rejection> {
        policy::allow(self.kind, self.members.get(&user).map(|m| m.role), action)
    }

    /// Whether `user` may see message `seq`: it is there, and was not sent before the user came where that is hidden.
    pub fn shows(&self, user: UserId, seq: i64) -> bool {
        let from = match self.history {
            History::All => 1,
            History::SinceJoin => self.members.get(&user).map_or(i64::MAX, |member| member.joined_seq + 1),
        };
        (from..=self.last_seq).contains(&seq)
    }

    /// The answer to a change that is in effect already.
    pub fn already(&self) -> Done {
        Done { position: self.last_position, seq: 0, at: self.last_at, duplicate: true }
    }
}
