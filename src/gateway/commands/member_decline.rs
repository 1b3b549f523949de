//! `member.decline`: users who asked are not added.

use super::fields::{OfMembers, check_count};
use super::{About, Changed, Context, Reply};
use crate::domain::conversation::{Command, Users};
use crate::gateway::edge::Edge;

pub type Data = OfMembers;

pub type Answer = Changed;

/// What the documents say of it.
pub const ABOUT: About = About::new(
    "Refuses users who asked to be added.",
    &[r#"{"conversation": "<conversation>", "users": ["<carol>"]}"#],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    check_count(edge, "users", &data.users, 1)?;
    let command = Command::Decline(Users { users: data.users });
    edge.ask_conversation(context.command(data.conversation, command)).await.map(Changed::from)
}
