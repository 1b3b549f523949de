//! Commands: one file each, with its `Data`, its `Answer`, its `run`, and with what the documents say `ABOUT` it ([`super::spec`]).
//! One dispatcher for frames and for `POST /v1/commands/{type}`.
//!
//! What a command does before its first await happens in the order in which its socket sent it: [`crate::gateway::socket`] polls
//! it once before it takes the next frame. So a send seals and appends before it awaits anything.

mod auth_refresh;
mod block;
mod blocks;
pub mod channels;
mod content;
mod conversation_create;
mod conversation_join;
mod conversation_leave;
mod conversation_settings;
mod conversation_update;
mod delivered;
mod draft_set;
pub mod events;
pub(super) mod fields;
pub mod history;
pub mod inbox;
mod invite_accept;
mod invite_create;
mod invite_revoke;
pub mod invites;
mod location_update;
mod member_add;
mod member_ban;
mod member_decline;
mod member_mute;
mod member_remove;
mod member_role;
mod member_unban;
mod member_unmute;
mod message_delete;
mod message_edit;
pub mod message_get;
mod message_pin;
mod message_report;
mod message_send;
mod message_unpin;
mod moderation;
pub mod permissions;
mod ping;
pub mod pins;
mod poll_close;
mod poll_vote;
mod presence_set;
mod presence_unwatch;
mod presence_watch;
mod privacy;
mod privacy_set;
mod reaction_add;
mod reaction_remove;
mod read;
pub mod receipts;
mod report_resolve;
pub mod reports;
pub mod requests;
pub mod search;
mod thread_read;
pub mod threads;
mod typing;
mod unblock;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, SemaphorePermit};

pub use fields::Moment;

use super::edge::Edge;
use super::failure::{Failure, json};
use super::hub::Socket;
use super::ports::{Journal, Membership, MessageRow};
use super::seen::Scope;
use super::spec::{About, Described, Schemas};
use crate::codec::records::ConversationCommand;
use crate::domain::conversation::Command as Asked;
use crate::domain::decision::Done;
use crate::domain::policy::{self, Action};
use crate::domain::{ConversationId, TenantId, Timestamp, UserId};

/// The `data` of an `ok`, or why not.
pub type Reply<A> = Result<A, Failure>;

/// Who asks.
#[derive(Clone)]
pub struct Context {
    /// Whose user it is.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// The socket; none over HTTP.
    pub socket: Option<Arc<Socket>>,
    /// Bounds what this source has under way that is more than an append. Who runs a command that [`Command::is_read`] holds a permit
    /// until the reply is on its way, as replies to reads are large.
    pub reads: Arc<Semaphore>,
}

macro_rules! commands {
    ($($name:literal => $variant:ident: $module:ident,)+) => {
        /// A command with its data, checked for shape.
        pub enum Command {
            $(#[doc = concat!("`", $name, "`")] $variant($module::Data),)+
        }

        impl Command {
            /// The names of all commands.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// Reads `data` as that of `kind`.
            ///
            /// # Errors
            /// `bad_request`.
            pub fn parse(kind: &str, data: &RawValue) -> Result<Self, Failure> {
                match kind {
                    $($name => parse(kind, data).map(Self::$variant),)+
                    _ => Err(unknown(kind)),
                }
            }

            /// As the protocol names it.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)+
                }
            }

            async fn dispatch(self, edge: &Edge, context: &Context) -> Reply<String> {
                match self {
                    $(Self::$variant(data) => {
                        let reply: Reply<$module::Answer> = $module::run(edge, context, data).await;
                        reply.map(|answer| json(&answer))
                    })+
                }
            }

            /// All commands, for the documents.
            pub fn described(schemas: &mut Schemas) -> Vec<Described> {
                vec![$(Described::new::<$module::Data, $module::Answer>($name, &$module::ABOUT, schemas)),+]
            }
        }
    };
}

commands! {
    "ping" => Ping: ping,
    "auth.refresh" => AuthRefresh: auth_refresh,
    "message.send" => MessageSend: message_send,
    "message.edit" => MessageEdit: message_edit,
    "message.delete" => MessageDelete: message_delete,
    "message.pin" => MessagePin: message_pin,
    "message.unpin" => MessageUnpin: message_unpin,
    "message.get" => MessageGet: message_get,
    "message.report" => MessageReport: message_report,
    "report.resolve" => ReportResolve: report_resolve,
    "reports" => Reports: reports,
    "location.update" => LocationUpdate: location_update,
    "poll.vote" => PollVote: poll_vote,
    "poll.close" => PollClose: poll_close,
    "thread.read" => ThreadRead: thread_read,
    "threads" => Threads: threads,
    "reaction.add" => ReactionAdd: reaction_add,
    "reaction.remove" => ReactionRemove: reaction_remove,
    "read" => Read: read,
    "delivered" => Delivered: delivered,
    "typing" => Typing: typing,
    "conversation.create" => ConversationCreate: conversation_create,
    "conversation.join" => ConversationJoin: conversation_join,
    "conversation.leave" => ConversationLeave: conversation_leave,
    "member.add" => MemberAdd: member_add,
    "conversation.update" => ConversationUpdate: conversation_update,
    "conversation.settings" => ConversationSettings: conversation_settings,
    "draft.set" => DraftSet: draft_set,
    "member.remove" => MemberRemove: member_remove,
    "member.role" => MemberRole: member_role,
    "member.decline" => MemberDecline: member_decline,
    "invite.create" => InviteCreate: invite_create,
    "invite.revoke" => InviteRevoke: invite_revoke,
    "invite.accept" => InviteAccept: invite_accept,
    "invites" => Invites: invites,
    "requests" => Requests: requests,
    "channels" => Channels: channels,
    "member.ban" => MemberBan: member_ban,
    "member.unban" => MemberUnban: member_unban,
    "member.mute" => MemberMute: member_mute,
    "member.unmute" => MemberUnmute: member_unmute,
    "presence.set" => PresenceSet: presence_set,
    "presence.watch" => PresenceWatch: presence_watch,
    "presence.unwatch" => PresenceUnwatch: presence_unwatch,
    "privacy" => Privacy: privacy,
    "privacy.set" => PrivacySet: privacy_set,
    "block" => Block: block,
    "unblock" => Unblock: unblock,
    "blocks" => Blocks: blocks,
    "inbox" => Inbox: inbox,
    "history" => History: history,
    "events" => Events: events,
    "pins" => Pins: pins,
    "receipts" => Receipts: receipts,
    "permissions" => Permissions: permissions,
    "search" => Search: search,
}

impl Command {
    /// Whether it only reads the views: in no order with other commands.
    pub const fn is_read(&self) -> bool {
        matches!(
            self,
            Self::Inbox(_)
                | Self::History(_)
                | Self::Events(_)
                | Self::MessageGet(_)
                | Self::Threads(_)
                | Self::Invites(_)
                | Self::Requests(_)
                | Self::Channels(_)
                | Self::Pins(_)
                | Self::Permissions(_)
                | Self::Blocks(_)
                | Self::Privacy(_)
                | Self::Receipts(_)
                | Self::Reports(_)
                | Self::Search(_)
        )
    }

    /// Does it.
    pub async fn run(self, edge: Arc<Edge>, context: Context) -> Reply<String> {
        let name = self.name();
        let reply = self.dispatch(&edge, &context).await;
        let code = reply.as_ref().map_or_else(|failure| failure.code.as_str(), |_| "ok");
        metrics::counter!("tidings_gateway_replies_total", "command" => name, "code" => code).increment(1);
        reply
    }
}

fn unknown(kind: &str) -> Failure {
    if kind == "hello" {
        Failure::bad_request("hello is the first frame of a socket, once")
    } else {
        Failure::bad_request(format!("unknown command type {kind:.40?}"))
    }
}

fn parse<T: DeserializeOwned>(kind: &str, data: &RawValue) -> Result<T, Failure> {
    // A struct could also be read from an array.
    if !data.get().starts_with('{') {
        return Err(Failure::bad_request("data must be an object"));
    }
    serde_json::from_str(data.get()).map_err(|error| Failure::bad_request(format!("{kind}: {error:.300}")))
}

impl Context {
    /// A command of this user.
    fn command(&self, conversation: ConversationId, command: Asked) -> ConversationCommand {
        ConversationCommand::new(self.tenant, conversation, self.user, command)
    }

    /// Waits until this source may read once more.
    async fn read_permit(&self) -> Result<SemaphorePermit<'_>, Failure> {
        // Never closed.
        self.reads.acquire().await.map_err(|_| Failure::internal())
    }
}

/// Waits until `context` sees its own writes to `conversation`, then says how it stands to it, member or not.
///
/// # Errors
/// `not_found`, or `unavailable`.
async fn membership(edge: &Edge, context: &Context, conversation: ConversationId) -> Result<Membership, Failure> {
    let partition = edge.partition_of(&conversation.to_string());
    edge.seen.settle(context.user, Scope::Partition(Journal::Conversations, partition)).await?;
    let membership = edge.ports.reads.membership(context.tenant, conversation, context.user).await?;
    membership.ok_or_else(|| Failure::not_found("there is no such conversation"))
}

/// As [`membership`], of somebody who may see the conversation.
///
/// # Errors
/// `not_found`, `not_a_member`, or `unavailable`.
pub(super) async fn may_view(
    edge: &Edge,
    context: &Context,
    conversation: ConversationId,
) -> Result<Membership, Failure> {
    let membership = membership(edge, context, conversation).await?;
    policy::allow(membership.standing, Action::View)?;
    Ok(membership)
}

/// The message that `context` names, if it is there and may be seen.
///
/// # Errors
/// As [`may_view`], `not_found`, and `bad_request` of what is no `seq`.
pub(super) async fn visible_message(
    edge: &Edge,
    context: &Context,
    conversation: ConversationId,
    seq: i64,
) -> Result<MessageRow, Failure> {
    if seq < 1 {
        return Err(Failure::bad_request("seq must be that of a message: 1 or more"));
    }
    let membership = may_view(edge, context, conversation).await?;
    if seq <= membership.visible_after_seq {
        return Err(no_message());
    }
    message_at(edge, context, conversation, seq).await
}

/// A message that `context` may see, if it is there.
async fn message_at(
    edge: &Edge,
    context: &Context,
    conversation: ConversationId,
    seq: i64,
) -> Result<MessageRow, Failure> {
    let row = edge.ports.reads.messages(context.user, conversation, seq, seq).await?.pop();
    let over = |row: &MessageRow| row.sent.expires_at.is_some_and(|expires_at| expires_at <= Timestamp::now());
    row.filter(|row| !over(row)).ok_or_else(no_message)
}

fn no_message() -> Failure {
    Failure::not_found("there is no such message, or it was removed")
}

/// What most changes answer.
#[derive(Serialize, JsonSchema)]
pub struct Changed {
    /// Of the event, or of the newest where there was nothing to change.
    position: i64,
    /// Whether it was so already.
    duplicate: bool,
}

impl From<Done> for Changed {
    fn from(done: Done) -> Self {
        Self { position: done.position, duplicate: done.duplicate }
    }
}

/// `{}`: that it was done.
#[derive(Serialize, JsonSchema)]
pub struct Nothing {}

#[cfg(test)]
mod tests;
