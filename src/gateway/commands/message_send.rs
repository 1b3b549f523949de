//! `message.send`: what it says is sealed here, before it enters any topic.

use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::content::{Asked, Checked, Location, Poll};
use super::fields::{ClientId, check_mentions, check_text};
use super::{About, Context, Reply, visible_message};
use crate::codec::records::ConversationCommand;
use crate::crypto::Field;
use crate::domain::conversation::{Command, Forward, SendMessage};
use crate::domain::decision::Done;
use crate::domain::{ConversationId, Timestamp, UserId};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::ports::Place;
use crate::gateway::shapes::{Contact, Opener, rfc3339};

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    conversation: ConversationId,
    /// Names the message, so that sending it again sends it once.
    client_id: ClientId,
    /// What is said.
    #[schemars(length(min = 1))]
    text: Option<String>,
    #[schemars(skip)]
    attachments: Option<Vec<IgnoredAny>>,
    /// The `seq` of the message that this one answers.
    #[schemars(range(min = 1))]
    reply_to: Option<i64>,
    /// The `seq` of the message under which this one stands.
    #[schemars(range(min = 1))]
    thread: Option<i64>,
    /// User ids, `all` or `here`; at most 100.
    mentions: Option<Vec<String>>,
    /// After how long it is removed: a second to 366 days.
    #[schemars(range(min = 1_000))]
    expires_in_ms: Option<i64>,
    /// Another message to repeat, instead of text and all that follows.
    forward: Option<Forwarded>,
    // Of few messages, and so apart.
    /// A place. At most one of it, `contact` and `poll`.
    location: Option<Box<Location>>,
    /// A card.
    contact: Option<Box<Contact>>,
    /// What is to be voted on.
    poll: Option<Box<Poll>>,
}

/// Names the message that is repeated.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
struct Forwarded {
    /// Where it stands.
    conversation: ConversationId,
    /// Which it is there.
    #[schemars(range(min = 1))]
    seq: i64,
}

/// What is to be sealed, and under whose key.
struct Said {
    author: UserId,
    text: Option<String>,
    content: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub struct Answer {
    /// Its number in the conversation.
    seq: i64,
    /// Of its event.
    position: i64,
    /// When it was sent.
    #[serde(serialize_with = "rfc3339")]
    at: Timestamp,
    /// Whether it had been sent before.
    duplicate: bool,
}

pub const ABOUT: About = About::new(
    "Sends a message. Sent again with the same `client_id` it gives the first answer.",
    &[
        r#"{"conversation": "<conversation>", "client_id": "<client_id>", "text": "Hello"}"#,
        r#"{"conversation": "<conversation>", "client_id": "<client_id>", "text": "Hello all", "reply_to": 1, "thread": 1, "mentions": ["all", "<bob>"], "expires_in_ms": 60000}"#,
        r#"{"conversation": "<conversation>", "client_id": "<client_id>", "text": "Here", "location": {"lat": 47.3769, "lon": 8.5417, "accuracy_m": 12.5, "live_until": "<soon>"}}"#,
        r#"{"conversation": "<conversation>", "client_id": "<client_id>", "contact": {"name": "Cyd", "phones": ["+41 44 000 00 00"], "user": "<carol>"}}"#,
        r#"{"conversation": "<conversation>", "client_id": "<client_id>", "poll": {"question": "When?", "options": ["Friday", "Saturday"], "multiple": true, "closes_at": "<soon>"}}"#,
        r#"{"conversation": "<conversation>", "client_id": "<client_id>", "forward": {"conversation": "<conversation>", "seq": 1}}"#,
    ],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    check(&data)?;
    let mut body = SendMessage {
        reply_to: data.reply_to,
        thread: data.thread,
        mentions: data.mentions.unwrap_or_default(),
        expires_in_ms: data.expires_in_ms,
        ..SendMessage::new(data.client_id.0)
    };
    let max_bytes = edge.options.message_text_bytes;
    let (location, contact, poll) = (data.location.map(|l| *l), data.contact.map(|c| *c), data.poll.map(|p| *p));
    let asked = Asked { location, contact, poll };
    let Checked { content, live_until, poll } = asked.checked(max_bytes)?;
    (body.live_until, body.poll) = (live_until, poll);
    let said = match data.forward {
        Some(_) if data.text.is_some() || content.is_some() => {
            return Err(Failure::bad_request(
                "forward repeats a message as it is; send what is to be added in another",
            ));
        }
        Some(of) => match original(edge, context, of).await {
            Ok((forward, said)) => {
                body.forward = Some(forward);
                said
            }
            Err(refused) => return sent_before(edge, context, data.conversation, body, refused).await,
        },
        None => {
            if content.is_none() || data.text.is_some() {
                check_text(data.text.as_deref().unwrap_or_default(), max_bytes)?;
            }
            Said { author: context.user, text: data.text, content }
        }
    };
    let mut command = context.command(data.conversation, Command::Send(body));
    seal(edge, context, &mut command, &said)?;
    edge.ask_conversation(command).await.map(Answer::from)
}

impl From<Done> for Answer {
    fn from(done: Done) -> Self {
        Self { seq: done.seq, position: done.position, at: done.at, duplicate: done.duplicate }
    }
}

/// The answer to a forward whose original is not to be had any more: if it was sent before, what was answered then. The conversation's owner
/// knows that, and takes nothing else of what says nothing.
async fn sent_before(
    edge: &Edge,
    context: &Context,
    conversation: ConversationId,
    body: SendMessage,
    refused: Failure,
) -> Reply<Answer> {
    if refused.code.retryable() {
        return Err(refused);
    }
    match edge.ask_conversation(context.command(conversation, Command::Send(body))).await {
        Ok(done) => Ok(done.into()),
        Err(failure) if failure.code.retryable() => Err(failure),
        Err(_) => Err(refused),
    }
}

fn check(data: &Data) -> Result<(), Failure> {
    if data.attachments.as_ref().is_some_and(|attachments| !attachments.is_empty()) {
        return Err(Failure::bad_request("attachments is not supported by this server yet"));
    }
    for (field, seq) in [("reply_to", data.reply_to), ("thread", data.thread)] {
        if seq.is_some_and(|seq| seq < 1) {
            return Err(Failure::bad_request(format!("{field} must be the seq of a message: 1 or more")));
        }
    }
    check_mentions(data.mentions.as_deref().unwrap_or_default())
}

/// The message that is repeated, as it is now. Its author is who wrote it first, and its key seals it again: what is destroyed with that key is
/// gone wherever it was forwarded to.
async fn original(edge: &Edge, context: &Context, of: Forwarded) -> Result<(Forward, Said), Failure> {
    let _permit = context.read_permit().await?;
    let row = visible_message(edge, context, of.conversation, of.seq).await?;
    if row.sent.poll.is_some() {
        return Err(Failure::bad_request("a poll cannot be forwarded: its votes are of its conversation"));
    }
    let (author, at) = row.sent.forward.map_or((row.sender, row.at), |first| (first.author, first.at));
    let (text, content) = Opener::new(&*edge.ports.keyring, context.tenant).said(of.conversation, &row)?;
    Ok((Forward { author, at }, Said { author, text, content }))
}

fn seal(edge: &Edge, context: &Context, command: &mut ConversationCommand, said: &Said) -> Result<(), Failure> {
    let place = Place { tenant: context.tenant, conversation: command.conversation, command: command.command_id };
    let seal = |field, text: &Option<String>| match text {
        Some(text) => {
            let sealed = edge.ports.keyring.seal_written(place, said.author, field, text);
            sealed.map(Some).ok_or_else(|| Failure::unavailable("a data key is not here yet; try again"))
        }
        None => Ok(None),
    };
    let (text, content) = (seal(Field::Text, &said.text)?, seal(Field::Content, &said.content)?);
    if let Some(body) = &mut command.message_send {
        (body.text, body.content) = (text, content);
    }
    Ok(())
}
