//! Messages.

use std::collections::BTreeMap;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::content::{Contact, Content, Point, Question};
use super::{FRAME_BYTES, ID_BYTES, Opener, rfc3339, rfc3339_option};
use crate::crypto::Field;
use crate::domain::conversation::{Forward, Located, MessageSent, PollRules};
use crate::domain::{CommandId, ConversationId, Timestamp, UserId};
use crate::gateway::ports::{MessageRow, OpenError, Place, ReactionRow, VotesRow};

/// A message.
#[derive(Clone, Debug, Serialize, JsonSchema)]
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
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PresentMessage {
    /// Where.
    conversation: ConversationId,
    /// Its number in the conversation.
    seq: i64,
    /// Of its event.
    position: i64,
    /// Who sent it.
    sender: UserId,
    /// As its sender named it.
    client_id: Uuid,
    /// When it was sent.
    #[serde(serialize_with = "rfc3339")]
    at: Timestamp,
    /// What is said.
    text: Option<String>,
    /// None yet.
    attachments: [(); 0],
    /// Where somebody is.
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Location>,
    /// How to reach somebody.
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<Contact>,
    /// What is voted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    poll: Option<Poll>,
    /// Whose message it repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded: Option<Forwarded>,
    /// The `seq` of the message that it answers.
    reply_to: Option<i64>,
    /// The `seq` of the message under which it stands.
    thread: Option<i64>,
    /// 1, 2, 3 … in its thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_seq: Option<i64>,
    /// Messages in the thread of this one.
    #[serde(skip_serializing_if = "is_zero")]
    replies: i64,
    /// User ids, `all` or `here`.
    mentions: Vec<String>,
    /// When its text was changed last.
    #[serde(serialize_with = "rfc3339_option")]
    edited_at: Option<Timestamp>,
    /// False.
    deleted: bool,
    /// When it is removed.
    #[serde(serialize_with = "rfc3339_option")]
    expires_at: Option<Timestamp>,
    /// By emoji.
    reactions: BTreeMap<String, Reacted>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// How many reacted with one emoji.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
struct Reacted {
    /// How many.
    count: i64,
    /// Whether the reader is one of them.
    mine: bool,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
struct Forwarded {
    /// Who wrote it first.
    author: UserId,
    /// And when.
    #[serde(serialize_with = "rfc3339")]
    at: Timestamp,
}

/// Where somebody is.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Location {
    #[serde(flatten)]
    point: Point,
    /// Until when it moves.
    #[serde(serialize_with = "rfc3339_option", skip_serializing_if = "Option::is_none")]
    live_until: Option<Timestamp>,
}

/// What is voted on, and how that stands.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Poll {
    /// What is asked.
    question: String,
    /// What can be answered, numbered from 0.
    options: Vec<Answer>,
    /// Whether one may choose several.
    multiple: bool,
    /// When it ends; none: when it is ended.
    #[serde(serialize_with = "rfc3339_option")]
    closes_at: Option<Timestamp>,
    /// Whether it has ended.
    closed: bool,
    /// How many chose something.
    voters: i64,
    /// What the reader chose.
    mine: Vec<i32>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "PollAnswer")]
struct Answer {
    /// What it says.
    text: String,
    /// How many chose it.
    votes: i64,
}

impl Poll {
    fn of(question: Question, rules: PollRules, votes: VotesRow) -> Self {
        let counted = |option: i32| votes.counts.iter().find(|(of, _)| *of == option).map_or(0, |(_, count)| *count);
        let options = question.options.into_iter().zip(0..);
        Self {
            question: question.question,
            options: options.map(|(text, option)| Answer { text, votes: counted(option) }).collect(),
            multiple: rules.multiple,
            closes_at: rules.closes_at,
            closed: votes.closed,
            voters: counted(-1),
            mine: votes.mine,
        }
    }
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
    /// Opens a message of the view. One whose time is over is gone for its readers at once, whenever it is removed.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn message(&self, conversation: ConversationId, row: MessageRow) -> Result<Message, OpenError> {
        if row.sent.expires_at.is_some_and(|expires_at| expires_at <= Timestamp::now()) {
            return Ok(Message::removed(conversation, row.sent.seq));
        }
        Ok(Message::Present(Box::new(self.present(conversation, row)?)))
    }

    /// The text and the content of a message as they are now; the content as JSON.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn said(
        &self,
        conversation: ConversationId,
        row: &MessageRow,
    ) -> Result<(Option<String>, Option<String>), OpenError> {
        let author = row.sent.forward.map_or(row.sender, |forward| forward.author);
        let open = |sealed: Option<(&Bytes, CommandId)>, field| {
            let open = |(sealed, command): (&Bytes, CommandId)| {
                self.keyring.open_written(self.place(conversation, command), author, field, sealed)
            };
            sealed.map(open).transpose()
        };
        let text = match &row.edit {
            Some(edit) => Some((&edit.text, edit.causation)),
            None => row.sent.text.as_ref().map(|text| (text, row.causation)),
        };
        let content = match &row.located {
            Some(located) => Some((&located.content.bytes, located.content.causation)),
            None => row.sent.content.as_ref().map(|content| (content, row.causation)),
        };
        Ok((open(text, Field::Text)?, open(content, Field::Content)?))
    }

    pub(super) fn present(&self, conversation: ConversationId, row: MessageRow) -> Result<PresentMessage, OpenError> {
        let (text, content) = self.said(conversation, &row)?;
        let Content { location, contact, poll } = content.as_deref().map_or_else(|| Ok(Content::default()), parsed)?;
        let live_until = row.located.map_or(row.sent.live_until, |located| Some(located.live_until));
        let votes = row.votes.unwrap_or_default();
        let (edited_at, mentions) = match row.edit {
            Some(edit) => (Some(edit.at), edit.mentions),
            None => (None, row.sent.mentions),
        };
        let reacted = |reaction: ReactionRow| (reaction.emoji, Reacted { count: reaction.count, mine: reaction.mine });
        Ok(PresentMessage {
            conversation,
            seq: row.sent.seq,
            position: row.position,
            sender: row.sender,
            client_id: row.sent.client_id,
            at: row.at,
            text,
            attachments: [],
            location: location.map(|point| Location { point, live_until }),
            contact,
            poll: poll.zip(row.sent.poll).map(|(question, rules)| Poll::of(question, rules, votes)),
            forwarded: row.sent.forward.map(|Forward { author, at }| Forwarded { author, at }),
            reply_to: row.sent.reply_to,
            thread: row.sent.thread,
            thread_seq: row.sent.thread_seq,
            replies: row.replies,
            mentions,
            edited_at,
            deleted: false,
            expires_at: row.sent.expires_at,
            reactions: row.reactions.into_iter().map(reacted).collect(),
        })
    }

    /// Opens where a live location moved to.
    pub(super) fn located(
        &self,
        place: Place,
        author: UserId,
        located: &Located,
    ) -> Result<Option<Location>, OpenError> {
        let content = self.keyring.open_written(place, author, Field::Content, &located.content)?;
        Ok(parsed(&content)?.location.map(|point| Location { point, live_until: Some(located.live_until) }))
    }
}

/// What a gateway sealed.
fn parsed(content: &str) -> Result<Content, OpenError> {
    serde_json::from_str(content).map_err(|_| OpenError::Broken)
}

impl MessageRow {
    /// The message that an event brought.
    pub fn of(sent: MessageSent, position: i64, sender: UserId, at: Timestamp, causation: CommandId) -> Self {
        Self {
            position,
            sender,
            at,
            causation,
            sent,
            edit: None,
            located: None,
            votes: None,
            replies: 0,
            reactions: Vec::new(),
        }
    }

    /// About how long it will be, for pages.
    pub fn bytes(&self) -> usize {
        let text = self.edit.as_ref().map(|edit| &edit.text).or(self.sent.text.as_ref());
        let content = self.sent.content.as_ref();
        let reactions: usize = self.reactions.iter().map(|reaction| reaction.emoji.len() + ID_BYTES).sum();
        let sealed = text.map_or(0, Bytes::len) + content.map_or(0, Bytes::len);
        FRAME_BYTES + sealed + self.sent.mentions.len() * ID_BYTES + reactions
    }
}
