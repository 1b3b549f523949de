//! `poll.vote`: one's choice, instead of what one chose before; none takes it back.

use serde::Deserialize;

use super::{Context, Reply, changed};
use crate::domain::ConversationId;
use crate::domain::conversation::{Command, MAX_POLL_OPTIONS, Vote};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;

#[derive(Deserialize)]
pub struct Data {
    conversation: ConversationId,
    seq: i64,
    options: Vec<i32>,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let Data { conversation, seq, mut options } = data;
    if options.len() > MAX_POLL_OPTIONS as usize {
        return Err(Failure::bad_request(format!("options: a poll has at most {MAX_POLL_OPTIONS}")));
    }
    options.sort_unstable();
    let vote = Vote { seq, options };
    edge.ask_conversation(context.command(conversation, Command::Vote(vote))).await.map(changed)
}
