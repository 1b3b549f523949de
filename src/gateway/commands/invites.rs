//! `invites`: those to a conversation, without their links.

use serde::Serialize;

use super::fields::OfConversation;
use super::{Context, Reply, may_view};
use crate::domain::policy::{self, Action, Role};
use crate::domain::{InviteId, Timestamp, UserId};
use crate::gateway::edge::Edge;
use crate::gateway::failure::json;
use crate::gateway::ports::InviteRow;
use crate::gateway::shapes::{rfc3339, rfc3339_option};

pub type Data = OfConversation;

#[derive(Serialize)]
struct Page {
    invites: Vec<Invite>,
}

#[derive(Serialize)]
struct Invite {
    invite: InviteId,
    made_by: UserId,
    #[serde(serialize_with = "rfc3339")]
    made_at: Timestamp,
    #[serde(serialize_with = "rfc3339_option")]
    expires_at: Option<Timestamp>,
    max_uses: Option<i64>,
    role: Role,
    uses: i64,
}

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

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let membership = may_view(edge, context, data.conversation).await?;
    policy::allow(membership.standing, Action::AddMembers)?;
    let rows = edge.ports.reads.invites(data.conversation).await?;
    Ok(json(&Page { invites: rows.into_iter().map(Invite::from).collect() }))
}
