//! `conversation.leave`.

use super::fields::OfConversation;
use super::{Context, Reply, changed};
use crate::domain::conversation::Command;
use crate::gateway::edge::Edge;

pub type Data = OfConversation;

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    edge.ask_conversation(context.command(data.conversation, Command::Leave)).await.map(changed)
}
