//! `reaction.remove`.

use super::{About, Changed, Context, Reply};
use crate::domain::conversation::{Command, Reaction};
use crate::gateway::edge::Edge;

pub type Data = super::reaction_add::Data;

pub type Answer = Changed;

pub const ABOUT: About =
    About::new("Takes one's reaction back.", &[r#"{"conversation": "<conversation>", "seq": 1, "emoji": "👍"}"#]);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let command = Command::Unreact(Reaction { seq: data.seq, emoji: data.emoji });
    edge.ask_conversation(context.command(data.conversation, command)).await.map(Changed::from)
}
