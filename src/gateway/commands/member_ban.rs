//! `member.ban`: removes users and keeps them out, until a time or until it is lifted.

use serde::Deserialize;

use super::fields::{Moment, check_count, check_users};
use super::{Context, Reply, changed};
use crate::domain::conversation::{Command, Restriction};
use crate::domain::{ConversationId, UserId};
use crate::gateway::edge::Edge;

#[derive(Deserialize)]
pub struct Data {
    conversation: ConversationId,
    users: Vec<UserId>,
    until: Option<Moment>,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    check_count(edge, "users", &data.users, 1)?;
    check_users(edge, context, &data.users).await?;
    let until = data.until.map(|Moment(until)| until);
    let command = Command::Ban(Restriction { users: data.users, until });
    edge.ask_conversation(context.command(data.conversation, command)).await.map(changed)
}
