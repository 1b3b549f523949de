//! The public records: what analysts, workers and rebuilds read.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::conversation::{ConversationCreated, Event, MemberJoined, MemberLeft, MessageSent};
use crate::domain::user::Profile;
use crate::domain::{CommandId, ConversationId, EventId, TenantId, Timestamp, UserId};

/// What happened in a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConversationEvent {
    /// Unique, and the same on every replay.
    pub event_id: EventId,
    /// As the protocol names it.
    pub r#type: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// In which conversation.
    pub conversation: ConversationId,
    /// 1, 2, 3 … there.
    pub position: i64,
    /// Who did it.
    pub actor: UserId,
    /// The broker's time of the command.
    pub occurred_at: Timestamp,
    /// The command.
    pub causation: CommandId,
    /// W3C trace context.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// With partition and index: the order of all events of a journal.
    pub epoch: i32,
    /// Journal partition.
    pub partition: i32,
    /// 1, 2, 3 … over the partition's accepted records.
    pub index: i64,
    /// The conversation's newest message after this.
    pub last_seq: i64,
    /// Body.
    #[serde(default)]
    pub conversation_created: Option<ConversationCreated>,
    /// Body.
    #[serde(default)]
    pub message_sent: Option<MessageSent>,
    /// Body.
    #[serde(default)]
    pub member_joined: Option<MemberJoined>,
    /// Body.
    #[serde(default)]
    pub member_left: Option<MemberLeft>,
}

/// The bodies of a [`ConversationEvent`], at most one of them set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// Body.
    pub conversation_created: Option<ConversationCreated>,
    /// Body.
    pub message_sent: Option<MessageSent>,
    /// Body.
    pub member_joined: Option<MemberJoined>,
    /// Body.
    pub member_left: Option<MemberLeft>,
}

impl From<Event> for Body {
    fn from(event: Event) -> Self {
        let mut body = Self::default();
        match event {
            Event::Created(created) => body.conversation_created = Some(created),
            Event::Sent(sent) => body.message_sent = Some(sent),
            Event::Joined(joined) => body.member_joined = Some(joined),
            Event::Left(left) => body.member_left = Some(left),
            Event::Read(_) => {}
        }
        body
    }
}

impl ConversationEvent {
    /// The event, or none if this program does not know its type.
    pub fn event(&self) -> Option<Event> {
        Some(match self.r#type.as_str() {
            "conversation.created" => Event::Created(self.conversation_created.clone()?),
            "message.sent" => Event::Sent(self.message_sent.clone()?),
            "member.joined" => Event::Joined(self.member_joined.clone()?),
            "member.left" => Event::Left(self.member_left.clone()?),
            _ => return None,
        })
    }
}

/// Both pointers of a member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Unique.
    pub event_id: EventId,
    /// Whose it is.
    pub tenant: TenantId,
    /// In which conversation.
    pub conversation: ConversationId,
    /// Whose pointers.
    pub user: UserId,
    /// The newest message read.
    pub read_seq: i64,
    /// The newest message that reached a device.
    pub delivered_seq: i64,
    /// The broker's time of the command.
    pub occurred_at: Timestamp,
    /// The command.
    pub causation: CommandId,
    /// W3C trace context.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// As in [`ConversationEvent`].
    pub epoch: i32,
    /// Journal partition.
    pub partition: i32,
    /// As in [`ConversationEvent`].
    pub index: i64,
}

/// What happened to a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserEvent {
    /// Unique, and the same on every replay.
    pub event_id: EventId,
    /// `user.registered` or `user.updated`.
    pub r#type: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// 1, 2, 3 … of the user.
    pub position: i64,
    /// Who did it.
    pub actor: UserId,
    /// The broker's time of the command.
    pub occurred_at: Timestamp,
    /// The command.
    pub causation: CommandId,
    /// W3C trace context.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// As in [`ConversationEvent`].
    pub epoch: i32,
    /// Journal partition.
    pub partition: i32,
    /// As in [`ConversationEvent`].
    pub index: i64,
    /// Body.
    #[serde(default)]
    pub user_registered: Option<Profile>,
    /// Body.
    #[serde(default)]
    pub user_updated: Option<Profile>,
}

/// A data key, wrapped by a master key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// Whose key.
    pub user: UserId,
    /// 1, 2, 3 … within the user.
    pub version: i32,
    /// Which master key wraps it.
    pub master: String,
    /// Nonce and sealed key.
    pub wrapped: Bytes,
    /// The broker's time of the command.
    pub created_at: Timestamp,
    /// As in [`ConversationEvent`].
    pub epoch: i32,
    /// Journal partition.
    pub partition: i32,
    /// As in [`ConversationEvent`].
    pub index: i64,
}
