//! `member.decline`: users who asked are not added.

use super::fields::{OfMembers, check_count};
use super::{Context, Reply, changed};
use crate::domain::conversation::{Command, Users};
use crate::gateway::edge::Edge;

pub type Data = OfMembers;

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    check_count(edge, "users", &data.users, 1)?;
    let command = Command::Decline(Users { users: data.users });
    edge.ask_conversation(context.command(data.conversation, command)).await.map(changed)
}
