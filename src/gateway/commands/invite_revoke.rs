//! `invite.revoke`: the link is of no use any more.

use serde::Deserialize;

use super::{Context, Reply, changed};
use crate::domain::conversation::{Command, OfInvite};
use crate::domain::{ConversationId, InviteId};
use crate::gateway::edge::Edge;

#[derive(Deserialize)]
pub struct Data {
    conversation: ConversationId,
    invite: InviteId,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let command = Command::RevokeInvite(OfInvite { invite: data.invite });
    edge.ask_conversation(context.command(data.conversation, command)).await.map(changed)
}
