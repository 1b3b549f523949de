//! `poll.close`: nobody votes any more.

use super::fields::OfMessage;
use super::{About, Changed, Context, Reply};
use crate::domain::conversation::Command;
use crate::gateway::edge::Edge;

pub type Data = OfMessage;

pub type Answer = Changed;

pub const ABOUT: About =
    About::new("Ends a poll: nobody votes any more.", &[r#"{"conversation": "<conversation>", "seq": 4}"#]);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    edge.ask_conversation(context.command(data.conversation, Command::ClosePoll((&data).into())))
        .await
        .map(Changed::from)
}
