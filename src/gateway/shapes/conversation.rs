//! Conversations, as their members see them.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Message, Opener, rfc3339, rfc3339_option};
use crate::crypto::Field;
use crate::domain::conversation::Notify;
use crate::domain::policy::{ConversationKind, History, JoinRule, Role};
use crate::domain::{ConversationId, Timestamp, UserId};
use crate::gateway::ports::{ConversationRow, OpenError, Sealed};

/// A conversation in the inbox.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Conversation {
    /// Its id.
    conversation: ConversationId,
    /// It never changes.
    kind: ConversationKind,
    /// None of a direct conversation.
    name: Option<String>,
    /// What it is about.
    topic: Option<String>,
    /// An address, or the id of an attachment.
    picture: Option<String>,
    /// What new members see of what was said before they came.
    history: History,
    /// How one becomes a member without being added.
    join: JoinRule,
    /// Whether only owners and admins write.
    frozen: bool,
    /// How long members wait between two messages.
    slow_mode_ms: i64,
    /// Present members.
    members_count: i64,
    /// The newest event.
    last_position: i64,
    /// The newest message; 0: there was none.
    last_seq: i64,
    /// None where there is none that one may see.
    last_message: Option<Message>,
    /// One's own read pointer.
    read_seq: i64,
    /// Messages after `read_seq`.
    unread: i64,
    /// Mentions of oneself among them.
    mentions_unread: i64,
    /// No pushes before this time.
    #[serde(serialize_with = "rfc3339_option")]
    muted_until: Option<Timestamp>,
    /// At the top of the list.
    pinned: bool,
    /// Out of the list.
    archived: bool,
    /// What is worth a push.
    notify: Notify,
    /// What one has begun to write.
    draft: Option<String>,
    /// One's own; the last one where the membership ended.
    role: Role,
    /// When one joined.
    #[serde(serialize_with = "rfc3339")]
    joined_at: Timestamp,
    /// True where the membership ended.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    left: bool,
}

impl Opener<'_> {
    /// Opens a conversation of the view for `user`.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn conversation(&self, user: UserId, row: ConversationRow) -> Result<Conversation, OpenError> {
        let id = row.conversation;
        // What was said after the end of a membership, or before it, is none of the member's business.
        let visible = !row.left && row.last_seq > row.visible_after;
        let last_message = match row.last_message.filter(|_| visible) {
            Some(message) => Some(self.message(id, message)?),
            None => visible.then(|| Message::removed(id, row.last_seq)),
        };
        let draft = row.draft.filter(|_| !row.left);
        let open = |sealed: Sealed| {
            self.keyring.open_written(self.place(id, sealed.causation), user, Field::Draft, &sealed.bytes)
        };
        let settings = row.settings;
        Ok(Conversation {
            conversation: id,
            kind: row.kind,
            name: self.shown(id, Field::Name, row.name)?,
            topic: self.shown(id, Field::Topic, row.topic)?,
            picture: self.shown(id, Field::Picture, row.picture)?,
            history: row.history,
            join: row.join,
            frozen: row.frozen,
            slow_mode_ms: row.slow_mode_ms,
            members_count: row.members_count,
            last_position: row.last_position,
            last_seq: row.last_seq,
            last_message,
            read_seq: row.read_seq,
            unread: (row.last_seq - row.read_seq).max(0),
            mentions_unread: row.mentions_unread,
            muted_until: settings.muted_until,
            pinned: settings.pinned,
            archived: settings.is_archived(row.last_seq, Timestamp::now()),
            notify: settings.notify,
            draft: draft.map(open).transpose()?,
            role: row.role,
            joined_at: row.joined_at,
            left: row.left,
        })
    }
}
