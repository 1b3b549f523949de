//! `member.role`: ownership is handed on by making another the owner, then oneself something else.

use serde::Deserialize;

use super::{Context, Reply, changed};
use crate::domain::conversation::{Command, MemberRole};
use crate::domain::policy::Role;
use crate::domain::{ConversationId, UserId};
use crate::gateway::edge::Edge;

#[derive(Deserialize)]
pub struct Data {
    conversation: ConversationId,
    user: UserId,
    role: Role,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let command = Command::SetRole(MemberRole { user: data.user, role: data.role });
    edge.ask_conversation(context.command(data.conversation, command)).await.map(changed)
}
