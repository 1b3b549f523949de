//! `message.pin`.

use super::fields::OfMessage;
use super::{Context, Reply, changed};
use crate::domain::conversation::Command;
use crate::gateway::edge::Edge;

pub type Data = OfMessage;

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let command = Command::Pin((&data).into());
    edge.ask_conversation(context.command(data.conversation, command)).await.map(changed)
}
