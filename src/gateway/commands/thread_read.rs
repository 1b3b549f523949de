//! `thread.read`: one's own pointer in a thread moves forward, on one's other devices too.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{About, Context, Nothing, Reply};
use crate::domain::ConversationId;
use crate::domain::conversation::{Command, InThread};
use crate::gateway::edge::Edge;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    conversation: ConversationId,
    /// The `seq` of the message whose thread it is.
    #[schemars(range(min = 1))]
    thread: i64,
    /// The newest message read, by its number in the thread.
    thread_seq: i64,
}

pub type Answer = Nothing;

pub const ABOUT: About = About::new(
    "Moves one's own read pointer in a thread forward.",
    &[r#"{"conversation": "<conversation>", "thread": 1, "thread_seq": 1}"#],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let Data { conversation, thread, thread_seq } = data;
    let read = InThread { thread, thread_seq };
    edge.ask_conversation(context.command(conversation, Command::ReadThread(read))).await.map(|_| Nothing {})
}
