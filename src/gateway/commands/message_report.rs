//! `message.report`: tells the tenant's moderators of a message. Nobody in the conversation learns of it.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{About, Context, Reply};
use crate::crypto::Field;
use crate::domain::ConversationId;
use crate::domain::conversation::{Command, ReportMessage, ReportReason};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::ports::Place;

/// The most characters of a comment.
const COMMENT_CHARS: usize = 1_000;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    conversation: ConversationId,
    /// Which message: of another, and one that is there.
    #[schemars(range(min = 1))]
    seq: i64,
    /// What is wrong with it.
    reason: ReportReason,
    /// In one's own words, for the moderators only; at most 1,000 characters.
    comment: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReportTaken")]
pub struct Answer {
    /// Whether one has reported the same before.
    duplicate: bool,
}

pub const ABOUT: About = About::new(
    "Tells the tenant's moderators of a message. Nobody in the conversation learns of it; reporting again replaces what one said.",
    &[
        r#"{"conversation": "<conversation>", "seq": 2, "reason": "spam"}"#,
        r#"{"conversation": "<conversation>", "seq": 2, "reason": "other", "comment": "He does not stop."}"#,
    ],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let Data { conversation, seq, reason, comment } = data;
    let report = ReportMessage { seq, reason, comment: None, fingerprint: None };
    let mut command = context.command(conversation, Command::Report(report));
    if let Some(text) = comment.filter(|text| !text.is_empty()) {
        let place = Place { tenant: context.tenant, conversation, command: command.command_id };
        let (comment, fingerprint) = sealed(edge, context, place, seq, &text)?;
        command.report = Some(ReportMessage { seq, reason, comment: Some(comment), fingerprint: Some(fingerprint) });
    }
    let done = edge.ask_conversation(command).await?;
    Ok(Answer { duplicate: done.duplicate })
}

fn sealed(edge: &Edge, context: &Context, place: Place, seq: i64, text: &str) -> Result<(Bytes, Bytes), Failure> {
    if text.chars().count() > COMMENT_CHARS {
        return Err(Failure::too_large(format!("comment must have at most {COMMENT_CHARS} characters")));
    }
    let keyring = &edge.ports.keyring;
    let sealed = keyring.seal_written(place, context.user, Field::Comment, text);
    let sealed = sealed.zip(keyring.fingerprint(context.user, place.conversation, seq, text));
    sealed.ok_or_else(|| Failure::unavailable("your data key is not here yet; try again"))
}
