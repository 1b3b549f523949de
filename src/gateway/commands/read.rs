//! `read`: moves one's own read pointer forward.

use super::fields::OfMessage;
use super::{About, Context, Nothing, Reply};
use crate::domain::conversation::{Command, MarkRead};
use crate::gateway::edge::Edge;

pub type Data = OfMessage;

pub type Answer = Nothing;

pub const ABOUT: About =
    About::new("Moves one's own read pointer forward.", &[r#"{"conversation": "<conversation>", "seq": 1}"#]);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let command = Command::Read(MarkRead { seq: data.seq });
    edge.ask_conversation(context.command(data.conversation, command)).await?;
    Ok(Nothing {})
}
