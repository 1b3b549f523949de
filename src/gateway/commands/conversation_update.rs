//! `conversation.update`: null takes name, topic or picture away, and what is left out stays.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;

use super::fields::Change;
use super::{About, Changed, Context, Reply, moderation};
use crate::crypto::Field;
use crate::domain::ConversationId;
use crate::domain::conversation::{Command, UpdateConversation};
use crate::domain::policy::{History, JoinRule};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::ports::Place;

/// The most bytes of a topic.
const TOPIC_BYTES: usize = 1_000;
/// The most bytes of a picture: an address, or the id of an attachment.
const PICTURE_BYTES: usize = 1_000;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    conversation: ConversationId,
    /// Its name.
    #[schemars(length(min = 1))]
    #[serde(default)]
    name: Change<String>,
    /// What it is about.
    #[schemars(length(min = 1))]
    #[serde(default)]
    topic: Change<String>,
    /// An address, or the id of an attachment.
    #[schemars(length(min = 1))]
    #[serde(default)]
    picture: Change<String>,
    /// What new members see of what was said before they came.
    history: Option<History>,
    /// How one becomes a member without being added.
    join: Option<JoinRule>,
    /// Whether only owners and admins write.
    frozen: Option<bool>,
    /// How long members wait between two messages; 0: not at all.
    #[schemars(range(min = 0))]
    slow_mode_ms: Option<i64>,
}

pub type Answer = Changed;

pub const ABOUT: About = About::new(
    "Changes what a conversation shows and its rules: null takes name, topic or picture away, and what is left out stays.",
    &[
        r#"{"conversation": "<conversation>", "name": "Team", "topic": "What we do", "picture": "https://example.com/team.png", "history": "since_join"}"#,
        r#"{"conversation": "<conversation>", "name": null, "join": "open", "frozen": true, "slow_mode_ms": 1000}"#,
    ],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let Data { history, join, frozen, slow_mode_ms, .. } = data;
    let body = UpdateConversation { history, join, frozen, slow_mode_ms, ..UpdateConversation::default() };
    let mut command = context.command(data.conversation, Command::Update(body));
    let place = Place { tenant: context.tenant, conversation: data.conversation, command: command.command_id };
    let mut cleared = Vec::new();
    let mut seal = |field: Field, change: Change<String>, max_bytes: usize| -> Result<Option<Bytes>, Failure> {
        let name = field.name();
        match change {
            Change::Keep => return Ok(None),
            Change::Clear => cleared.push(name.to_owned()),
            Change::Set(text) if text.is_empty() => {
                return Err(Failure::bad_request(format!("{name} must not be empty; send null to take it away")));
            }
            Change::Set(text) if text.len() > max_bytes => {
                return Err(Failure::too_large(format!("{name} must have at most {max_bytes} bytes")));
            }
            Change::Set(text) => {
                return edge.ports.keyring.seal_shown(place, field, &text).map(Some).ok_or_else(Failure::internal);
            }
        }
        Ok(None)
    };
    let name = seal(Field::Name, data.name, edge.options.name_bytes)?;
    let topic = seal(Field::Topic, data.topic, TOPIC_BYTES)?;
    let picture = seal(Field::Picture, data.picture, PICTURE_BYTES)?;
    if let Some(body) = &mut command.conversation_update {
        (body.name, body.topic, body.picture, body.cleared) = (name, topic, picture, cleared);
    }
    match command.conversation_update {
        // What a moderator may, too; nothing in it is sealed for this one command.
        Some(ref body) if body.freezes() => {
            moderation::ask(edge, context, data.conversation, Command::Update(body.clone())).await
        }
        _ => edge.ask_conversation(command).await,
    }
    .map(Changed::from)
}
