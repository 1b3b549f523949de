//! `invites`: those to a conversation, without their links.

use schemars::JsonSchema;
use serde::Serialize;

use super::fields::OfConversation;
use super::{About, Context, Reply, may_view};
use crate::domain::policy::{self, Action, Role};
use crate::domain::{InviteId, Timestamp, UserId};
use crate::gateway::edge::Edge;
use crate::gateway::ports::InviteRow;
use crate::gateway::shapes::{rfc3339, rfc3339_option};

pub type Data = OfConversation;

/// All of them.
#[derive(Serialize, JsonSchema)]
pub struct Answer {
    /// Made last first.
    invites: Vec<Invite>,
}

#[derive(Serialize, JsonSchema)]
struct Invite {
    /// Which.
    invite: InviteId,
    /// Who made it.
    made_by: UserId,
    /// And when.
    #[serde(serialize_with = "rfc3339")]
    made_at: Timestamp,
    /// When it ends; null: when it is revoked.
    #[serde(serialize_with = "rfc3339_option")]
    expires_at: Option<Timestamp>,
    /// How many may come; null: any number.
    max_uses: Option<i64>,
    /// As what.
    role: Role,
    /// How many came.
    uses: i64,
}

/// What the documents say of it.
pub const ABOUT: About = About::new(
    "Lists the invitations to a conversation, without their links.",
    &[r#"{"conversation": "<conversation>"}"#],
);

impl From<InviteRow> for Invite {
    fn from(row: InviteRow) -> Self {
        let InviteRow { invite, made_by, made_at, uses } = row;
        Self {
            invite: invite.invite,
            made_by,
            made_at,
            expires_at: invite.expires_at,
            max_uses: invite.max_uses,
            role: invite.role,
            uses,
        }
    }
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let membership = may_view(edge, context, data.conversation).await?;
    policy::allow(membership.standing, Action::AddMembers)?;
    let rows = edge.ports.reads.invites(data.conversation).await?;
    Ok(Answer { invites: rows.into_iter().map(Invite::from).collect() })
}
