//! What can be asked of a conversation. The structs are also the bodies of `ConversationCommand` records.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::policy::ConversationKind;
use crate::domain::{ConversationId, TenantId, Timestamp, UserId};

/// A command with what surrounds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Whose conversation it is.
    pub tenant: TenantId,
    /// Which one; the key of the record.
    pub conversation: ConversationId,
    /// Who asks, as the gateway authenticated it.
    pub actor: UserId,
    /// When the broker appended the command.
    pub at: Timestamp,
    /// What is asked.
    pub command: Command,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make the conversation.
    Create(CreateConversation),
    /// Send a message.
    Send(SendMessage),
    /// Move one's own read pointer forward.
    Read(MarkRead),
    /// Add users whom the gateway found to exist in the tenant.
    AddMembers(Users),
    /// Remove users.
    RemoveMembers(Users),
    /// Become a member.
    Join,
    /// Stop being a member.
    Leave,
}

/// Body of `conversation.create`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreateConversation {
    /// Direct, group or channel.
    pub kind: ConversationKind,
    /// The others; the creator is a member anyway. The gateway found them to exist in the tenant.
    pub members: Vec<UserId>,
    /// Encrypted under the conversation's key.
    #[serde(default)]
    pub name: Option<Bytes>,
    /// Makes the id of a group.
    pub client_id: Uuid,
}

/// Body of `message.send`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SendMessage {
    /// A UUIDv7: sending again with it within 24 hours sends nothing.
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

/// Body of `read`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarkRead {
    /// The newest message read.
    pub seq: i64,
}

/// Body of `member.add` and `member.remove`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Users {
    /// At most [`super::MAX_USERS_A_COMMAND`].
    pub users: Vec<UserId>,
}
