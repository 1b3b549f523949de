//! `inbox`: one's conversations, as apps list them or all of them in an order that stays.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::limit;
use super::{About, Context, Reply};
use crate::gateway::edge::Edge;
use crate::gateway::ports::{AskedPage, InboxOrder};
use crate::gateway::seen::Scope;
use crate::gateway::shapes::{Conversation, Opener};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// Which page.
#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// `listed`, where it is left out: pinned ones first, then the newest change first. `id`: nothing moves from page to page, for who wants all.
    order: Option<InboxOrder>,
    /// `true`: only archived ones, `false`: only others; both where it is left out.
    archived: Option<bool>,
    /// Of the page before, in the same order.
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

pub const ABOUT: About =
    About::new("Lists one's conversations.", &["{}", r#"{"limit": 10, "archived": false}"#, r#"{"order": "id"}"#]);

/// Reads the page.
pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let limit = limit(data.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    edge.seen.settle(context.user, Scope::All).await?;
    let order = data.order.unwrap_or(InboxOrder::Listed);
    let asked = AskedPage { order, archived: data.archived, cursor: data.cursor, limit };
    let page = edge.ports.reads.inbox(context.tenant, context.user, &asked).await?;
    let opener = Opener::new(&*edge.ports.keyring, context.tenant);
    let conversations =
        page.conversations.into_iter().map(|row| opener.conversation(context.user, row)).collect::<Result<_, _>>()?;
    Ok(Answer { conversations, cursor: page.cursor, has_more: page.has_more })
}
