//! `reaction.add`.

use serde::Deserialize;

use super::{Context, Reply, changed};
use crate::domain::ConversationId;
use crate::domain::conversation::{Command, Reaction};
use crate::gateway::edge::Edge;

/// What is reacted to, with what.
#[derive(Deserialize)]
pub struct Data {
    /// Where.
    pub conversation: ConversationId,
    /// To which message.
    pub seq: i64,
    /// With what.
    pub emoji: String,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let command = Command::React(Reaction { seq: data.seq, emoji: data.emoji });
    edge.ask_conversation(context.command(data.conversation, command)).await.map(changed)
}
