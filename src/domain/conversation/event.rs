//! What happens in a conversation. The structs are also the bodies of `ConversationEvent` records.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::UserId;
use crate::domain::policy::{ConversationKind, Role};

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The first event of every conversation.
    Created(ConversationCreated),
    /// A message.
    Sent(MessageSent),
    /// New members.
    Joined(MemberJoined),
    /// Former members.
    Left(MemberLeft),
    /// A read pointer moved. Not of the timeline.
    Read(Read),
}

impl Event {
    /// The `type` on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Created(_) => "conversation.created",
            Self::Sent(_) => "message.sent",
            Self::Joined(_) => "member.joined",
            Self::Left(_) => "member.left",
            Self::Read(_) => "receipt.read",
        }
    }

    /// The number of the message that this event adds, else 0.
    pub const fn seq(&self) -> i64 {
        match self {
            Self::Sent(sent) => sent.seq,
            _ => 0,
        }
    }
}

/// Body of `conversation.created`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConversationCreated {
    /// Direct, group or channel.
    pub kind: ConversationKind,
    /// Encrypted under the conversation's key.
    #[serde(default)]
    pub name: Option<Bytes>,
    /// All first members; their slots are 0, 1, 2 … in this order.
    pub members: Vec<MemberRole>,
}

/// A member and its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRole {
    /// Who.
    pub user: UserId,
    /// As what.
    pub role: Role,
}

/// Body of `message.sent`. The sender is the event's actor, whose read pointer moves to `seq`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageSent {
    /// Number of the message: 1, 2, 3 … without a gap.
    pub seq: i64,
    /// As the client named it.
    pub client_id: Uuid,
    /// Encrypted under the sender's data key.
    #[serde(default)]
    pub text: Option<Bytes>,
    /// `seq` of the message that this one answers.
    #[serde(default)]
    pub reply_to: Option<i64>,
    /// `seq` of the message whose thread this one is in.
    #[serde(default)]
    pub thread: Option<i64>,
    /// User ids, `all` or `here`.
    #[serde(default)]
    pub mentions: Vec<String>,
}

/// Body of `member.joined`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberJoined {
    /// Who joined; their slots are `first_slot`, `first_slot + 1` … in this order.
    pub users: Vec<UserId>,
    /// All of them have this one.
    pub role: Role,
    /// Slots number members compactly for large rosters, and are never used again.
    pub first_slot: i64,
    /// Where their read pointers start: the conversation's newest message.
    pub read_seq: i64,
}

crate::string_enum! {
    /// Why a membership ended.
    pub enum LeaveReason {
        /// By oneself.
        Left => "left",
        /// By an owner or admin.
        Removed => "removed",
    }
}

/// Body of `member.left`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberLeft {
    /// Whose membership ended.
    pub users: Vec<UserId>,
    /// Why.
    pub reason: LeaveReason,
    /// Who became owner because the last one left.
    #[serde(default)]
    pub promoted: Option<UserId>,
}

/// The actor's pointers, both of them, as `receipts` keeps one record a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// The newest message read.
    pub read_seq: i64,
    /// The newest message that reached a device.
    pub delivered_seq: i64,
}
