//! `delivered`: moves one's own delivered pointer forward.

use super::fields::OfMessage;
use super::{Context, Reply, nothing};
use crate::domain::conversation::{Command, MarkRead};
use crate::gateway::edge::Edge;

pub type Data = OfMessage;

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let command = Command::Delivered(MarkRead { seq: data.seq });
    edge.ask_conversation(context.command(data.conversation, command)).await?;
    Ok(nothing())
}
