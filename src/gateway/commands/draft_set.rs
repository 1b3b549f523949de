//! `draft.set`: what one has begun to write, for one's other devices. Null takes it away.

use schemars::JsonSchema;
use serde::Deserialize;

use super::fields::check_text;
use super::{About, Context, Nothing, Reply};
use crate::crypto::Field;
use crate::domain::ConversationId;
use crate::domain::conversation::{Command, Draft};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::ports::Place;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    conversation: ConversationId,
    /// The draft.
    text: Option<String>,
}

pub type Answer = Nothing;

pub const ABOUT: About = About::new(
    "Keeps what one has begun to write, for one's other devices. Null takes it away.",
    &[
        r#"{"conversation": "<conversation>", "text": "Dear all"}"#,
        r#"{"conversation": "<conversation>", "text": null}"#,
    ],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let mut command = context.command(data.conversation, Command::Draft(Draft::default()));
    if let Some(text) = data.text.filter(|text| !text.is_empty()) {
        check_text(&text, edge.options.message_text_bytes)?;
        let place = Place { tenant: context.tenant, conversation: data.conversation, command: command.command_id };
        let sealed = edge.ports.keyring.seal_written(place, context.user, Field::Draft, &text);
        let sealed = sealed.ok_or_else(|| Failure::unavailable("your data key is not here yet; try again"))?;
        command.draft = Some(Draft { text: Some(sealed) });
    }
    edge.ask_conversation(command).await?;
    Ok(Nothing {})
}
