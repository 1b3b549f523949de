//! `message.pin`.

use super::fields::OfMessage;
use super::{About, Changed, Context, Reply};
use crate::domain::conversation::Command;
use crate::gateway::edge::Edge;

pub type Data = OfMessage;

pub type Answer = Changed;

pub const ABOUT: About = About::new("Pins a message.", &[r#"{"conversation": "<conversation>", "seq": 1}"#]);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let command = Command::Pin((&data).into());
    edge.ask_conversation(context.command(data.conversation, command)).await.map(Changed::from)
}
