//! Rows of the views as gateways get them. They hold sealed content; the gateway opens it.

use bytes::Bytes;
use serde::Deserialize;
use sqlx::FromRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::reads::{StoreError, damaged};
use crate::domain::conversation::{Forward, MessageSent, PollRules, Settings};
use crate::domain::policy::{Blocked, ConversationKind, History, JoinRule, Role};
use crate::domain::{CommandId, ConversationId, Timestamp, UserId};

/// How one becomes a member: as was said, or as the kind has it.
pub(super) fn join_rule(said: Option<String>, kind: ConversationKind) -> Result<JoinRule, StoreError> {
    said.map_or(Ok(JoinRule::of(kind)), |said| said.parse().map_err(damaged("conversations.join_rule")))
}

/// How somebody stands to a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MembershipRow {
    /// Direct, group or channel.
    pub kind: ConversationKind,
    /// None: not a member.
    pub role: Option<Role>,
    pub join: JoinRule,
    pub frozen: bool,
    pub muted_until: Option<Timestamp>,
    pub banned_until: Option<Timestamp>,
    pub blocked: Option<Blocked>,
    /// The newest message.
    pub last_seq: i64,
    /// The newest event.
    pub last_position: i64,
    /// What new members see of what was said before they came.
    pub history: History,
    /// Newest message and event before the member came.
    pub joined_seq: i64,
    pub joined_position: i64,
}

#[derive(FromRow)]
pub(super) struct RawMembership {
    kind: String,
    role: Option<String>,
    join_rule: Option<String>,
    frozen: bool,
    muted_until: Option<i64>,
    banned_until: Option<i64>,
    blocks: bool,
    is_blocked: bool,
    last_seq: i64,
    last_position: i64,
    history: String,
    joined_seq: i64,
    joined_position: i64,
}

impl TryFrom<RawMembership> for MembershipRow {
    type Error = StoreError;

    fn try_from(raw: RawMembership) -> Result<Self, StoreError> {
        let kind = raw.kind.parse().map_err(damaged("conversations.kind"))?;
        let role = raw.role.map(|role| role.parse()).transpose();
        Ok(Self {
            kind,
            role: role.map_err(damaged("members.role"))?,
            join: join_rule(raw.join_rule, kind)?,
            frozen: raw.frozen,
            muted_until: raw.muted_until.map(Timestamp),
            banned_until: raw.banned_until.map(Timestamp),
            blocked: Blocked::of(raw.blocks, raw.is_blocked),
            last_seq: raw.last_seq,
            last_position: raw.last_position,
            history: raw.history.parse().map_err(damaged("conversations.history"))?,
            joined_seq: raw.joined_seq,
            joined_position: raw.joined_position,
        })
    }
}

/// A message as one of its readers sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageRow {
    /// Of `message.sent`.
    pub position: i64,
    /// Who sent it.
    pub sender: UserId,
    /// Of `message.sent`.
    pub at: Timestamp,
    /// The command that brought it: its text and content open only with it.
    pub causation: CommandId,
    /// As it was sent.
    pub sent: MessageSent,
    /// What the newest edit made of it.
    pub edit: Option<EditRow>,
    /// Where its location moved to.
    pub located: Option<LocatedRow>,
    /// Of a poll.
    pub votes: Option<VotesRow>,
    /// Messages in its thread.
    pub replies: i64,
    /// One for each emoji.
    pub reactions: Vec<ReactionRow>,
}

/// Where a live location is now.
#[derive(Clone, Debug, PartialEq)]
pub struct LocatedRow {
    /// Sealed.
    pub content: Sealed,
    /// Until when it moves.
    pub live_until: Timestamp,
}

/// How a poll stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct VotesRow {
    /// Whether it was ended.
    pub closed: bool,
    /// How many chose what: number of the answer, then votes. That of -1 is how many voted at all.
    pub counts: Vec<(i32, i64)>,
    /// What the reader chose.
    pub mine: Vec<i32>,
}

/// What the newest edit made of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct EditRow {
    pub at: Timestamp,
    pub causation: CommandId,
    pub text: Bytes,
    pub mentions: Vec<String>,
}

/// How many reacted to a message with one emoji, and whether its reader did.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ReactionRow {
    pub emoji: String,
    pub count: i64,
    pub mine: bool,
}

/// An event of the timeline: a message, or the framed record of anything else.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    pub position: i64,
    pub message: Option<MessageRow>,
    pub event: Option<Bytes>,
}

/// Something sealed, and the command that opens it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed {
    pub bytes: Bytes,
    pub causation: CommandId,
}

/// A conversation as one of its members sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct InboxRow {
    pub user: UserId,
    pub conversation: ConversationId,
    pub kind: ConversationKind,
    pub name: Option<Sealed>,
    pub topic: Option<Sealed>,
    pub picture: Option<Sealed>,
    pub history: History,
    pub join: JoinRule,
    pub frozen: bool,
    pub slow_mode_ms: i64,
    pub joined_seq: i64,
    pub settings: Settings,
    pub draft: Option<Sealed>,
    pub members_count: i64,
    pub last_position: i64,
    pub last_seq: i64,
    pub last_at: Timestamp,
    pub last_message: Option<MessageRow>,
    pub read_seq: i64,
    pub mentions_unread: i64,
    pub role: Role,
    pub joined_at: Timestamp,
    pub left: bool,
}

/// Which page of the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxPage {
    pub starts: InboxStart,
    /// Only archived ones, or only others.
    pub archived: Option<bool>,
    pub limit: i64,
}

/// Where a page of the inbox starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InboxStart {
    /// As apps list them, pinned ones first, then by the time of the newest event: after this one.
    AsListed(Option<InboxCursor>),
    /// By their ids: after this one.
    ById(Option<ConversationId>),
}

/// A conversation in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxCursor {
    pub pinned: bool,
    pub last_at: Timestamp,
    pub conversation: ConversationId,
}

#[derive(FromRow)]
pub(super) struct RawMessage {
    pub conversation: String,
    seq: i64,
    pub viewer: String,
    pub position: i64,
    sender: String,
    client_id: Uuid,
    at: i64,
    text: Option<Vec<u8>>,
    causation: String,
    reply_to: Option<i64>,
    thread: Option<i64>,
    content: Option<Vec<u8>>,
    more: Option<Json<More>>,
    mentions: Vec<String>,
    edited_at: Option<i64>,
    edit_text: Option<Vec<u8>>,
    edit_causation: Option<String>,
    edit_mentions: Vec<String>,
    located: Option<Vec<u8>>,
    located_causation: Option<String>,
    live_until: Option<i64>,
    votes: Option<Json<VotesRow>>,
    replies: i64,
    reactions: Json<Vec<ReactionRow>>,
}

/// What most messages do not have.
#[derive(Default, Deserialize)]
struct More {
    thread_seq: Option<i64>,
    forward: Option<Forward>,
    live_until: Option<Timestamp>,
    poll: Option<PollRules>,
    expires_at: Option<Timestamp>,
}

impl TryFrom<RawMessage> for MessageRow {
    type Error = StoreError;

    fn try_from(raw: RawMessage) -> Result<Self, StoreError> {
        let edit = match (raw.edited_at, sealed(raw.edit_text, raw.edit_causation, "messages.edit_causation")?) {
            (Some(at), Some(Sealed { bytes, causation })) => {
                Some(EditRow { at: Timestamp(at), causation, text: bytes, mentions: raw.edit_mentions })
            }
            _ => None,
        };
        let located = sealed(raw.located, raw.located_causation, "messages.located_causation")?;
        let located = located.zip(raw.live_until);
        let More { thread_seq, forward, live_until, poll, expires_at } =
            raw.more.map(|more| more.0).unwrap_or_default();
        Ok(Self {
            position: raw.position,
            sender: raw.sender.parse().map_err(damaged("messages.sender"))?,
            at: Timestamp(raw.at),
            causation: raw.causation.parse().map_err(damaged("messages.causation"))?,
            sent: MessageSent {
                seq: raw.seq,
                client_id: raw.client_id,
                text: raw.text.map(Bytes::from),
                reply_to: raw.reply_to,
                thread: raw.thread,
                mentions: raw.mentions,
                thread_seq,
                content: raw.content.map(Bytes::from),
                forward,
                live_until,
                poll,
                expires_at,
            },
            edit,
            located: located.map(|(content, until)| LocatedRow { content, live_until: Timestamp(until) }),
            votes: raw.votes.map(|votes| votes.0),
            replies: raw.replies,
            reactions: raw.reactions.0,
        })
    }
}

#[derive(FromRow)]
pub(super) struct RawInbox {
    pub ord: i64,
    user_id: String,
    conversation: String,
    kind: String,
    name: Option<Vec<u8>>,
    name_causation: String,
    topic: Option<Vec<u8>>,
    topic_causation: Option<String>,
    picture: Option<Vec<u8>>,
    picture_causation: Option<String>,
    history: String,
    join_rule: Option<String>,
    frozen: bool,
    slow_mode_ms: i64,
    joined_seq: i64,
    muted_until: Option<i64>,
    pinned: bool,
    archived_seq: Option<i64>,
    notify: String,
    draft: Option<Vec<u8>>,
    draft_causation: Option<String>,
    members_count: i64,
    last_position: i64,
    last_seq: i64,
    last_at: i64,
    read_seq: i64,
    mentions_unread: i64,
    role: String,
    joined_at: i64,
    present: bool,
}

pub(super) fn sealed(
    bytes: Option<Vec<u8>>,
    causation: Option<String>,
    column: &'static str,
) -> Result<Option<Sealed>, StoreError> {
    let Some((bytes, causation)) = bytes.zip(causation) else { return Ok(None) };
    let causation = causation.parse().map_err(damaged(column))?;
    Ok(Some(Sealed { bytes: bytes.into(), causation }))
}

impl TryFrom<RawInbox> for InboxRow {
    type Error = StoreError;

    fn try_from(raw: RawInbox) -> Result<Self, StoreError> {
        let kind = raw.kind.parse().map_err(damaged("conversations.kind"))?;
        let settings = Settings {
            muted_until: raw.muted_until.map(Timestamp),
            pinned: raw.pinned,
            archived_seq: raw.archived_seq,
            notify: raw.notify.parse().map_err(damaged("pointers.notify"))?,
        };
        Ok(Self {
            user: raw.user_id.parse().map_err(damaged("pointers.user_id"))?,
            conversation: raw.conversation.parse().map_err(damaged("pointers.conversation"))?,
            kind,
            name: sealed(raw.name, Some(raw.name_causation), "conversations.name_causation")?,
            topic: sealed(raw.topic, raw.topic_causation, "conversations.topic_causation")?,
            picture: sealed(raw.picture, raw.picture_causation, "conversations.picture_causation")?,
            history: raw.history.parse().map_err(damaged("conversations.history"))?,
            join: join_rule(raw.join_rule, kind)?,
            frozen: raw.frozen,
            slow_mode_ms: raw.slow_mode_ms,
            joined_seq: raw.joined_seq,
            settings,
            draft: sealed(raw.draft, raw.draft_causation, "pointers.draft_causation")?,
            members_count: raw.members_count,
            last_position: raw.last_position,
            last_seq: raw.last_seq,
            last_at: Timestamp(raw.last_at),
            last_message: None,
            read_seq: raw.read_seq,
            mentions_unread: raw.mentions_unread,
            role: raw.role.parse().map_err(damaged("members.role"))?,
            joined_at: Timestamp(raw.joined_at),
            left: !raw.present,
        })
    }
}
