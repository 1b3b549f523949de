//! `channels`: those of the tenant that can be joined, or asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::limit;
use super::{About, Context, Reply};
use crate::domain::ConversationId;
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::shapes::{Channel, Opener};
use crate::search::Words;

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;
/// Names are sealed, so that they are looked through here: so many in one command.
const LOOKED_THROUGH: usize = 1_000;

/// Which page.
#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Words that the name or the topic has, all of them.
    pub text: Option<String>,
    /// Of the page before.
    pub cursor: Option<String>,
    /// At most 200; 50 where it is left out.
    #[schemars(range(min = 1))]
    pub limit: Option<i64>,
}

/// A page.
#[derive(Serialize, JsonSchema)]
pub struct Answer {
    /// In order of their ids. Where names are looked through a page may be short, and others follow all the same.
    channels: Vec<Channel>,
    /// For the next page.
    cursor: Option<String>,
    /// Whether more follow.
    has_more: bool,
}

/// What the documents say of it.
pub const ABOUT: About =
    About::new("Lists the channels that can be joined, or asked for.", &["{}", r#"{"text": "news", "limit": 10}"#]);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let limit = limit(data.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let ours = |cursor: &String| cursor.parse::<ConversationId>();
    let bad = |_| Failure::bad_request("the cursor is not one of this server");
    let mut after = data.cursor.as_ref().map(ours).transpose().map_err(bad)?;
    let text = data.text.as_deref().unwrap_or_default();
    let words = Words::of(text);
    if words.is_empty() && !text.is_empty() {
        return Err(Failure::bad_request("text has no word that could be looked for; leave it out to list all"));
    }
    let opener = Opener::new(&*edge.ports.keyring, context.tenant);
    let (mut channels, mut looked, mut has_more) = (Vec::new(), 0, true);
    while has_more && channels.len() < limit as usize && looked < LOOKED_THROUGH {
        // One more than wanted tells whether there are more.
        let rows = edge.ports.reads.channels(context.tenant, context.user, after, limit + 1).await?;
        has_more = rows.len() > limit as usize;
        for row in rows.into_iter().take(limit as usize) {
            if channels.len() == limit as usize {
                has_more = true;
                break;
            }
            (after, looked) = (Some(row.conversation), looked + 1);
            let channel = opener.channel(row)?;
            if words.is_empty() || channel.is_about(&words) {
                channels.push(channel);
            }
        }
    }
    let cursor = after.filter(|_| has_more).map(|after| after.to_string());
    Ok(Answer { channels, cursor, has_more })
}
