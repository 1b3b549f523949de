//! `inbox`: one's conversations, newest change first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::limit;
use super::{About, Context, Reply};
use crate::gateway::edge::Edge;
use crate::gateway::seen::Scope;
use crate::gateway::shapes::{Conversation, Opener};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// Which page.
#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Of the page before.
    cursor: Option<String>,
    /// At most 200; 50 where it is left out.
    #[schemars(range(min = 1))]
    limit: Option<i64>,
}

/// A page.
#[derive(Serialize, JsonSchema)]
pub struct Answer {
    conversations: Vec<Conversation>,
    /// For the next page; of use only here.
    cursor: Option<String>,
    /// Whether more follow.
    has_more: bool,
}

pub const ABOUT: About = About::new("Lists one's conversations, newest change first.", &["{}", r#"{"limit": 10}"#]);

/// Reads the page.
pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let limit = limit(data.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    edge.seen.settle(context.user, Scope::All).await?;
    let page = edge.ports.reads.inbox(context.tenant, context.user, data.cursor.as_deref(), limit).await?;
    let opener = Opener::new(&*edge.ports.keyring, context.tenant);
    let conversations =
        page.conversations.into_iter().map(|row| opener.conversation(context.user, row)).collect::<Result<_, _>>()?;
    Ok(Answer { conversations, cursor: page.cursor, has_more: page.has_more })
}
