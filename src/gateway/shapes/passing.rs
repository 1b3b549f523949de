//! What the server sends unasked without a position.

use axum::extract::ws::Utf8Bytes;
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
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Presence {
    user: UserId,
    status: PresenceStatus,
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

/// The push of a moved pointer.
pub fn receipt(receipt: &Receipt) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Data {
        user: UserId,
        seq: i64,
    }
    let (r#type, seq) = match receipt.event() {
        Event::Delivered(_) => ("receipt.delivered", receipt.delivered_seq),
        _ => ("receipt.read", receipt.read_seq),
    };
    json(&Passing { r#type, conversation: receipt.conversation, data: Data { user: receipt.user, seq } }).into()
}

/// The push to one's other devices of a thread that one has read.
pub fn thread_read(conversation: ConversationId, read: InThread) -> Utf8Bytes {
    json(&Passing { r#type: "thread.read", conversation, data: read }).into()
}

/// The push to one's other devices of a message that one removed for oneself.
pub fn hidden(conversation: ConversationId, seq: i64) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Data {
        seqs: [i64; 1],
    }
    json(&Passing { r#type: "message.hidden", conversation, data: Data { seqs: [seq] } }).into()
}

/// The push of a signal; none for a type that this program does not know.
pub fn signal(signal: &Signal) -> Option<Utf8Bytes> {
    #[derive(Serialize)]
    struct Data {
        user: UserId,
        active: bool,
        /// Without another word in this time it has stopped.
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_in_ms: Option<u128>,
    }
    let expires_in_ms = signal.active.then_some(EXPIRES.as_millis());
    let data = Data { user: signal.actor, active: signal.active, expires_in_ms };
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
