//! `message.send`: the text is sealed here, before it enters any topic.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::fields::{ClientId, check_mentions, check_text};
use super::{Context, Reply};
use crate::crypto::Field;
use crate::domain::conversation::{Command, SendMessage};
use crate::domain::{ConversationId, Timestamp};
use crate::gateway::edge::Edge;
use crate::gateway::failure::{Failure, json};
use crate::gateway::ports::Place;
use crate::gateway::shapes::rfc3339;

#[derive(Deserialize)]
pub struct Data {
    conversation: ConversationId,
    client_id: ClientId,
    text: Option<String>,
    attachments: Option<Vec<IgnoredAny>>,
    reply_to: Option<i64>,
    thread: Option<i64>,
    mentions: Option<Vec<String>>,
    expires_in_ms: Option<IgnoredAny>,
    location: Option<IgnoredAny>,
}

#[derive(Serialize)]
struct Sent {
    seq: i64,
    position: i64,
    #[serde(serialize_with = "rfc3339")]
    at: Timestamp,
    duplicate: bool,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let text = check(&data, edge.options.message_text_bytes)?;
    let body = SendMessage {
        client_id: data.client_id.0,
        text: None,
        reply_to: data.reply_to,
        thread: data.thread,
        mentions: data.mentions.clone().unwrap_or_default(),
    };
    let mut command = context.command(data.conversation, Command::Send(body));
    let place = Place { tenant: context.tenant, conversation: data.conversation, command: command.command_id };
    let sealed = edge.ports.keyring.seal_written(place, context.user, Field::Text, text);
    let sealed = sealed.ok_or_else(|| Failure::unavailable("your data key is not here yet; try again"))?;
    if let Some(body) = &mut command.message_send {
        body.text = Some(sealed);
    }
    let done = edge.ask_conversation(command).await?;
    Ok(json(&Sent { seq: done.seq, position: done.position, at: done.at, duplicate: done.duplicate }))
}

fn check(data: &Data, max_text_bytes: usize) -> Result<&str, Failure> {
    for (field, used) in [
        ("attachments", data.attachments.as_ref().is_some_and(|attachments| !attachments.is_empty())),
        ("expires_in_ms", data.expires_in_ms.is_some()),
        ("location", data.location.is_some()),
    ] {
        if used {
            return Err(Failure::bad_request(format!("{field} is not supported by this server yet")));
        }
    }
    for (field, seq) in [("reply_to", data.reply_to), ("thread", data.thread)] {
        if seq.is_some_and(|seq| seq < 1) {
            return Err(Failure::bad_request(format!("{field} must be the seq of a message: 1 or more")));
        }
    }
    check_mentions(data.mentions.as_deref().unwrap_or_default())?;
    check_text(data.text.as_deref().unwrap_or_default(), max_text_bytes)
}
