//! `blocks`: whom one has blocked, in order of their ids.

use serde::{Deserialize, Serialize};

use super::fields::limit;
use super::{Context, Reply};
use crate::domain::UserId;
use crate::gateway::edge::Edge;
use crate::gateway::failure::json;
use crate::gateway::ports::Journal;
use crate::gateway::seen::Scope;

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

#[derive(Deserialize)]
pub struct Data {
    after: Option<UserId>,
    limit: Option<i64>,
}

#[derive(Serialize)]
struct Page {
    users: Vec<UserId>,
    has_more: bool,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let limit = limit(data.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let partition = edge.partition_of(&context.user.to_string());
    edge.seen.settle(context.user, Scope::Partition(Journal::Users, partition)).await?;
    // One more than asked for tells whether there are more.
    let mut users = edge.ports.reads.blocks(context.user, data.after, limit + 1).await?;
    let has_more = users.len() > limit as usize;
    users.truncate(limit as usize);
    Ok(json(&Page { users, has_more }))
}
