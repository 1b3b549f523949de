//! What happens in a conversation. The structs are also the bodies of `ConversationEvent` records.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::command::{Block, Draft, OfMessage, Restriction, UpdateConversation, Users};
use super::report::{Report, Resolution};
use crate::domain::policy::{ConversationKind, Role};
use crate::domain::{InviteId, Timestamp, UserId};

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The first event of every conversation.
    Created(ConversationCreated),
    /// A message.
    Sent(MessageSent),
    /// New members.
    Joined(MemberJoined),
    /// Former members.
    Left(MemberLeft),
    /// The actor invites whoever has the link.
    Invited(Invite),
    /// The link is of no use any more.
    InviteRevoked(OfInvite),
    /// The actor asks to be added.
    Requested,
    /// Users who asked are not added.
    Declined(Users),
    /// A read pointer moved. Not of the timeline.
    Read(Read),
    /// Only a delivered pointer moved. Not of the timeline.
    Delivered(Read),
    /// A message has another text.
    Edited(MessageEdited),
    /// A live location moved.
    Located(Located),
    /// Messages are no more.
    Deleted(MessageDeleted),
    /// The actor reacted.
    Reacted(Reaction),
    /// And took it back.
    Unreacted(Reaction),
    /// The actor voted in a poll.
    Voted(Vote),
    /// A poll has ended.
    PollClosed(OfMessage),
    /// A message is pinned.
    Pinned(OfMessage),
    /// It is not any more.
    Unpinned(OfMessage),
    /// The conversation shows something else of itself.
    Updated(UpdateConversation),
    /// A member has another role.
    Role(MemberRole),
    /// The actor sees the conversation otherwise. Not of the timeline, as all that follows.
    Settings(Settings),
    /// The actor sees a message no more.
    Hidden(OfMessage),
    /// The actor has begun to write.
    Draft(Draft),
    /// The actor has read a thread up to there.
    ThreadRead(InThread),
    /// Users may come back.
    Unbanned(Restriction),
    /// Users may only read.
    Muted(Restriction),
    /// Users may write again.
    Unmuted(Restriction),
    /// The actor writes with the other no more, or again. Not of the timeline.
    Block(Block),
    /// The actor has reported a message. Not of the timeline, and only the tenant's moderators learn.
    Reported(Report),
    /// A moderator has resolved what was reported of a message. Not of the timeline.
    Resolved(Resolution),
}

impl Event {
    /// The `type` on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Created(_) => "conversation.created",
            Self::Sent(_) => "message.sent",
            Self::Joined(_) => "member.joined",
            Self::Left(_) => "member.left",
            Self::Invited(_) => "invite.created",
            Self::InviteRevoked(_) => "invite.revoked",
            Self::Requested => "member.requested",
            Self::Declined(_) => "member.declined",
            Self::Read(_) => "receipt.read",
            Self::Delivered(_) => "receipt.delivered",
            Self::Edited(_) => "message.edited",
            Self::Located(_) => "location.updated",
            Self::Voted(_) => "poll.voted",
            Self::PollClosed(_) => "poll.closed",
            Self::Deleted(_) => "message.deleted",
            Self::Reacted(_) => "reaction.added",
            Self::Unreacted(_) => "reaction.removed",
            Self::Pinned(_) => "message.pinned",
            Self::Unpinned(_) => "message.unpinned",
            Self::Updated(_) => "conversation.updated",
            Self::Role(_) => "member.role",
            Self::Settings(_) => "member.settings",
            Self::Hidden(_) => "member.hidden",
            Self::Draft(_) => "member.draft",
            Self::ThreadRead(_) => "member.thread",
            Self::Unbanned(_) => "member.unbanned",
            Self::Muted(_) => "member.muted",
            Self::Unmuted(_) => "member.unmuted",
            Self::Block(_) => "member.block",
            Self::Reported(_) => "message.reported",
            Self::Resolved(_) => "report.resolved",
        }
    }

    /// The number of the message that this event adds, else 0.
    pub const fn seq(&self) -> i64 {
        match self {
            Self::Sent(sent) => sent.seq,
            _ => 0,
        }
    }
}

/// Body of `conversation.created`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConversationCreated {
    /// Direct, group or channel.
    pub kind: ConversationKind,
    /// Encrypted under the conversation's key.
    #[serde(default)]
    pub name: Option<Bytes>,
    /// All first members; their slots are 0, 1, 2 … in this order.
    pub members: Vec<MemberRole>,
}

/// A member and its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberRole {
    /// Who.
    pub user: UserId,
    /// As what.
    pub role: Role,
}

/// Body of `message.sent`. The sender is the event's actor, whose read pointer moves to `seq`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageSent {
    /// Number of the message: 1, 2, 3 … without a gap.
    pub seq: i64,
    /// As the client named it.
    pub client_id: Uuid,
    /// Encrypted under the sender's data key.
    #[serde(default)]
    pub text: Option<Bytes>,
    /// `seq` of the message that this one answers.
    #[serde(default)]
    pub reply_to: Option<i64>,
    /// `seq` of the message whose thread this one is in.
    #[serde(default)]
    pub thread: Option<i64>,
    /// User ids, `all` or `here`.
    #[serde(default)]
    pub mentions: Vec<String>,
    /// Number of the message in its thread: 1, 2, 3 … without a gap.
    #[serde(default)]
    pub thread_seq: Option<i64>,
    /// A location, a contact or what a poll asks: JSON, encrypted as the text is.
    #[serde(default)]
    pub content: Option<Bytes>,
    /// Whose message this repeats: under its data key are text and content encrypted.
    #[serde(default)]
    pub forward: Option<Forward>,
    /// Until when the location in `content` moves.
    #[serde(default)]
    pub live_until: Option<Timestamp>,
    /// How votes on the poll in `content` are counted.
    #[serde(default)]
    pub poll: Option<PollRules>,
    /// When it is removed.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

impl MessageSent {
    /// A message with nothing in it.
    pub fn new(seq: i64, client_id: Uuid) -> Self {
        Self {
            seq,
            client_id,
            text: None,
            reply_to: None,
            thread: None,
            mentions: Vec::new(),
            thread_seq: None,
            content: None,
            forward: None,
            live_until: None,
            poll: None,
            expires_at: None,
        }
    }

    /// Where it stands in a thread.
    pub fn in_thread(&self) -> Option<InThread> {
        Some(InThread { thread: self.thread?, thread_seq: self.thread_seq? })
    }
}

/// What a message repeats. Of where it stood nothing is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// Who wrote it.
    pub author: UserId,
    /// And when.
    pub at: Timestamp,
}

/// How votes are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollRules {
    /// How many answers there are to choose from.
    pub options: i32,
    /// Whether one may choose several.
    pub multiple: bool,
    /// When it ends; none: when it is ended.
    #[serde(default)]
    pub closes_at: Option<Timestamp>,
}

/// Body of `poll.vote` and `poll.voted`: the actor's choice, instead of what it chose before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Vote {
    /// In which poll.
    pub seq: i64,
    /// Numbers of the answers from 0, rising; empty: none any more.
    pub options: Vec<i32>,
}

/// Body of `location.update` and `location.updated`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    /// Which message.
    pub seq: i64,
    /// The location: JSON, encrypted under the author's data key.
    pub content: Bytes,
    /// Until when it moves; never later than before.
    pub live_until: Timestamp,
}

/// A message of a thread. As the body of `thread.read` and `member.thread`, the newest that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InThread {
    /// `seq` of the message whose thread it is.
    pub thread: i64,
    /// Number of the message in the thread.
    pub thread_seq: i64,
}

/// Body of `member.joined`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberJoined {
    /// Who joined; their slots are `first_slot`, `first_slot + 1` … in this order.
    pub users: Vec<UserId>,
    /// All of them have this one.
    pub role: Role,
    /// Slots number members compactly for large rosters, and are never used again.
    pub first_slot: i64,
    /// Where their read pointers start: the conversation's newest message.
    pub read_seq: i64,
    /// With whose link it came.
    #[serde(default)]
    pub invite: Option<InviteId>,
}

/// Body of `invite.create` and `invite.created`. Whoever has the link, which only its maker was told, may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// Follows from the link, and not the other way round.
    pub invite: InviteId,
    /// When it ends; none: when it is revoked.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// How many may come; none: any number.
    #[serde(default)]
    pub max_uses: Option<i64>,
    /// As what.
    pub role: Role,
}

/// Names an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfInvite {
    /// Which.
    pub invite: InviteId,
}

/// Body of `message.edited`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageEdited {
    /// Which message.
    pub seq: i64,
    /// Encrypted under the author's data key.
    pub text: Bytes,
    /// Keyed hash of the text.
    pub fingerprint: Bytes,
    /// The message's mentions from now on.
    #[serde(default)]
    pub mentions: Vec<String>,
}

crate::string_enum! {
    /// Why a message was removed.
    pub enum DeleteReason {
        /// By who sent it.
        Author => "author",
        /// By somebody of a higher role.
        Moderator => "moderator",
        /// Its time was over.
        Expired => "expired",
    }
}

/// Body of `message.deleted`. The tombstones of `positions` follow from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageDeleted {
    /// Which messages.
    pub messages: Vec<RemovedMessage>,
    /// Why.
    pub reason: DeleteReason,
}

/// What stays of a removed message, so that a view made after its events are gone is the one that saw them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemovedMessage {
    /// Which.
    pub seq: i64,
    /// Whose own pointers it had moved.
    pub sender: UserId,
    /// Of the events that held its content, the first that of `message.sent`.
    pub positions: Vec<i64>,
    /// Time of `message.sent`.
    pub at: Timestamp,
    /// If a retry of the send may still come: it hears what the first try heard.
    #[serde(default)]
    pub client_id: Option<Uuid>,
    /// In which thread it stood, and as which of its messages.
    #[serde(default)]
    pub thread: Option<InThread>,
}

/// Body of `reaction.added` and `reaction.removed`; it is the actor's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reaction {
    /// To which message.
    pub seq: i64,
    /// One grapheme, or `:name:`.
    pub emoji: String,
}

crate::string_enum! {
    /// Why a membership ended.
    pub enum LeaveReason {
        /// By oneself.
        Left => "left",
        /// By an owner or admin.
        Removed => "removed",
        /// By an owner or admin, and not to come back.
        Banned => "banned",
    }
}

/// Body of `member.left`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberLeft {
    /// Whose membership ended.
    pub users: Vec<UserId>,
    /// Why.
    pub reason: LeaveReason,
    /// Who became owner because the last one left.
    #[serde(default)]
    pub promoted: Option<UserId>,
    /// Who may not come back, members or not.
    #[serde(default)]
    pub banned: Vec<UserId>,
    /// When that ends; none: when it is lifted.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

impl MemberLeft {
    /// Who is gone, and why; nobody was promoted or banned.
    pub fn new(users: Vec<UserId>, reason: LeaveReason) -> Self {
        Self { users, reason, promoted: None, banned: Vec::new(), until: None }
    }
}

/// The actor's pointers, both of them, as `receipts` keeps one record a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// The newest message read.
    pub read_seq: i64,
    /// The newest message that reached a device.
    pub delivered_seq: i64,
}

crate::string_enum! {
    /// What of a conversation is worth a push to a member.
    pub enum Notify {
        /// Every message.
        All => "all",
        /// Messages that mention it.
        Mentions => "mentions",
        /// Nothing.
        Nothing => "none",
    }
}

/// How a member sees a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// No pushes before this time.
    #[serde(default)]
    pub muted_until: Option<Timestamp>,
    /// At the top of the list.
    pub pinned: bool,
    /// Out of the list while this is the newest message, or for as long as it is muted.
    #[serde(default)]
    pub archived_seq: Option<i64>,
    /// What is worth a push.
    pub notify: Notify,
}

impl Default for Settings {
    fn default() -> Self {
        Self { muted_until: None, pinned: false, archived_seq: None, notify: Notify::All }
    }
}

impl Settings {
    /// Whether the conversation is out of the list at `now`, its newest message being `last_seq`.
    pub fn is_archived(&self, last_seq: i64, now: Timestamp) -> bool {
        let muted = self.muted_until.is_some_and(|until| until > now);
        self.archived_seq.is_some_and(|archived| archived == last_seq || muted)
    }
}
