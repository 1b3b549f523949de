//! `reports`: what members of the tenant reported, for its moderators.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::limit;
use super::{About, Context, Reply, moderation};
use crate::domain::policy;
use crate::gateway::edge::Edge;
use crate::gateway::seen::Scope;
use crate::gateway::shapes::{Opener, ReportedMessage};

const DEFAULT_LIMIT: u32 = 20;
const MAX_LIMIT: u32 = 100;

/// Which page.
#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// `open`, where it is left out: those that wait, the longest first; `resolved`: the others, resolved last first.
    #[serde(default)]
    pub state: State,
    /// Of the page before.
    pub cursor: Option<String>,
    /// At most 100; 20 where it is left out.
    #[schemars(range(min = 1))]
    pub limit: Option<i64>,
}

/// Whether a report waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(rename = "ReportState")]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It does.
    #[default]
    Open,
    /// A moderator has said what came of it.
    Resolved,
}

/// A page.
#[derive(Serialize, JsonSchema)]
pub struct Answer {
    /// One for each message.
    reported: Vec<ReportedMessage>,
    /// For the next page.
    cursor: Option<String>,
    /// Whether more follow.
    has_more: bool,
}

/// What the documents say of it.
pub const ABOUT: About = About::new(
    "Lists the messages of the tenant that members reported, as they are now. Only for moderators of the tenant.",
    &["{}", r#"{"state": "open", "limit": 10}"#, r#"{"state": "resolved"}"#],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let limit = limit(data.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    policy::moderates(moderation::moderates(edge, context).await?)?;
    edge.seen.settle(context.user, Scope::All).await?;
    let open = data.state == State::Open;
    let page = edge.ports.reads.reports(context.tenant, open, data.cursor.as_deref(), limit).await?;
    let opener = Opener::new(&*edge.ports.keyring, context.tenant);
    let reported = page.reported.into_iter().map(|row| opener.reported(row)).collect::<Result<_, _>>()?;
    Ok(Answer { reported, cursor: page.cursor, has_more: page.has_more })
}
