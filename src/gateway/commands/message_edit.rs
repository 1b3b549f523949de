//! `message.edit`: the new text is sealed here, before it enters any topic.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;

use super::fields::{check_mentions, check_text};
use super::{About, Changed, Context, Reply};
use crate::crypto::Field;
use crate::domain::ConversationId;
use crate::domain::conversation::{Command, EditMessage};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::ports::Place;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    conversation: ConversationId,
    /// Which message.
    #[schemars(range(min = 1))]
    seq: i64,
    /// Its new text.
    #[schemars(length(min = 1))]
    text: String,
    /// User ids, `all` or `here`; at most 100.
    mentions: Option<Vec<String>>,
}

pub type Answer = Changed;

pub const ABOUT: About = About::new(
    "Gives a message of one's own another text.",
    &[r#"{"conversation": "<conversation>", "seq": 1, "text": "Hello again", "mentions": ["<bob>"]}"#],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let Data { conversation, seq, text, mentions } = data;
    check_text(&text, edge.options.message_text_bytes)?;
    check_mentions(mentions.as_deref().unwrap_or_default())?;
    let keyring = &edge.ports.keyring;
    let no_key = || Failure::unavailable("your data key is not here yet; try again");
    let fingerprint = keyring.fingerprint(context.user, conversation, seq, &text).ok_or_else(no_key)?;
    let body = EditMessage { seq, text: Bytes::new(), fingerprint, mentions };
    let mut command = context.command(conversation, Command::Edit(body));
    let place = Place { tenant: context.tenant, conversation, command: command.command_id };
    let sealed = keyring.seal_written(place, context.user, Field::Text, &text).ok_or_else(no_key)?;
    if let Some(body) = &mut command.message_edit {
        body.text = sealed;
    }
    edge.ask_conversation(command).await.map(Changed::from)
}
