//! What the server sends unasked without a position.

use axum::extract::ws::Utf8Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use super::rfc3339_option;
use crate::codec::records::{PresenceStatus, Receipt, Signal};
use crate::domain::conversation::{Event, InThread};
use crate::domain::user::Privacy;
use crate::domain::{ConversationId, Timestamp, UserId};
use crate::gateway::failure::json;
use crate::gateway::frames;
use crate::gateway::ports::PresenceRow;
use crate::gateway::typing::EXPIRES;

/// Presence.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Presence {
    /// Whose.
    user: UserId,
    /// Who is invisible is shown as offline.
    #[schemars(extend("enum" = ["online", "away", "offline"]))]
    status: PresenceStatus,
    /// Absent while the user is there, and where privacy hides it.
    #[serde(serialize_with = "rfc3339_option", skip_serializing_if = "Option::is_none")]
    last_seen: Option<Timestamp>,
}

impl From<PresenceRow> for Presence {
    fn from(row: PresenceRow) -> Self {
        // Nobody else ever sees that somebody is invisible.
        let status = if row.status == PresenceStatus::Invisible { PresenceStatus::Offline } else { row.status };
        Self { user: row.user, status, last_seen: row.last_seen }
    }
}

/// Something of a conversation.
#[derive(Serialize)]
struct Passing<D> {
    r#type: &'static str,
    conversation: ConversationId,
    data: D,
}

/// A moved pointer.
#[derive(Serialize, JsonSchema)]
pub struct Pointer {
    /// Whose.
    user: UserId,
    /// Up to which message.
    seq: i64,
}

/// A message that one removed for oneself.
#[derive(Serialize, JsonSchema)]
pub struct Hidden {
    /// Which.
    seqs: [i64; 1],
}

/// Somebody types, or has stopped.
#[derive(Serialize, JsonSchema)]
pub struct Typing {
    /// Who.
    user: UserId,
    /// False: stopped.
    active: bool,
    /// Without another word in this time it has stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_ms: Option<u64>,
}

/// The push of a moved pointer.
pub fn receipt(receipt: &Receipt) -> Utf8Bytes {
    let (r#type, seq) = match receipt.event() {
        Event::Delivered(_) => ("receipt.delivered", receipt.delivered_seq),
        _ => ("receipt.read", receipt.read_seq),
    };
    json(&Passing { r#type, conversation: receipt.conversation, data: Pointer { user: receipt.user, seq } }).into()
}

/// The push to one's other devices of a thread that one has read.
pub fn thread_read(conversation: ConversationId, read: InThread) -> Utf8Bytes {
    json(&Passing { r#type: "thread.read", conversation, data: read }).into()
}

/// The push to one's other devices of a message that one removed for oneself.
pub fn hidden(conversation: ConversationId, seq: i64) -> Utf8Bytes {
    json(&Passing { r#type: "message.hidden", conversation, data: Hidden { seqs: [seq] } }).into()
}

/// The push of a signal; none for a type that this program does not know.
pub fn signal(signal: &Signal) -> Option<Utf8Bytes> {
    let expires_in_ms = signal.active.then_some(EXPIRES.as_millis() as u64);
    let data = Typing { user: signal.actor, active: signal.active, expires_in_ms };
    let push = Passing { r#type: "typing", conversation: signal.conversation, data };
    (signal.r#type == "typing").then(|| json(&push).into())
}

/// The push to one's other devices of to whom one shows oneself.
pub fn privacy(privacy: Privacy) -> Utf8Bytes {
    frames::push("privacy.changed", &privacy)
}

/// The push of a presence.
pub fn presence(row: PresenceRow) -> Utf8Bytes {
    frames::push("presence", &Presence::from(row))
}
