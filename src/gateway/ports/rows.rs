//! Rows of the views, as the edge takes them. They hold sealed content.

use crate::domain::conversation::{Event, Settings};
use crate::domain::policy::{ConversationKind, History, JoinRule, Role, Standing};
use crate::domain::{CommandId, ConversationId, Timestamp, UserId};

pub use crate::store::{
    ChannelRow, EditRow, InviteRow, LocatedRow, MessageRow, PointersRow, ReactionRow, ReceiptsRow, ReportedRow,
    ResolutionRow, SaidRow, Sealed, ThreadRange, ThreadRow, VotesRow,
};

/// An event as the view has it.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    /// As the protocol names it.
    pub kind: String,
    /// 1, 2, 3 … in its conversation.
    pub position: i64,
    /// Its time.
    pub at: Timestamp,
    /// Who did it.
    pub actor: UserId,
    /// The command that brought it.
    pub causation: CommandId,
    /// None for a type that this program does not know.
    pub event: Option<Event>,
}

/// A conversation as one of its members sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ConversationRow {
    /// Which.
    pub conversation: ConversationId,
    /// Direct, group or channel.
    pub kind: ConversationKind,
    /// Sealed.
    pub name: Option<Sealed>,
    /// What it is about.
    pub topic: Option<Sealed>,
    /// An address or the id of an attachment.
    pub picture: Option<Sealed>,
    /// What new members see of what was said before they came.
    pub history: History,
    /// How one becomes a member without being added.
    pub join: JoinRule,
    /// Whether only owners and admins write.
    pub frozen: bool,
    /// How long members wait between two messages, in milliseconds.
    pub slow_mode_ms: i64,
    /// Messages up to this one are not for this member.
    pub visible_after: i64,
    /// One's own.
    pub settings: Settings,
    /// What one has begun to write.
    pub draft: Option<Sealed>,
    /// Present members.
    pub members_count: i64,
    /// The newest event.
    pub last_position: i64,
    /// The newest message.
    pub last_seq: i64,
    /// None if there is none, or it was removed, or its reader removed it for itself.
    pub last_message: Option<MessageRow>,
    /// One's own read pointer.
    pub read_seq: i64,
    /// Mentions of oneself after it.
    pub mentions_unread: i64,
    /// One's own role; the last one where the membership ended.
    pub role: Role,
    /// When one joined.
    pub joined_at: Timestamp,
    /// Whether the membership ended.
    pub left: bool,
}

/// What decides whether somebody may read a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// What it may.
    pub standing: Standing,
    /// The newest message.
    pub last_seq: i64,
    /// The newest event.
    pub last_position: i64,
    /// Messages up to this one are not for this member: they were sent before it came.
    pub visible_after_seq: i64,
    /// Nor events up to this one.
    pub visible_after_position: i64,
}
