//! What must be known of a conversation to decide.

use std::collections::HashMap;

use uuid::Uuid;

use crate::domain::decision::Done;
use crate::domain::policy::{self, Action, ConversationKind, Role};
use crate::domain::{ConversationId, Rejection, TenantId, Timestamp, UserId};

/// A conversation's members, counters and recent client ids.
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
    /// Sends that a retry could repeat: the younger than 5 minutes and what the view lacks.
    pub sent: HashMap<(UserId, Uuid), Sent>,
}

/// A member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Standing.
    pub role: Role,
    /// Number in the roster.
    pub slot: i64,
    /// The newest message read.
    pub read_seq: i64,
    /// The newest message that reached a device.
    pub delivered_seq: i64,
}

/// What a send was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Number of the message.
    pub seq: i64,
    /// Number of its event.
    pub position: i64,
    /// Time of its event.
    pub at: Timestamp,
}

impl Conversation {
    /// Whether `user` may do `action` here.
    ///
    /// # Errors
    /// As [`policy::allow`].
    pub fn allow(&self, user: UserId, action: Action) -> Result<(), Rejection> {
        policy::allow(self.kind, self.members.get(&user).map(|m| m.role), action)
    }

    /// The answer to a change that is in effect already.
    pub fn already(&self) -> Done {
        Done { position: self.last_position, seq: 0, at: self.last_at, duplicate: true }
    }

    /// Forgets sends whose client id was made before `before`.
    pub fn forget_sends(&mut self, before: Timestamp) {
        self.sent.retain(|(_, client_id), _| Timestamp::of_uuid(*client_id).is_some_and(|made| made >= before));
    }
}
