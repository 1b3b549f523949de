//! `conversation.leave`.

use super::fields::OfConversation;
use super::{About, Changed, Context, Reply};
use crate::domain::conversation::Command;
use crate::gateway::edge::Edge;

pub type Data = OfConversation;

pub type Answer = Changed;

pub const ABOUT: About = About::new(
    "Ends one's own membership. An owner who leaves hands the conversation on.",
    &[r#"{"conversation": "<conversation>"}"#],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    edge.ask_conversation(context.command(data.conversation, Command::Leave)).await.map(Changed::from)
}
