//! `member.role`: ownership is handed on by making another the owner, then oneself something else.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{About, Changed, Context, Reply};
use crate::domain::conversation::{Command, MemberRole};
use crate::domain::policy::Role;
use crate::domain::{ConversationId, UserId};
use crate::gateway::edge::Edge;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    conversation: ConversationId,
    /// Whom.
    user: UserId,
    /// The new role.
    role: Role,
}

pub type Answer = Changed;

pub const ABOUT: About = About::new(
    "Gives a member another role.",
    &[r#"{"conversation": "<conversation>", "user": "<bob>", "role": "admin"}"#],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let command = Command::SetRole(MemberRole { user: data.user, role: data.role });
    edge.ask_conversation(context.command(data.conversation, command)).await.map(Changed::from)
}
