//! `privacy`: to whom one shows oneself.

use serde::Deserialize;

use super::{Context, Reply};
use crate::gateway::edge::Edge;
use crate::gateway::failure::json;
use crate::gateway::ports::Journal;
use crate::gateway::seen::Scope;

#[derive(Deserialize)]
pub struct Data {}

pub async fn run(edge: &Edge, context: &Context, _: Data) -> Reply {
    let partition = edge.partition_of(&context.user.to_string());
    edge.seen.settle(context.user, Scope::Partition(Journal::Users, partition)).await?;
    Ok(json(&edge.ports.reads.privacy(context.user).await?))
}
