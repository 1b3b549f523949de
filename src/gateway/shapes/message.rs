//! Messages.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

use super::{FRAME_BYTES, ID_BYTES, Opener, rfc3339, rfc3339_option};
use crate::crypto::Field;
use crate::domain::conversation::MessageSent;
use crate::domain::{CommandId, ConversationId, Timestamp, UserId};
use crate::gateway::ports::{MessageRow, OpenError};

/// A message.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Message {
    /// As it was sent, or edited since.
    Present(Box<PresentMessage>),
    /// Removed: nothing else is said of it.
    Removed {
        /// Where.
        conversation: ConversationId,
        /// Which.
        seq: i64,
        /// True.
        deleted: bool,
    },
}

/// A message that is there.
#[derive(Clone, Debug, Serialize)]
pub struct PresentMessage {
    conversation: ConversationId,
    seq: i64,
    position: i64,
    sender: UserId,
    client_id: Uuid,
    #[serde(serialize_with = "rfc3339")]
    at: Timestamp,
    text: Option<String>,
    attachments: [(); 0],
    reply_to: Option<i64>,
    thread: Option<i64>,
    mentions: Vec<String>,
    #[serde(serialize_with = "rfc3339_option")]
    edited_at: Option<Timestamp>,
    deleted: bool,
    #[serde(serialize_with = "rfc3339_option")]
    expires_at: Option<Timestamp>,
    reactions: BTreeMap<String, Reacted>,
}

/// How many reacted with one emoji.
#[derive(Clone, Copy, Debug, Serialize)]
struct Reacted {
    count: i64,
    /// Whether the reader is one of them.
    mine: bool,
}

impl Message {
    /// Its text; none if it has none, or was removed.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Present(message) => message.text.as_deref(),
            Self::Removed { .. } => None,
        }
    }

    /// One of which nothing is left.
    pub fn removed(conversation: ConversationId, seq: i64) -> Self {
        Self::Removed { conversation, seq, deleted: true }
    }
}

impl Opener<'_> {
    /// Opens a message of the view.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn message(&self, conversation: ConversationId, row: MessageRow) -> Result<Message, OpenError> {
        Ok(Message::Present(Box::new(self.present(conversation, row)?)))
    }

    pub(super) fn present(&self, conversation: ConversationId, row: MessageRow) -> Result<PresentMessage, OpenError> {
        let edited_at = row.edit.as_ref().map(|edit| edit.at);
        let (text, causation, mentions) = match row.edit {
            Some(edit) => (Some(edit.text), edit.causation, edit.mentions),
            None => (row.text, row.causation, row.mentions),
        };
        let place = self.place(conversation, causation);
        let open = |sealed: Bytes| self.keyring.open_written(place, row.sender, Field::Text, &sealed);
        let text = text.map(open).transpose()?;
        let reacted = |reaction: crate::gateway::ports::ReactionRow| {
            (reaction.emoji, Reacted { count: reaction.count, mine: reaction.mine })
        };
        Ok(PresentMessage {
            conversation,
            seq: row.seq,
            position: row.position,
            sender: row.sender,
            client_id: row.client_id,
            at: row.at,
            text,
            attachments: [],
            reply_to: row.reply_to,
            thread: row.thread,
            mentions,
            edited_at,
            deleted: false,
            expires_at: None,
            reactions: row.reactions.into_iter().map(reacted).collect(),
        })
    }
}

impl MessageRow {
    /// The message that an event brought.
    pub fn of(sent: MessageSent, position: i64, sender: UserId, at: Timestamp, causation: CommandId) -> Self {
        let MessageSent { seq, client_id, text, reply_to, thread, mentions } = sent;
        Self {
            seq,
            position,
            sender,
            client_id,
            at,
            causation,
            text,
            reply_to,
            thread,
            mentions,
            edit: None,
            reactions: Vec::new(),
        }
    }

    /// About how long it will be, for pages.
    pub fn bytes(&self) -> usize {
        let text = self.edit.as_ref().map(|edit| &edit.text).or(self.text.as_ref());
        let reactions: usize = self.reactions.iter().map(|reaction| reaction.emoji.len() + ID_BYTES).sum();
        FRAME_BYTES + text.map_or(0, Bytes::len) + self.mentions.len() * ID_BYTES + reactions
    }
}
