//! `conversation.join`.

use super::fields::OfConversation;
use super::{About, Changed, Context, Reply};
use crate::domain::conversation::Command;
use crate::gateway::edge::Edge;

pub type Data = OfConversation;

pub type Answer = Changed;

pub const ABOUT: About =
    About::new("Becomes a member of what may be joined.", &[r#"{"conversation": "<conversation>"}"#]);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    edge.ask_conversation(context.command(data.conversation, Command::Join)).await.map(Changed::from)
}
