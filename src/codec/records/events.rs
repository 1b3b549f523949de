//! The public records: what analysts, workers and rebuilds read.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::conversation::{
    Block, ConversationCreated, Draft, Event, InThread, Invite, Located, MemberJoined, MemberLeft, MemberRole,
    MessageDeleted, MessageEdited, MessageSent, OfInvite, OfMessage, Reaction, Read, Report, Resolution, Restriction,
    Settings, UpdateConversation, Users, Vote,
};
use crate::domain::user::{Moderator, OfUser, Privacy, Profile};
use crate::domain::{CommandId, ConversationId, EventId, TenantId, Timestamp, UserId};

/// What happened in a conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConversationEvent {
    /// Unique, and the same on every replay.
    pub event_id: EventId,
    /// As the protocol names it.
    pub r#type: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// In which conversation.
    pub conversation: ConversationId,
    /// 1, 2, 3 … there.
    pub position: i64,
    /// Who did it.
    pub actor: UserId,
    /// The broker's time of the command.
    pub occurred_at: Timestamp,
    /// The command.
    pub causation: CommandId,
    /// W3C trace context.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// With partition and index: the order of all events of a journal.
    pub epoch: i32,
    /// Journal partition.
    pub partition: i32,
    /// 1, 2, 3 … over the partition's accepted records.
    pub index: i64,
    /// The conversation's newest message after this.
    pub last_seq: i64,
    /// Body.
    #[serde(default)]
    pub conversation_created: Option<ConversationCreated>,
    /// Body.
    #[serde(default)]
    pub message_sent: Option<MessageSent>,
    /// Body.
    #[serde(default)]
    pub member_joined: Option<MemberJoined>,
    /// Body.
    #[serde(default)]
    pub member_left: Option<MemberLeft>,
    /// Body.
    #[serde(default)]
    pub message_edited: Option<MessageEdited>,
    /// Body.
    #[serde(default)]
    pub message_deleted: Option<MessageDeleted>,
    /// Body of `message.pinned`, `message.unpinned` and `poll.closed`.
    #[serde(default)]
    pub message: Option<OfMessage>,
    /// Body of `reaction.added` and `reaction.removed`.
    #[serde(default)]
    pub reaction: Option<Reaction>,
    /// Body.
    #[serde(default)]
    pub conversation_updated: Option<UpdateConversation>,
    /// Body.
    #[serde(default)]
    pub member_role: Option<MemberRole>,
    /// Body of `member.muted`, `member.unmuted` and `member.unbanned`.
    #[serde(default)]
    pub restriction: Option<Restriction>,
    /// Body of `location.updated`.
    #[serde(default)]
    pub located: Option<Located>,
    /// Body of `poll.voted`.
    #[serde(default)]
    pub vote: Option<Vote>,
    /// Body of `invite.created`.
    #[serde(default)]
    pub invite: Option<Invite>,
    /// Body of `invite.revoked`.
    #[serde(default)]
    pub of_invite: Option<OfInvite>,
    /// Body of `member.declined`.
    #[serde(default)]
    pub users: Option<Users>,
}

impl ConversationEvent {
    /// Sets the type and the body of `event`, which is of the timeline.
    pub fn set(&mut self, event: Event) {
        event.name().clone_into(&mut self.r#type);
        match event {
            Event::Created(body) => self.conversation_created = Some(body),
            Event::Sent(body) => self.message_sent = Some(body),
            Event::Joined(body) => self.member_joined = Some(body),
            Event::Left(body) => self.member_left = Some(body),
            Event::Edited(body) => self.message_edited = Some(body),
            Event::Deleted(body) => self.message_deleted = Some(body),
            Event::Reacted(body) | Event::Unreacted(body) => self.reaction = Some(body),
            Event::Located(body) => self.located = Some(body),
            Event::Voted(body) => self.vote = Some(body),
            Event::Invited(body) => self.invite = Some(body),
            Event::InviteRevoked(body) => self.of_invite = Some(body),
            Event::Declined(body) => self.users = Some(body),
            Event::Pinned(body) | Event::Unpinned(body) | Event::PollClosed(body) => self.message = Some(body),
            Event::Updated(body) => self.conversation_updated = Some(body),
            Event::Role(body) => self.member_role = Some(body),
            Event::Muted(body) | Event::Unmuted(body) | Event::Unbanned(body) => self.restriction = Some(body),
            Event::Requested
            | Event::Read(_)
            | Event::Delivered(_)
            | Event::Settings(_)
            | Event::Hidden(_)
            | Event::Draft(_)
            | Event::ThreadRead(_)
            | Event::Reported(_)
            | Event::Resolved(_)
            | Event::Block(_) => {}
        }
    }

    /// The event, or none if this program does not know its type.
    pub fn event(&self) -> Option<Event> {
        Some(match self.r#type.as_str() {
            "conversation.created" => Event::Created(self.conversation_created.clone()?),
            "message.sent" => Event::Sent(self.message_sent.clone()?),
            "member.joined" => Event::Joined(self.member_joined.clone()?),
            "member.left" => Event::Left(self.member_left.clone()?),
            "message.edited" => Event::Edited(self.message_edited.clone()?),
            "message.deleted" => Event::Deleted(self.message_deleted.clone()?),
            "reaction.added" => Event::Reacted(self.reaction.clone()?),
            "reaction.removed" => Event::Unreacted(self.reaction.clone()?),
            "location.updated" => Event::Located(self.located.clone()?),
            "invite.created" => Event::Invited(self.invite?),
            "invite.revoked" => Event::InviteRevoked(self.of_invite?),
            "member.requested" => Event::Requested,
            "member.declined" => Event::Declined(self.users.clone()?),
            "poll.voted" => Event::Voted(self.vote.clone()?),
            "poll.closed" => Event::PollClosed(self.message?),
            "message.pinned" => Event::Pinned(self.message?),
            "message.unpinned" => Event::Unpinned(self.message?),
            "conversation.updated" => Event::Updated(self.conversation_updated.clone()?),
            "member.role" => Event::Role(self.member_role?),
            "member.muted" => Event::Muted(self.restriction.clone()?),
            "member.unmuted" => Event::Unmuted(self.restriction.clone()?),
            "member.unbanned" => Event::Unbanned(self.restriction.clone()?),
            _ => return None,
        })
    }
}

/// Both pointers of a member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Unique.
    pub event_id: EventId,
    /// Whose it is.
    pub tenant: TenantId,
    /// In which conversation.
    pub conversation: ConversationId,
    /// Whose pointers.
    pub user: UserId,
    /// The newest message read.
    pub read_seq: i64,
    /// The newest message that reached a device.
    pub delivered_seq: i64,
    /// The broker's time of the command.
    pub occurred_at: Timestamp,
    /// The command.
    pub causation: CommandId,
    /// W3C trace context.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// As in [`ConversationEvent`].
    pub epoch: i32,
    /// Journal partition.
    pub partition: i32,
    /// As in [`ConversationEvent`].
    pub index: i64,
    /// `receipt.read` or `receipt.delivered`.
    #[serde(default = "read_moved")]
    pub r#type: String,
}

fn read_moved() -> String {
    "receipt.read".to_owned()
}

impl Receipt {
    /// The event.
    pub fn event(&self) -> Event {
        let pointers = Read { read_seq: self.read_seq, delivered_seq: self.delivered_seq };
        if self.r#type == "receipt.delivered" { Event::Delivered(pointers) } else { Event::Read(pointers) }
    }
}

/// What a member keeps for itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemberState {
    /// Unique.
    pub event_id: EventId,
    /// `member.settings`, `member.hidden`, `member.draft`, `member.block`, `member.thread`, `message.reported` or `report.resolved`.
    pub r#type: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// In which conversation.
    pub conversation: ConversationId,
    /// Whose.
    pub user: UserId,
    /// The broker's time of the command.
    pub occurred_at: Timestamp,
    /// The command.
    pub causation: CommandId,
    /// W3C trace context.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// As in [`ConversationEvent`].
    pub epoch: i32,
    /// Journal partition.
    pub partition: i32,
    /// As in [`ConversationEvent`].
    pub index: i64,
    /// Body.
    #[serde(default)]
    pub settings: Option<Settings>,
    /// Body.
    #[serde(default)]
    pub hidden: Option<OfMessage>,
    /// Body.
    #[serde(default)]
    pub draft: Option<Draft>,
    /// Body.
    #[serde(default)]
    pub block: Option<Block>,
    /// Body.
    #[serde(default)]
    pub thread: Option<InThread>,
    /// Body.
    #[serde(default)]
    pub report: Option<Report>,
    /// Body.
    #[serde(default)]
    pub resolution: Option<Resolution>,
}

impl MemberState {
    /// Sets the type and the body of `event`, which is a member's own.
    pub fn set(&mut self, event: Event) {
        event.name().clone_into(&mut self.r#type);
        match event {
            Event::Settings(body) => self.settings = Some(body),
            Event::Hidden(body) => self.hidden = Some(body),
            Event::Draft(body) => self.draft = Some(body),
            Event::Block(body) => self.block = Some(body),
            Event::ThreadRead(body) => self.thread = Some(body),
            Event::Reported(body) => self.report = Some(body),
            Event::Resolved(body) => self.resolution = Some(body),
            _ => {}
        }
    }

    /// The event, or none if this program does not know its type.
    pub fn event(&self) -> Option<Event> {
        Some(match self.r#type.as_str() {
            "member.settings" => Event::Settings(self.settings?),
            "member.hidden" => Event::Hidden(self.hidden?),
            "member.draft" => Event::Draft(self.draft.clone()?),
            "member.block" => Event::Block(self.block?),
            "member.thread" => Event::ThreadRead(self.thread?),
            "message.reported" => Event::Reported(self.report.clone()?),
            "report.resolved" => Event::Resolved(self.resolution?),
            _ => return None,
        })
    }
}

/// What happened to a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserEvent {
    /// Unique, and the same on every replay.
    pub event_id: EventId,
    /// `user.registered` or `user.updated`.
    pub r#type: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// 1, 2, 3 … of the user.
    pub position: i64,
    /// Who did it.
    pub actor: UserId,
    /// The broker's time of the command.
    pub occurred_at: Timestamp,
    /// The command.
    pub causation: CommandId,
    /// W3C trace context.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// As in [`ConversationEvent`].
    pub epoch: i32,
    /// Journal partition.
    pub partition: i32,
    /// As in [`ConversationEvent`].
    pub index: i64,
    /// Body.
    #[serde(default)]
    pub user_registered: Option<Profile>,
    /// Body.
    #[serde(default)]
    pub user_updated: Option<Profile>,
    /// Body of `user.blocked` and `user.unblocked`.
    #[serde(default)]
    pub user_blocked: Option<OfUser>,
    /// Body of `user.privacy_changed`.
    #[serde(default)]
    pub user_privacy: Option<Privacy>,
    /// Body of `user.moderator_changed`.
    #[serde(default)]
    pub user_moderator: Option<Moderator>,
}

/// A data key, wrapped by a master key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// Whose key.
    pub user: UserId,
    /// 1, 2, 3 … within the user.
    pub version: i32,
    /// Which master key wraps it.
    pub master: String,
    /// Nonce and sealed key.
    pub wrapped: Bytes,
    /// The broker's time of the command.
    pub created_at: Timestamp,
    /// As in [`ConversationEvent`].
    pub epoch: i32,
    /// Journal partition.
    pub partition: i32,
    /// As in [`ConversationEvent`].
    pub index: i64,
}
