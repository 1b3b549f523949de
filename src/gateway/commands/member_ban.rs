//! `member.ban`: removes users and keeps them out, until a time or until it is lifted.

use super::fields::OfRestricted;
use super::{Context, Reply, changed};
use crate::domain::conversation::Command;
use crate::gateway::edge::Edge;

pub type Data = OfRestricted;

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let conversation = data.conversation;
    let command = Command::Ban(data.checked(edge, context).await?);
    edge.ask_conversation(context.command(conversation, command)).await.map(changed)
}
