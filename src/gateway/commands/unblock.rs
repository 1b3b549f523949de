//! `unblock`.

use super::{Context, Reply, block};
use crate::gateway::edge::Edge;

pub type Data = block::Data;

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    block::set(edge, context, data.user, false).await
}
