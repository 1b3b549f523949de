//! What travels to gateways, and to the push worker.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::{ConversationId, EventId, IncarnationId, SessionId, TenantId, Timestamp, UserId};

/// What one gateway writes to its sockets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// For which gateway incarnation; any other drops it.
    pub incarnation: IncarnationId,
    /// The journal's topic, empty for a signal.
    pub journal: String,
    /// Journal partition.
    pub partition: i32,
    /// Journal offset after the record this is of.
    pub next_offset: i64,
    /// A framed `ConversationEvent`, `Receipt` or `Signal`.
    #[serde(default)]
    pub record: Option<Bytes>,
    /// Users with sessions there: 16 bytes each, the bits of their ids.
    pub recipients: Bytes,
    /// For the command that came through this gateway.
    #[serde(default)]
    pub reply: Option<Reply>,
}

impl Delivery {
    /// The users of [`Delivery::recipients`].
    pub fn users(&self) -> impl Iterator<Item = UserId> + '_ {
        self.recipients.as_chunks::<16>().0.iter().map(|bits| UserId::from_bytes(*bits))
    }
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The gateway's own number for what waits.
    pub reference: i64,
    /// Set if refused.
    #[serde(default)]
    pub code: Option<String>,
    /// For people, if refused.
    pub message: String,
    /// `cnv_…` or `usr_…`.
    pub aggregate: String,
    /// As `ok` tells it.
    pub position: i64,
    /// As `ok` tells it, 0 for none.
    pub seq: i64,
    /// As `ok` tells it.
    pub at: Timestamp,
    /// As `ok` tells it.
    pub duplicate: bool,
    /// When it may work, if refused for now.
    #[serde(default)]
    pub retry_after_ms: Option<i64>,
}

/// What the owners of a sequencer have seen, for `caught_up`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Marks {
    /// For which gateway incarnation.
    pub incarnation: IncarnationId,
    /// Whose partitions.
    pub journal: String,
    /// One a partition.
    pub marks: Vec<Mark>,
}

/// How far the owner of one partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Journal partition.
    pub partition: i32,
    /// Of the journal.
    pub epoch: i32,
    /// Rises with each owner; a lower one is a zombie's.
    pub term: i64,
    /// `sessions` was read up to here before the owner routed anything.
    pub sessions_from: i64,
    /// Journal offset from which the owner routes.
    pub routed_from: i64,
    /// `sessions` is read up to here by now.
    pub sessions_offset: i64,
    /// Journal offset up to which everything accepted is delivered.
    pub reached_offset: i64,
}

/// Something happened for a user who has no socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Whose it is.
    pub tenant: TenantId,
    /// The key of the record.
    pub user: UserId,
    /// Where.
    pub conversation: ConversationId,
    /// With the user it tells repetitions.
    pub event_id: EventId,
    /// `message.sent` …
    pub r#type: String,
    /// Of the event.
    pub position: i64,
    /// Of the message, 0 for none.
    pub seq: i64,
    /// Who did it.
    pub actor: UserId,
    /// Of the event.
    pub occurred_at: Timestamp,
}

/// Something happened in a conversation of very many, for those of its members who were not reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrowdNotification {
    /// Whose it is.
    pub tenant: TenantId,
    /// The key of the record: where.
    pub conversation: ConversationId,
    /// With the user it tells repetitions.
    pub event_id: EventId,
    /// `message.sent` …
    pub r#type: String,
    /// Of the event: it is for who was a member then.
    pub position: i64,
    /// Of the message, 0 for none.
    pub seq: i64,
    /// Who did it, and is not told.
    pub actor: UserId,
    /// Of the event.
    pub occurred_at: Timestamp,
    /// Slots of the members that it reached: a Roaring bitmap in its portable format.
    pub reached: Bytes,
}

/// What is shown and forgotten.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// `typing`.
    pub r#type: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where.
    pub conversation: ConversationId,
    /// Who.
    pub actor: UserId,
    /// Which hears nothing of it.
    pub session: SessionId,
    /// Whether the actor is typing.
    pub active: bool,
    /// By the gateway's clock; an old one is dropped.
    pub at: Timestamp,
}
