//! `poll.close`: nobody votes any more.

use super::fields::OfMessage;
use super::{Context, Reply, changed};
use crate::domain::conversation::Command;
use crate::gateway::edge::Edge;

pub type Data = OfMessage;

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    edge.ask_conversation(context.command(data.conversation, Command::ClosePoll((&data).into()))).await.map(changed)
}
