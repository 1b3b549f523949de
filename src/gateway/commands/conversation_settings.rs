//! `conversation.settings`: how one sees a conversation oneself.

use schemars::JsonSchema;
use serde::Deserialize;

use super::fields::{Change, Moment};
use super::{About, Context, Nothing, Reply};
use crate::domain::ConversationId;
use crate::domain::conversation::{ChangeSettings, Command, Notify};
use crate::gateway::edge::Edge;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    conversation: ConversationId,
    /// No pushes before this time.
    #[serde(default)]
    muted_until: Change<Moment>,
    /// At the top of the list.
    pinned: Option<bool>,
    /// Out of the list until the next message, or for as long as it is muted.
    archived: Option<bool>,
    /// What is worth a push.
    notify: Option<Notify>,
}

pub type Answer = Nothing;

pub const ABOUT: About = About::new(
    "Changes how one sees a conversation oneself. What is left out stays.",
    &[
        r#"{"conversation": "<conversation>", "muted_until": "2030-01-01T00:00:00.000Z", "pinned": true, "archived": true, "notify": "mentions"}"#,
        r#"{"conversation": "<conversation>", "muted_until": null}"#,
    ],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let (muted_until, unmuted) = match data.muted_until {
        Change::Keep => (None, false),
        Change::Clear => (None, true),
        Change::Set(Moment(until)) => (Some(until), false),
    };
    let Data { pinned, archived, notify, .. } = data;
    let command = Command::Settings(ChangeSettings { muted_until, unmuted, pinned, archived, notify });
    edge.ask_conversation(context.command(data.conversation, command)).await?;
    Ok(Nothing {})
}
