//! What the server sends unasked.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::types::{Conversation, Member, Message, Presence, nullable};

/// A frame without an id. Durable ones have a `position`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Event {
    /// The protocol's `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The conversation it belongs to.
    pub conversation: Option<String>,
    /// Its number there, if it is durable.
    pub position: Option<u64>,
    /// When it was accepted, RFC 3339.
    pub at: Option<String>,
    /// Who caused it.
    pub actor: Option<String>,
    /// What depends on the type; [`Event::body`] reads it.
    pub data: Value,
}

/// The typed content of an [`Event`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are the protocol's own")]
pub enum Body {
    MessageSent(Box<Message>),
    MessageEdited {
        seq: u64,
        text: String,
        mentions: Vec<String>,
        edited_at: Option<String>,
    },
    MessageDeleted {
        seqs: Vec<u64>,
        reason: String,
    },
    ReactionAdded {
        seq: u64,
        emoji: String,
    },
    ReactionRemoved {
        seq: u64,
        emoji: String,
    },
    /// Removed by this user for itself, on another device.
    MessageHidden {
        seqs: Vec<u64>,
    },
    MessagePinned {
        seq: u64,
    },
    MessageUnpinned {
        seq: u64,
    },
    ConversationCreated {
        kind: String,
        name: Option<String>,
        members: Vec<Member>,
        members_count: u64,
    },
    ConversationUpdated {
        name: Option<String>,
    },
    MemberJoined {
        users: Vec<String>,
    },
    MemberLeft {
        users: Vec<String>,
        reason: String,
    },
    MemberRole {
        user: String,
        role: String,
    },
    ReceiptRead {
        user: String,
        seq: u64,
    },
    ReceiptDelivered {
        user: String,
        seq: u64,
    },
    Typing {
        user: String,
        active: bool,
    },
    Presence(Presence),
    InboxChanged(Box<Conversation>),
    CaughtUp {
        cursor: Option<String>,
        reset: bool,
    },
    Bye {
        reason: String,
        reconnect_after_ms: Option<(u64, u64)>,
    },
    /// A type that this version does not know, or data that it cannot read. To be ignored.
    Unknown,
}

/// All fields that events have in `data`, each optional; `body` picks those of the type.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    #[serde(deserialize_with = "nullable")]
    seq: u64,
    #[serde(deserialize_with = "nullable")]
    seqs: Vec<u64>,
    #[serde(deserialize_with = "nullable")]
    text: String,
    #[serde(deserialize_with = "nullable")]
    mentions: Vec<String>,
    edited_at: Option<String>,
    #[serde(deserialize_with = "nullable")]
    reason: String,
    #[serde(deserialize_with = "nullable")]
    emoji: String,
    #[serde(deserialize_with = "nullable")]
    kind: String,
    name: Option<String>,
    #[serde(deserialize_with = "nullable")]
    members: Vec<Member>,
    #[serde(deserialize_with = "nullable")]
    members_count: u64,
    #[serde(deserialize_with = "nullable")]
    users: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    user: String,
    #[serde(deserialize_with = "nullable")]
    role: String,
    #[serde(deserialize_with = "nullable")]
    active: bool,
    cursor: Option<String>,
    #[serde(deserialize_with = "nullable")]
    reset: bool,
    reconnect_after_ms: Option<(u64, u64)>,
}

impl Event {
    /// Reads `data` by the type. Never fails: what cannot be read is [`Body::Unknown`].
    pub fn body(&self) -> Body {
        self.typed().unwrap_or(Body::Unknown)
    }

    fn typed(&self) -> Option<Body> {
        match self.kind.as_str() {
            "message.sent" => return read(&self.data).map(|message| Body::MessageSent(Box::new(message))),
            "presence" => return read(&self.data).map(Body::Presence),
            "inbox.changed" => return read(&self.data).map(|entry| Body::InboxChanged(Box::new(entry))),
            _ => {}
        }
        let data: Data = read(&self.data)?;
        Some(match self.kind.as_str() {
            "message.edited" => Body::MessageEdited {
                seq: data.seq,
                text: data.text,
                mentions: data.mentions,
                edited_at: data.edited_at,
            },
            "message.deleted" => Body::MessageDeleted { seqs: data.seqs, reason: data.reason },
            "message.hidden" => Body::MessageHidden { seqs: data.seqs },
            "reaction.added" => Body::ReactionAdded { seq: data.seq, emoji: data.emoji },
            "reaction.removed" => Body::ReactionRemoved { seq: data.seq, emoji: data.emoji },
            "message.pinned" => Body::MessagePinned { seq: data.seq },
            "message.unpinned" => Body::MessageUnpinned { seq: data.seq },
            "conversation.created" => Body::ConversationCreated {
                kind: data.kind,
                name: data.name,
                members: data.members,
                members_count: data.members_count,
            },
            "conversation.updated" => Body::ConversationUpdated { name: data.name },
            "member.joined" => Body::MemberJoined { users: data.users },
            "member.left" => Body::MemberLeft { users: data.users, reason: data.reason },
            "member.role" => Body::MemberRole { user: data.user, role: data.role },
            "receipt.read" => Body::ReceiptRead { user: data.user, seq: data.seq },
            "receipt.delivered" => Body::ReceiptDelivered { user: data.user, seq: data.seq },
            "typing" => Body::Typing { user: data.user, active: data.active },
            "caught_up" => Body::CaughtUp { cursor: data.cursor, reset: data.reset },
            "bye" => Body::Bye { reason: data.reason, reconnect_after_ms: data.reconnect_after_ms },
            _ => return None,
        })
    }
}

fn read<T: DeserializeOwned>(data: &Value) -> Option<T> {
    T::deserialize(data).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, data: Value) -> Event {
        Event { kind: kind.into(), data, ..Event::default() }
    }

    #[test]
    fn known_types_are_read() {
        assert_eq!(
            event("bye", json!({"reason": "draining", "reconnect_after_ms": [10, 20]})).body(),
            Body::Bye { reason: "draining".into(), reconnect_after_ms: Some((10, 20)) }
        );
        assert_eq!(
            event("typing", json!({"user": "usr_1", "active": true, "extra": 1})).body(),
            Body::Typing { user: "usr_1".into(), active: true }
        );
    }

    #[test]
    fn unknown_types_and_bad_data_are_unknown() {
        assert_eq!(event("poll.closed", json!({"poll": 1})).body(), Body::Unknown);
        assert_eq!(event("message.sent", json!("text")).body(), Body::Unknown);
        assert_eq!(event("typing", Value::Null).body(), Body::Unknown);
    }
}
