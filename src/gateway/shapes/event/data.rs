//! What stands in `data` of each durable event.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::conversation::{DeleteReason, LeaveReason};
pub use crate::domain::conversation::{MemberRole, OfMessage, Reaction, Vote};
use crate::domain::policy::{ConversationKind, History, JoinRule, Role};
use crate::domain::{InviteId, Timestamp, UserId};
use crate::gateway::shapes::{Location, rfc3339, rfc3339_option};

/// Of `conversation.created`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Created {
    /// It never changes.
    pub kind: ConversationKind,
    /// None of a direct conversation.
    pub name: Option<String>,
    /// The first 100.
    pub members: Vec<MemberRole>,
    /// All of them.
    pub members_count: usize,
}

/// Of `message.edited`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Edited {
    /// Which message.
    pub seq: i64,
    /// Its new text.
    pub text: String,
    /// User ids, `all` or `here`.
    pub mentions: Vec<String>,
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub edited_at: Timestamp,
}

/// Of `message.deleted`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Deleted {
    /// Which messages.
    pub seqs: Vec<i64>,
    /// Why.
    pub reason: DeleteReason,
}

/// Of `location.updated`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Moved {
    /// Which message.
    pub seq: i64,
    /// Where it is now.
    pub location: Option<Location>,
}

/// Of `conversation.updated`: absent if it did not change, null if it is there no more.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Updated {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Option<String>>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<Option<String>>,
    /// An address, or the id of an attachment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<Option<String>>,
    /// What new members see of what was said before they came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// How one becomes a member without being added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<JoinRule>,
    /// Whether only owners and admins write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<bool>,
    /// How long members wait between two messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_mode_ms: Option<i64>,
}

/// Of `member.joined`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Joined {
    /// Who.
    pub users: Vec<UserId>,
    /// With whose link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invite: Option<InviteId>,
}

/// Of `invite.created`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Invited {
    /// Which; its link was told to the actor only.
    pub invite: InviteId,
    /// When it ends; null: when it is revoked.
    #[serde(serialize_with = "rfc3339_option")]
    pub expires_at: Option<Timestamp>,
    /// How many may come; null: any number.
    pub max_uses: Option<i64>,
    /// As what.
    pub role: Role,
}

/// Of `invite.revoked`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OfInvite {
    /// Which.
    pub invite: InviteId,
}

/// Of `member.requested` and `member.declined`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OfUsers {
    /// Who.
    pub users: Vec<UserId>,
}

/// Of `member.left`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Left {
    /// Whose membership ended.
    pub users: Vec<UserId>,
    /// Why.
    pub reason: LeaveReason,
    /// Who became owner by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promoted: Option<UserId>,
    /// Who may not come back, members or not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub banned: Vec<UserId>,
    /// When that ends.
    #[serde(serialize_with = "rfc3339_option", skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Of `member.muted`, `member.unmuted` and `member.unbanned`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Restricted {
    /// Whom.
    pub users: Vec<UserId>,
    /// When it ends; none: when it is lifted.
    #[serde(serialize_with = "rfc3339_option", skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}
