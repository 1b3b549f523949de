//! Commands, and what becomes of those that cannot be read.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::conversation::{
    self, Block, ChangeSettings, Command, CreateConversation, Draft, EditMessage, InThread, Invite, Located, MarkRead,
    MemberRole, OfInvite, OfMessage, Reaction, ReportMessage, Resolution, Restriction, SendMessage, UpdateConversation,
    Users, Vote,
};
use crate::domain::user::{self, ChangePrivacy, Moderator, OfUser, Profile, WrappedKey};
use crate::domain::{CommandId, ConversationId, IncarnationId, TenantId, Timestamp, UserId};

/// Where a reply goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyTo {
    /// Which gateway waits.
    pub incarnation: IncarnationId,
    /// Its partition of `deliveries`.
    pub partition: i32,
    /// Its own number for what waits.
    pub reference: i64,
}

/// What is asked of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConversationCommand {
    /// Made by the gateway.
    pub command_id: CommandId,
    /// As the protocol names it; exactly the body of that name is set.
    pub r#type: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// The key of the record.
    pub conversation: ConversationId,
    /// Who asks.
    pub actor: UserId,
    /// Absent where nobody waits.
    #[serde(default)]
    pub reply_to: Option<ReplyTo>,
    /// W3C trace context.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// Body.
    #[serde(default)]
    pub conversation_create: Option<CreateConversation>,
    /// Body.
    #[serde(default)]
    pub message_send: Option<SendMessage>,
    /// Body.
    #[serde(default)]
    pub read: Option<MarkRead>,
    /// Body of `member.add`, `member.remove`, `member.decline`, `member.unban` and `member.unmute`.
    #[serde(default)]
    pub members: Option<Users>,
    /// Body.
    #[serde(default)]
    pub message_edit: Option<EditMessage>,
    /// Body of `message.delete`, `message.expire`, `message.hide`, `message.pin`, `message.unpin` and `poll.close`.
    #[serde(default)]
    pub message: Option<OfMessage>,
    /// Body of `reaction.add` and `reaction.remove`.
    #[serde(default)]
    pub reaction: Option<Reaction>,
    /// Body.
    #[serde(default)]
    pub conversation_update: Option<UpdateConversation>,
    /// Body.
    #[serde(default)]
    pub member_role: Option<MemberRole>,
    /// Body of `conversation.settings`.
    #[serde(default)]
    pub settings: Option<ChangeSettings>,
    /// Body of `draft.set`.
    #[serde(default)]
    pub draft: Option<Draft>,
    /// Body of `member.ban` and `member.mute`.
    #[serde(default)]
    pub restriction: Option<Restriction>,
    /// Body.
    #[serde(default)]
    pub block: Option<Block>,
    /// Body of `location.update`.
    #[serde(default)]
    pub located: Option<Located>,
    /// Body of `poll.vote`.
    #[serde(default)]
    pub vote: Option<Vote>,
    /// Body of `thread.read`.
    #[serde(default)]
    pub thread_read: Option<InThread>,
    /// Body of `invite.create`.
    #[serde(default)]
    pub invite: Option<Invite>,
    /// Body of `invite.revoke` and `invite.accept`.
    #[serde(default)]
    pub of_invite: Option<OfInvite>,
    /// Whether the actor asks as a moderator of the tenant, as the gateway read it.
    #[serde(default)]
    pub moderator: Option<bool>,
    /// Body of `message.report`.
    #[serde(default)]
    pub report: Option<ReportMessage>,
    /// Body of `report.resolve`.
    #[serde(default)]
    pub resolution: Option<Resolution>,
}

impl ConversationCommand {
    /// A record of `command`.
    pub fn new(tenant: TenantId, conversation: ConversationId, actor: UserId, command: Command) -> Self {
        let mut record = Self { command_id: CommandId::generate(), tenant, conversation, actor, ..Self::default() };
        record.r#type = match command {
            Command::Create(body) => set(&mut record.conversation_create, body, "conversation.create"),
            Command::Send(body) => set(&mut record.message_send, body, "message.send"),
            Command::Read(body) => set(&mut record.read, body, "read"),
            Command::AddMembers(body) => set(&mut record.members, body, "member.add"),
            Command::RemoveMembers(body) => set(&mut record.members, body, "member.remove"),
            Command::Edit(body) => set(&mut record.message_edit, body, "message.edit"),
            Command::Locate(body) => set(&mut record.located, body, "location.update"),
            Command::Expire(body) => set(&mut record.message, body, "message.expire"),
            Command::Vote(body) => set(&mut record.vote, body, "poll.vote"),
            Command::ClosePoll(body) => set(&mut record.message, body, "poll.close"),
            Command::ReadThread(body) => set(&mut record.thread_read, body, "thread.read"),
            Command::Delete(body) => set(&mut record.message, body, "message.delete"),
            Command::React(body) => set(&mut record.reaction, body, "reaction.add"),
            Command::Unreact(body) => set(&mut record.reaction, body, "reaction.remove"),
            Command::Pin(body) => set(&mut record.message, body, "message.pin"),
            Command::Unpin(body) => set(&mut record.message, body, "message.unpin"),
            Command::Delivered(body) => set(&mut record.read, body, "delivered"),
            Command::Update(body) => set(&mut record.conversation_update, body, "conversation.update"),
            Command::SetRole(body) => set(&mut record.member_role, body, "member.role"),
            Command::Settings(body) => set(&mut record.settings, body, "conversation.settings"),
            Command::Hide(body) => set(&mut record.message, body, "message.hide"),
            Command::Draft(body) => set(&mut record.draft, body, "draft.set"),
            Command::Block(body) => set(&mut record.block, body, "block"),
            Command::Ban(body) => set(&mut record.restriction, body, "member.ban"),
            Command::Mute(body) => set(&mut record.restriction, body, "member.mute"),
            Command::Unban(body) => set(&mut record.members, body, "member.unban"),
            Command::Unmute(body) => set(&mut record.members, body, "member.unmute"),
            Command::Invite(body) => set(&mut record.invite, body, "invite.create"),
            Command::RevokeInvite(body) => set(&mut record.of_invite, body, "invite.revoke"),
            Command::JoinByInvite(body) => set(&mut record.of_invite, body, "invite.accept"),
            Command::Decline(body) => set(&mut record.members, body, "member.decline"),
            Command::Report(body) => set(&mut record.report, body, "message.report"),
            Command::Resolve(body) => set(&mut record.resolution, body, "report.resolve"),
            Command::Join => "conversation.join",
            Command::Leave => "conversation.leave",
        }
        .to_owned();
        record
    }

    /// What `decide` takes, with the broker's append time.
    ///
    /// # Errors
    /// Why it is no command: an unknown type, or one without its body.
    pub fn into_input(self, at: Timestamp) -> Result<conversation::Input, String> {
        let missing = || format!("{} has no body", self.r#type);
        let command = match self.r#type.as_str() {
            "conversation.create" => Command::Create(self.conversation_create.ok_or_else(missing)?),
            "message.send" => Command::Send(self.message_send.ok_or_else(missing)?),
            "read" => Command::Read(self.read.ok_or_else(missing)?),
            "member.add" => Command::AddMembers(self.members.ok_or_else(missing)?),
            "member.remove" => Command::RemoveMembers(self.members.ok_or_else(missing)?),
            "message.edit" => Command::Edit(self.message_edit.ok_or_else(missing)?),
            "location.update" => Command::Locate(self.located.ok_or_else(missing)?),
            "message.expire" => Command::Expire(self.message.ok_or_else(missing)?),
            "poll.vote" => Command::Vote(self.vote.ok_or_else(missing)?),
            "poll.close" => Command::ClosePoll(self.message.ok_or_else(missing)?),
            "thread.read" => Command::ReadThread(self.thread_read.ok_or_else(missing)?),
            "message.delete" => Command::Delete(self.message.ok_or_else(missing)?),
            "reaction.add" => Command::React(self.reaction.ok_or_else(missing)?),
            "reaction.remove" => Command::Unreact(self.reaction.ok_or_else(missing)?),
            "message.pin" => Command::Pin(self.message.ok_or_else(missing)?),
            "message.unpin" => Command::Unpin(self.message.ok_or_else(missing)?),
            "delivered" => Command::Delivered(self.read.ok_or_else(missing)?),
            "conversation.update" => Command::Update(self.conversation_update.ok_or_else(missing)?),
            "member.role" => Command::SetRole(self.member_role.ok_or_else(missing)?),
            "conversation.settings" => Command::Settings(self.settings.ok_or_else(missing)?),
            "message.hide" => Command::Hide(self.message.ok_or_else(missing)?),
            "draft.set" => Command::Draft(self.draft.ok_or_else(missing)?),
            "block" => Command::Block(self.block.ok_or_else(missing)?),
            "member.ban" => Command::Ban(self.restriction.ok_or_else(missing)?),
            "member.mute" => Command::Mute(self.restriction.ok_or_else(missing)?),
            "member.unban" => Command::Unban(self.members.ok_or_else(missing)?),
            "member.unmute" => Command::Unmute(self.members.ok_or_else(missing)?),
            "invite.create" => Command::Invite(self.invite.ok_or_else(missing)?),
            "invite.revoke" => Command::RevokeInvite(self.of_invite.ok_or_else(missing)?),
            "invite.accept" => Command::JoinByInvite(self.of_invite.ok_or_else(missing)?),
            "member.decline" => Command::Decline(self.members.ok_or_else(missing)?),
            "message.report" => Command::Report(self.report.ok_or_else(missing)?),
            "report.resolve" => Command::Resolve(self.resolution.ok_or_else(missing)?),
            "conversation.join" => Command::Join,
            "conversation.leave" => Command::Leave,
            unknown => return Err(format!("unknown command type {unknown:.80?}")),
        };
        let Self { tenant, conversation, actor, .. } = self;
        let moderator = self.moderator.unwrap_or_default();
        Ok(conversation::Input { tenant, conversation, actor, moderator, at, command })
    }
}

/// Sets the body of a command. Its name.
fn set<T>(place: &mut Option<T>, body: T, name: &'static str) -> &'static str {
    *place = Some(body);
    name
}

/// What is asked of a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserCommand {
    /// Made by the gateway.
    pub command_id: CommandId,
    /// `user.put` …; exactly the body of that name is set.
    pub r#type: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// The key of the record.
    pub user: UserId,
    /// Absent where nobody waits.
    #[serde(default)]
    pub reply_to: Option<ReplyTo>,
    /// W3C trace context.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// Body.
    #[serde(default)]
    pub user_put: Option<Profile>,
    /// Body of `user.block` and `user.unblock`.
    #[serde(default)]
    pub other: Option<OfUser>,
    /// Body of `user.set_privacy`.
    #[serde(default)]
    pub privacy: Option<ChangePrivacy>,
    /// Body of `user.set_moderator`.
    #[serde(default)]
    pub moderator: Option<Moderator>,
}

impl UserCommand {
    fn new(kind: &str, tenant: TenantId, user: UserId) -> Self {
        Self {
            command_id: CommandId::generate(),
            r#type: kind.to_owned(),
            tenant,
            user,
            reply_to: None,
            traceparent: None,
            user_put: None,
            other: None,
            privacy: None,
            moderator: None,
        }
    }

    /// A record that creates or updates `user`.
    pub fn put(tenant: TenantId, user: UserId, profile: Profile) -> Self {
        Self { user_put: Some(profile), ..Self::new("user.put", tenant, user) }
    }

    /// A record of `user` blocking `other`, or not any more.
    pub fn block(tenant: TenantId, user: UserId, other: UserId, blocked: bool) -> Self {
        let kind = if blocked { "user.block" } else { "user.unblock" };
        Self { other: Some(OfUser { user: other }), ..Self::new(kind, tenant, user) }
    }

    /// A record that changes to whom `user` shows itself.
    pub fn set_privacy(tenant: TenantId, user: UserId, change: ChangePrivacy) -> Self {
        Self { privacy: Some(change), ..Self::new("user.set_privacy", tenant, user) }
    }

    /// A record that makes `user` a moderator of its tenant, or takes that back.
    pub fn set_moderator(tenant: TenantId, user: UserId, moderator: bool) -> Self {
        Self { moderator: Some(Moderator { moderator }), ..Self::new("user.set_moderator", tenant, user) }
    }

    /// What `decide` takes, with the broker's append time. The caller adds a fresh key.
    ///
    /// # Errors
    /// Why it is no command: an unknown type, or one without its body.
    pub fn into_input(self, at: Timestamp) -> Result<user::Input, String> {
        let missing = || format!("{} has no body", self.r#type);
        let command = match self.r#type.as_str() {
            "user.put" => user::Command::Put(self.user_put.ok_or_else(missing)?),
            "user.block" => user::Command::Block(self.other.ok_or_else(missing)?),
            "user.unblock" => user::Command::Unblock(self.other.ok_or_else(missing)?),
            "user.set_privacy" => user::Command::SetPrivacy(self.privacy.ok_or_else(missing)?),
            "user.set_moderator" => user::Command::SetModerator(self.moderator.ok_or_else(missing)?),
            unknown => return Err(format!("unknown command type {unknown:.80?}")),
        };
        Ok(user::Input { tenant: self.tenant, user: self.user, at, fresh_key: None, command })
    }
}

/// Asks a user's owner to wrap a data key anew. Not a part of [`UserCommand`]: an owner that does not know it takes all others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserKeyRewrap {
    /// Made by whoever asks.
    pub command_id: CommandId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The key of the record.
    pub user: UserId,
    /// W3C trace context.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// Which of the user's data keys.
    pub version: i32,
    /// Which master key wraps it now.
    pub master: String,
    /// As it stands in `user-keys`.
    pub wrapped: Bytes,
}

impl UserKeyRewrap {
    /// What `decide` takes, with the broker's append time. The caller adds the key as it is wrapped anew.
    pub fn into_input(self, at: Timestamp) -> user::Input {
        let key = WrappedKey { version: self.version, master: self.master, wrapped: self.wrapped };
        user::Input { tenant: self.tenant, user: self.user, at, fresh_key: None, command: user::Command::Rewrap(key) }
    }
}

/// A command record that cannot be decoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Where the record stands.
    pub topic: String,
    /// There.
    pub partition: i32,
    /// There.
    pub offset: i64,
    /// Why; no content.
    pub reason: String,
    /// As it was.
    #[serde(default)]
    pub key: Option<Bytes>,
    /// As it was.
    #[serde(default)]
    pub value: Option<Bytes>,
    /// When it was found.
    pub at: Timestamp,
}
