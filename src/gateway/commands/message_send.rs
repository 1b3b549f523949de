//! `message.send`: the text is sealed here, before it enters any topic.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::fields::ClientId;
use super::{Context, Reply};
use crate::domain::conversation::{Command, SendMessage};
use crate::domain::{ConversationId, Timestamp, UserId};
use crate::gateway::edge::Edge;
use crate::gateway::failure::{Failure, json};
use crate::gateway::ports::Place;
use crate::gateway::shapes::rfc3339;

/// The most mentions of a message.
const MAX_MENTIONS: usize = 100;

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
    let sealed = edge.ports.keyring.seal_text(place, context.user, text);
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
    let mentions = data.mentions.as_deref().unwrap_or_default();
    if mentions.len() > MAX_MENTIONS {
        return Err(Failure::too_large(format!("a message has at most {MAX_MENTIONS} mentions")));
    }
    if mentions.iter().any(|mention| !matches!(mention.as_str(), "all" | "here") && mention.parse::<UserId>().is_err())
    {
        return Err(Failure::bad_request("mentions are user ids, `all` or `here`"));
    }
    match data.text.as_deref() {
        None | Some("") => Err(Failure::bad_request("a message needs a text")),
        Some(text) if text.len() > max_text_bytes => {
            Err(Failure::too_large(format!("text has {} bytes; at most {max_text_bytes} are allowed", text.len())))
        }
        Some(text) => Ok(text),
    }
}
