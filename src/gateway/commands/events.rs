//! `events`: what a client that saw a gap, or was away, has missed of one conversation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::limit;
use super::{About, Context, Reply, may_view};
use crate::domain::ConversationId;
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::paging::PageBytes;
use crate::gateway::shapes::{DurableEvent, Opener};

const DEFAULT_LIMIT: u32 = 200;
const MAX_LIMIT: u32 = 1_000;

/// Which page.
#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    pub conversation: ConversationId,
    /// Oldest first, from the one after this.
    #[schemars(range(min = 0))]
    pub after_position: i64,
    /// At most 1,000.
    #[schemars(range(min = 1))]
    pub limit: Option<i64>,
}

/// A page.
#[derive(Serialize, JsonSchema)]
pub struct Answer {
    /// A position that is absent was removed.
    events: Vec<DurableEvent>,
    /// The newest of the conversation, in this page or not.
    last_position: i64,
}

pub const ABOUT: About = About::new(
    "Reads the events after a position, oldest first.",
    &[r#"{"conversation": "<conversation>", "after_position": 0, "limit": 100}"#],
);

/// Reads the page.
pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let limit = limit(data.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    if data.after_position < 0 {
        return Err(Failure::bad_request("after_position must not be negative"));
    }
    let membership = may_view(edge, context, data.conversation).await?;
    let reads = &edge.ports.reads;
    let after = data.after_position.max(membership.visible_after_position);
    let rows = reads.events(context.user, data.conversation, after, limit).await?;
    // The conversation may have gone on between the two reads, without this user perhaps.
    let last_position = membership.last_position;
    let opener = Opener::new(&*edge.ports.keyring, context.tenant);
    let mut page = PageBytes::default();
    let rows = rows.into_iter().take_while(|row| row.position <= last_position && page.fits(row.bytes()));
    let events = rows.map(|row| opener.event(data.conversation, row)).collect::<Result<_, _>>()?;
    Ok(Answer { events, last_position })
}
