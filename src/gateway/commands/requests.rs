//! `requests`: who asks to be added to a conversation. `member.add` answers yes, `member.decline` no.

use serde::{Deserialize, Serialize};

use super::fields::limit;
use super::{Context, Reply, may_view};
use crate::domain::policy::{self, Action};
use crate::domain::{ConversationId, Timestamp, UserId};
use crate::gateway::edge::Edge;
use crate::gateway::failure::json;
use crate::gateway::shapes::rfc3339;

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

/// Which page.
#[derive(Deserialize)]
pub struct Data {
    /// Where.
    pub conversation: ConversationId,
    /// Users after this one, in order of their ids.
    pub after: Option<UserId>,
    /// At most 1,000.
    pub limit: Option<i64>,
}

#[derive(Serialize)]
struct Page {
    requests: Vec<Request>,
    has_more: bool,
}

#[derive(Serialize)]
struct Request {
    user: UserId,
    #[serde(serialize_with = "rfc3339")]
    at: Timestamp,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let limit = limit(data.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let membership = may_view(edge, context, data.conversation).await?;
    policy::allow(membership.standing, Action::AddMembers)?;
    // One more than asked for tells whether there are more.
    let mut rows = edge.ports.reads.requests(data.conversation, data.after, limit + 1).await?;
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let requests = rows.into_iter().map(|(user, at)| Request { user, at }).collect();
    Ok(json(&Page { requests, has_more }))
}
