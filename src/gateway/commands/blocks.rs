//! `blocks`: whom one has blocked, in order of their ids.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::limit;
use super::{About, Context, Reply};
use crate::domain::UserId;
use crate::gateway::edge::Edge;
use crate::gateway::ports::Journal;
use crate::gateway::seen::Scope;

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Those after this one.
    after: Option<UserId>,
    /// At most 1,000; 100 where it is left out.
    #[schemars(range(min = 1))]
    limit: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
pub struct Answer {
    /// In order of their ids.
    users: Vec<UserId>,
    /// Whether more follow.
    has_more: bool,
}

pub const ABOUT: About =
    About::new("Lists whom one has blocked, in order of their ids.", &["{}", r#"{"after": "<bob>", "limit": 10}"#]);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let limit = limit(data.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let partition = edge.partition_of(&context.user.to_string());
    edge.seen.settle(context.user, Scope::Partition(Journal::Users, partition)).await?;
    // One more than asked for tells whether there are more.
    let mut users = edge.ports.reads.blocks(context.user, data.after, limit + 1).await?;
    let has_more = users.len() > limit as usize;
    users.truncate(limit as usize);
    Ok(Answer { users, has_more })
}
