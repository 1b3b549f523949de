//! `delivered`: moves one's own delivered pointer forward.

use serde::Deserialize;

use super::{Context, Reply, nothing};
use crate::domain::ConversationId;
use crate::domain::conversation::{Command, MarkRead};
use crate::gateway::edge::Edge;

#[derive(Deserialize)]
pub struct Data {
    conversation: ConversationId,
    seq: i64,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let command = Command::Delivered(MarkRead { seq: data.seq });
    edge.ask_conversation(context.command(data.conversation, command)).await?;
    Ok(nothing())
}
