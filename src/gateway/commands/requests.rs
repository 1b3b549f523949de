//! `requests`: who asks to be added to a conversation. `member.add` answers yes, `member.decline` no.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::limit;
use super::{About, Context, Reply, may_view};
use crate::domain::policy::{self, Action};
use crate::domain::{ConversationId, Timestamp, UserId};
use crate::gateway::edge::Edge;
use crate::gateway::shapes::rfc3339;

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

/// Which page.
#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    pub conversation: ConversationId,
    /// Users after this one, in order of their ids.
    pub after: Option<UserId>,
    /// At most 1,000; 100 where it is left out.
    #[schemars(range(min = 1))]
    pub limit: Option<i64>,
}

/// A page.
#[derive(Serialize, JsonSchema)]
pub struct Answer {
    /// In order of their ids.
    requests: Vec<Request>,
    /// Whether more follow.
    has_more: bool,
}

#[derive(Serialize, JsonSchema)]
struct Request {
    /// Who.
    user: UserId,
    /// Since when.
    #[serde(serialize_with = "rfc3339")]
    at: Timestamp,
}

/// What the documents say of it.
pub const ABOUT: About = About::new(
    "Lists who asks to be added to a conversation.",
    &[r#"{"conversation": "<conversation>"}"#, r#"{"conversation": "<conversation>", "after": "<bob>", "limit": 10}"#],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let limit = limit(data.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let membership = may_view(edge, context, data.conversation).await?;
    policy::allow(membership.standing, Action::AddMembers)?;
    // One more than asked for tells whether there are more.
    let mut rows = edge.ports.reads.requests(data.conversation, data.after, limit + 1).await?;
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let requests = rows.into_iter().map(|(user, at)| Request { user, at }).collect();
    Ok(Answer { requests, has_more })
}
