//! What can be asked of a conversation. The structs are also the bodies of `ConversationCommand` records.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::{Forward, InThread, Invite, Located, MemberRole, Notify, OfInvite, PollRules, Reaction, Vote};
use super::report::{ReportMessage, Resolution};
use crate::domain::policy::{ConversationKind, History, JoinRule};
use crate::domain::{ConversationId, TenantId, Timestamp, UserId};

/// A command with what surrounds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Whose conversation it is.
    pub tenant: TenantId,
    /// Which one; the key of the record.
    pub conversation: ConversationId,
    /// Who asks, as the gateway authenticated it.
    pub actor: UserId,
    /// Whether it asks as a moderator of the tenant, which the gateway read.
    pub moderator: bool,
    /// When the broker appended the command.
    pub at: Timestamp,
    /// What is asked.
    pub command: Command,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make the conversation.
    Create(CreateConversation),
    /// Send a message.
    Send(SendMessage),
    /// Move one's own read pointer forward.
    Read(MarkRead),
    /// Add users whom the gateway found to exist in the tenant.
    AddMembers(Users),
    /// Remove users.
    RemoveMembers(Users),
    /// Become a member.
    Join,
    /// Stop being a member.
    Leave,
    /// Make an invitation.
    Invite(Invite),
    /// End it.
    RevokeInvite(OfInvite),
    /// Become a member with its link.
    JoinByInvite(OfInvite),
    /// Refuse those who asked to be added.
    Decline(Users),
    /// Change the text of one's own message.
    Edit(EditMessage),
    /// Move one's own live location.
    Locate(Located),
    /// Remove a message for everyone.
    Delete(OfMessage),
    /// Remove a message whose time is over.
    Expire(OfMessage),
    /// React to a message.
    React(Reaction),
    /// Take a reaction back.
    Unreact(Reaction),
    /// Vote in a poll, or take the vote back.
    Vote(Vote),
    /// End a poll.
    ClosePoll(OfMessage),
    /// Pin a message.
    Pin(OfMessage),
    /// Unpin it.
    Unpin(OfMessage),
    /// Move one's own delivered pointer forward.
    Delivered(MarkRead),
    /// Move one's own pointer in a thread forward.
    ReadThread(InThread),
    /// Change what the conversation shows of itself.
    Update(UpdateConversation),
    /// Give a member another role.
    SetRole(MemberRole),
    /// Change how one sees the conversation oneself.
    Settings(ChangeSettings),
    /// Remove a message for oneself only.
    Hide(OfMessage),
    /// Keep what one has begun to write.
    Draft(Draft),
    /// Remove users and keep them out.
    Ban(Restriction),
    /// Let them come back.
    Unban(Users),
    /// Let members only read.
    Mute(Restriction),
    /// Let them write again.
    Unmute(Users),
    /// Write no more with the other of a direct conversation, or again.
    Block(Block),
    /// Tell the tenant's moderators of a message.
    Report(ReportMessage),
    /// Say what came of it.
    Resolve(Resolution),
}

/// Body of `conversation.create`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreateConversation {
    /// Direct, group or channel.
    pub kind: ConversationKind,
    /// The others; the creator is a member anyway. The gateway found them to exist in the tenant.
    pub members: Vec<UserId>,
    /// Encrypted under the conversation's key.
    #[serde(default)]
    pub name: Option<Bytes>,
    /// Makes the id of a group.
    pub client_id: Uuid,
}

/// Body of `message.send`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SendMessage {
    /// A UUIDv7: sending again with it within 24 hours sends nothing.
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
    /// A location, a contact or what a poll asks: JSON, encrypted as the text is.
    #[serde(default)]
    pub content: Option<Bytes>,
    /// Whose message this repeats. The gateway read it; text and content are encrypted under its author's data key.
    #[serde(default)]
    pub forward: Option<Forward>,
    /// Until when the location in `content` moves.
    #[serde(default)]
    pub live_until: Option<Timestamp>,
    /// How votes on the poll in `content` are counted.
    #[serde(default)]
    pub poll: Option<PollRules>,
    /// After how long it is removed, in milliseconds.
    #[serde(default)]
    pub expires_in_ms: Option<i64>,
}

impl SendMessage {
    /// A message with nothing in it.
    pub fn new(client_id: Uuid) -> Self {
        Self {
            client_id,
            text: None,
            reply_to: None,
            thread: None,
            mentions: Vec::new(),
            content: None,
            forward: None,
            live_until: None,
            poll: None,
            expires_in_ms: None,
        }
    }
}

/// Body of `message.edit`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EditMessage {
    /// Which message.
    pub seq: i64,
    /// Encrypted under the author's data key.
    pub text: Bytes,
    /// Keyed hash of the new text, so that the same edit again is known as such.
    pub fingerprint: Bytes,
    /// User ids, `all` or `here`; none leaves them as they are.
    #[serde(default)]
    pub mentions: Option<Vec<String>>,
}

/// Body of commands that name only a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OfMessage {
    /// Which.
    pub seq: i64,
}

/// Body of `conversation.update`, of which what is set changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpdateConversation {
    /// Encrypted under the conversation's key.
    #[serde(default)]
    pub name: Option<Bytes>,
    /// Encrypted under the conversation's key.
    #[serde(default)]
    pub topic: Option<Bytes>,
    /// Encrypted under the conversation's key.
    #[serde(default)]
    pub picture: Option<Bytes>,
    /// What new members see of what was said before they came.
    #[serde(default)]
    pub history: Option<History>,
    /// How one becomes a member without being added.
    #[serde(default)]
    pub join: Option<JoinRule>,
    /// Whether only owners and admins write.
    #[serde(default)]
    pub frozen: Option<bool>,
    /// How long members wait between two messages; 0: not at all.
    #[serde(default)]
    pub slow_mode_ms: Option<i64>,
    /// Which of `name`, `topic` and `picture` are to be there no more.
    #[serde(default)]
    pub cleared: Vec<String>,
}

/// Body of `read` and `delivered`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarkRead {
    /// The newest message read, or that reached a device.
    pub seq: i64,
}

/// Body of `member.add`, `member.remove`, `member.decline`, `member.unban` and `member.unmute`, and of the event `member.declined`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Users {
    /// At most [`super::MAX_USERS_A_COMMAND`].
    pub users: Vec<UserId>,
}

impl UpdateConversation {
    /// Whether it changes nothing but whether the conversation is frozen.
    pub fn freezes(&self) -> bool {
        self.frozen.is_some() && *self == Self { frozen: self.frozen, ..Self::default() }
    }
}

/// Body of `conversation.settings`, of which what is set changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChangeSettings {
    /// No pushes before this time.
    #[serde(default)]
    pub muted_until: Option<Timestamp>,
    /// Pushes again.
    #[serde(default)]
    pub unmuted: bool,
    /// At the top of the list.
    #[serde(default)]
    pub pinned: Option<bool>,
    /// Out of the list, until the next message.
    #[serde(default)]
    pub archived: Option<bool>,
    /// What is worth a push.
    #[serde(default)]
    pub notify: Option<Notify>,
}

/// Body of `draft.set`, and of the event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// Encrypted under the author's data key; none: there is none any more.
    #[serde(default)]
    pub text: Option<Bytes>,
}

/// Body of `member.ban` and `member.mute`, and of the events `member.muted`, `member.unmuted` and `member.unbanned`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Restriction {
    /// Whom, at most [`super::MAX_USERS_A_COMMAND`].
    pub users: Vec<UserId>,
    /// When it ends; none: when it is lifted.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

/// Body of the command and of the event: whether the actor writes with the other of a direct conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Not any more, or again.
    pub blocked: bool,
}
