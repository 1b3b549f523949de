//! `inbox`: one's conversations, newest change first.

use serde::{Deserialize, Serialize};

use super::fields::limit;
use super::{Context, Reply};
use crate::gateway::edge::Edge;
use crate::gateway::failure::json;
use crate::gateway::seen::Scope;
use crate::gateway::shapes::{Conversation, Opener};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// Which page.
#[derive(Deserialize)]
pub struct Data {
    cursor: Option<String>,
    limit: Option<i64>,
}

#[derive(Serialize)]
struct Page {
    conversations: Vec<Conversation>,
    cursor: Option<String>,
    has_more: bool,
}

/// Reads the page.
pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let limit = limit(data.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    edge.seen.settle(context.user, Scope::All).await?;
    let page = edge.ports.reads.inbox(context.tenant, context.user, data.cursor.as_deref(), limit).await?;
    let opener = Opener::new(&*edge.ports.keyring, context.tenant);
    let conversations =
        page.conversations.into_iter().map(|row| opener.conversation(context.user, row)).collect::<Result<_, _>>()?;
    Ok(json(&Page { conversations, cursor: page.cursor, has_more: page.has_more }))
}
