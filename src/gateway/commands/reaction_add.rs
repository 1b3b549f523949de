//! `reaction.add`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{About, Changed, Context, Reply};
use crate::domain::ConversationId;
use crate::domain::conversation::{Command, Reaction};
use crate::gateway::edge::Edge;

/// What is reacted to, with what.
#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    pub conversation: ConversationId,
    /// To which message.
    #[schemars(range(min = 1))]
    pub seq: i64,
    /// With what.
    #[schemars(length(min = 1))]
    pub emoji: String,
}

pub type Answer = Changed;

pub const ABOUT: About = About::new(
    "Reacts to a message with an emoji.",
    &[r#"{"conversation": "<conversation>", "seq": 1, "emoji": "👍"}"#],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let command = Command::React(Reaction { seq: data.seq, emoji: data.emoji });
    edge.ask_conversation(context.command(data.conversation, command)).await.map(Changed::from)
}
