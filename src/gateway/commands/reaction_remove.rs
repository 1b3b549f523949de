//! `reaction.remove`.

use super::{Context, Reply, changed};
use crate::domain::conversation::{Command, Reaction};
use crate::gateway::edge::Edge;

pub type Data = super::reaction_add::Data;

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let command = Command::Unreact(Reaction { seq: data.seq, emoji: data.emoji });
    edge.ask_conversation(context.command(data.conversation, command)).await.map(changed)
}
