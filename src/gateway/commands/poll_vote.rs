//! `poll.vote`: one's choice, instead of what one chose before; none takes it back.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{About, Changed, Context, Reply};
use crate::domain::ConversationId;
use crate::domain::conversation::{Command, MAX_POLL_OPTIONS, Vote};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    conversation: ConversationId,
    /// Which poll.
    #[schemars(range(min = 1))]
    seq: i64,
    /// Numbers of the answers, from 0; none takes the vote back.
    options: Vec<i32>,
}

pub type Answer = Changed;

pub const ABOUT: About = About::new(
    "Votes in a poll, instead of what one chose before.",
    &[r#"{"conversation": "<conversation>", "seq": 4, "options": [1]}"#],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let Data { conversation, seq, mut options } = data;
    if options.len() > MAX_POLL_OPTIONS as usize {
        return Err(Failure::bad_request(format!("options: a poll has at most {MAX_POLL_OPTIONS}")));
    }
    options.sort_unstable();
    let vote = Vote { seq, options };
    edge.ask_conversation(context.command(conversation, Command::Vote(vote))).await.map(Changed::from)
}
