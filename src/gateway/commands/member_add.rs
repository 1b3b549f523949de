//! `member.add`.

use super::fields::{OfMembers, check_blocks, check_count, check_users};
use super::{About, Changed, Context, Reply};
use crate::domain::conversation::{Command, Users};
use crate::gateway::edge::Edge;

pub type Data = OfMembers;

pub type Answer = Changed;

pub const ABOUT: About =
    About::new("Adds users to a conversation.", &[r#"{"conversation": "<conversation>", "users": ["<carol>"]}"#]);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    check_count(edge, "users", &data.users, 1)?;
    check_users(edge, context, &data.users).await?;
    check_blocks(edge, context, &data.users).await?;
    let command = Command::AddMembers(Users { users: data.users });
    edge.ask_conversation(context.command(data.conversation, command)).await.map(Changed::from)
}
