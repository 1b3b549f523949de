//! `thread.read`: one's own pointer in a thread moves forward, on one's other devices too.

use serde::Deserialize;

use super::{Context, Reply, nothing};
use crate::domain::ConversationId;
use crate::domain::conversation::{Command, InThread};
use crate::gateway::edge::Edge;

#[derive(Deserialize)]
pub struct Data {
    conversation: ConversationId,
    thread: i64,
    thread_seq: i64,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let Data { conversation, thread, thread_seq } = data;
    let read = InThread { thread, thread_seq };
    edge.ask_conversation(context.command(conversation, Command::ReadThread(read))).await.map(|_| nothing())
}
