//! `message.edit`: the new text is sealed here, before it enters any topic.

use bytes::Bytes;
use serde::Deserialize;

use super::fields::{check_mentions, check_text};
use super::{Context, Reply, changed};
use crate::crypto::Field;
use crate::domain::ConversationId;
use crate::domain::conversation::{Command, EditMessage};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::ports::Place;

#[derive(Deserialize)]
pub struct Data {
    conversation: ConversationId,
    seq: i64,
    text: String,
    mentions: Option<Vec<String>>,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
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
    edge.ask_conversation(command).await.map(changed)
}
