//! `report.resolve`: a moderator says what came of the reports of a message.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::Moment;
use super::{About, Context, Reply, moderation};
use crate::domain::ConversationId;
use crate::domain::conversation::{Command, ReportOutcome, Resolution};
use crate::domain::policy;
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    conversation: ConversationId,
    /// Which message.
    #[schemars(range(min = 1))]
    seq: i64,
    /// What came of it. What is to be done is done by its own command before.
    outcome: ReportOutcome,
    /// As `reports` told it: if there is a newer report, the answer is `conflict`. Left out, it is resolved whatever was said since.
    last_at: Option<Moment>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReportResolved")]
pub struct Answer {
    /// Whether it was resolved so already.
    duplicate: bool,
}

pub const ABOUT: About = About::new(
    "Says what came of the reports of a message. Only for moderators of the tenant; a later report opens it again.",
    &[
        r#"{"conversation": "<conversation>", "seq": 2, "outcome": "dismissed"}"#,
        r#"{"conversation": "<conversation>", "seq": 2, "outcome": "removed", "last_at": "<soon>"}"#,
    ],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let Data { conversation, seq, outcome, last_at } = data;
    let last_at = last_at.map(|Moment(last_at)| last_at);
    if seq < 1 {
        return Err(Failure::bad_request("seq must be that of a message: 1 or more"));
    }
    let permit = context.read_permit().await?;
    policy::moderates(moderation::moderates(edge, context).await?)?;
    drop(permit);
    let command = Command::Resolve(Resolution { seq, outcome, last_at });
    let done = moderation::ask_as_moderator(edge, context, conversation, command).await?;
    Ok(Answer { duplicate: done.duplicate })
}
