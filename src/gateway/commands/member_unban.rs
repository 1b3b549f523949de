//! `member.unban`: users may be added, or join, again.

use super::fields::{OfMembers, check_count};
use super::{About, Changed, Context, Reply, moderation};
use crate::domain::conversation::{Command, Users};
use crate::gateway::edge::Edge;

pub type Data = OfMembers;

pub type Answer = Changed;

pub const ABOUT: About =
    About::new("Lets users be added, or join, again.", &[r#"{"conversation": "<conversation>", "users": ["<bob>"]}"#]);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    check_count(edge, "users", &data.users, 1)?;
    let command = Command::Unban(Users { users: data.users });
    moderation::ask(edge, context, data.conversation, command).await.map(Changed::from)
}
