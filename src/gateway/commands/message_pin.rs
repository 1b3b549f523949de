//! `message.pin`.

use super::fields::OfMessage;
use super::{Context, Reply, changed};
use crate::domain::conversation::{self, Command};
use crate::gateway::edge::Edge;

pub type Data = OfMessage;

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let of = conversation::OfMessage { seq: data.seq };
    edge.ask_conversation(context.command(data.conversation, Command::Pin(of))).await.map(changed)
}
