//! What the gateway's edge needs of others: one trait each, so that sockets, commands and HTTP are tested without Kafka and Postgres.

mod rows;
mod search;

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::failure::Failure;
use super::hub::Socket;
use crate::codec::records::{Marks, PresenceStatus, Session};
use crate::crypto::Field;

use crate::domain::policy::{Reported, Role, Sight};
use crate::domain::user::Privacy;
use crate::domain::{CommandId, ConversationId, TenantId, Timestamp, UserId};

pub use rows::{
    ChannelRow, ConversationRow, EditRow, EventRow, InviteRow, LocatedRow, Membership, MessageRow, PointersRow,
    ReactionRow, ReceiptsRow, ReportedRow, ResolutionRow, SaidRow, Sealed, ThreadRange, ThreadRow, VotesRow,
};
pub use search::{Search, Searchable, TermsHit, WantedTerms};

/// Why a view cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The client's cursor is none of ours.
    #[error("the cursor is not one of this server")]
    BadCursor,
    /// It would take longer than it may.
    #[error("the question takes too long")]
    TooLong,
    /// Postgres is away or slow.
    #[error("the views cannot be read")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

crate::string_enum! {
    /// In which order conversations are listed.
    pub enum InboxOrder {
        /// As apps list them: pinned ones, then the newest change first.
        Listed => "listed",
        /// By their ids: nothing moves between two pages, for who wants them all.
        Id => "id",
    }
}

/// Which page of the inbox is asked for.
#[derive(Clone, Debug)]
pub struct AskedPage {
    /// In which order.
    pub order: InboxOrder,
    /// Only archived ones, or only others.
    pub archived: Option<bool>,
    /// [`InboxPage::cursor`] of the page before.
    pub cursor: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// A page of the inbox.
#[derive(Clone, Debug, Default)]
pub struct InboxPage {
    /// In the order asked for.
    pub conversations: Vec<ConversationRow>,
    /// Where the next page starts.
    pub cursor: Option<String>,
    /// Whether there is one.
    pub has_more: bool,
}

/// A page of reported messages.
#[derive(Clone, Debug, Default)]
pub struct ReportsPage {
    /// The longest waiting first, or resolved last first.
    pub reported: Vec<ReportedRow>,
    /// Where the next page starts.
    pub cursor: Option<String>,
    /// Whether there is one.
    pub has_more: bool,
}

/// Whom an API key is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its tenant.
    pub tenant: TenantId,
    /// What else it may: `admin` …
    pub scopes: Vec<String>,
}

/// A user's profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// For people.
    pub name: Option<String>,
}

/// One of the two journals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Journal {
    /// `conversation-journal`.
    Conversations,
    /// `user-journal`.
    Users,
}

/// Reads of the views.
#[async_trait]
pub trait Reads: Send + Sync {
    /// The key with this SHA-256, unless it is revoked.
    async fn api_key(&self, sha256: [u8; 32]) -> Result<Option<ApiKey>, ReadError>;
    /// How `user` stands to `conversation`; none if there is no such conversation in the tenant.
    async fn membership(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<Membership>, ReadError>;
    /// A page of the conversations of `user`, ended ones not among them.
    async fn inbox(&self, tenant: TenantId, user: UserId, asked: &AskedPage) -> Result<InboxPage, ReadError>;
    /// One conversation of `user`; none if it never was a member.
    async fn conversation(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<ConversationRow>, ReadError>;
    /// The messages with `first <= seq <= last` that were not removed, as `user` sees them, in any order.
    async fn messages(
        &self,
        user: UserId,
        conversation: ConversationId,
        first: i64,
        last: i64,
    ) -> Result<Vec<MessageRow>, ReadError>;
    /// The invitations to a conversation that were not revoked, made last first.
    async fn invites(&self, conversation: ConversationId) -> Result<Vec<InviteRow>, ReadError>;
    /// The first `limit` users after `after` who ask to be added, and since when.
    async fn requests(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<(UserId, Timestamp)>, ReadError>;
    /// The first `limit` channels after `after` that `user` may join or ask for.
    async fn channels(
        &self,
        tenant: TenantId,
        user: UserId,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<ChannelRow>, ReadError>;
    /// The first `limit` messages of a thread that were not removed, as `user` sees them.
    async fn thread(
        &self,
        user: UserId,
        conversation: ConversationId,
        range: ThreadRange,
        limit: i64,
    ) -> Result<Vec<MessageRow>, ReadError>;
    /// Threads whose newest message lies between the two of `seqs`, the newest first; only those that `user` follows, if `following`.
    async fn threads(
        &self,
        user: UserId,
        conversation: ConversationId,
        seqs: (i64, i64),
        following: bool,
        limit: u32,
    ) -> Result<Vec<ThreadRow>, ReadError>;
    /// The pinned messages, as `user` sees them, pinned last first.
    async fn pins(&self, user: UserId, conversation: ConversationId) -> Result<Vec<MessageRow>, ReadError>;
    /// The first `limit` events after `position` that `user` may see, oldest first.
    async fn events(
        &self,
        user: UserId,
        conversation: ConversationId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<EventRow>, ReadError>;
    /// The first `limit` members with an id after `after`, in order of their ids.
    async fn members(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<(UserId, Role)>, ReadError>;
    /// Of `users`, those who have blocked `user`, or whom it has blocked.
    async fn blocked(&self, user: UserId, users: &[UserId]) -> Result<Vec<UserId>, ReadError>;
    /// The first `limit` users with an id after `after` whom `user` has blocked, in order of their ids.
    async fn blocks(&self, user: UserId, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, ReadError>;
    /// What the first of each two sees of whether the second is there.
    async fn sights(&self, asked: &[(UserId, UserId)]) -> Result<Vec<Sight>, ReadError>;
    /// To whom a user shows itself.
    async fn privacy(&self, user: UserId) -> Result<Privacy, ReadError>;
    /// How far the members have got.
    async fn receipts(&self, conversation: ConversationId, seq: i64, listed: usize) -> Result<ReceiptsRow, ReadError>;
    /// Whether `user` moderates its tenant.
    async fn moderates(&self, tenant: TenantId, user: UserId) -> Result<bool, ReadError>;
    /// How a message stands to what was reported.
    async fn reported(&self, conversation: ConversationId, seq: i64) -> Result<Reported, ReadError>;
    /// A page of the tenant's reported messages, those that wait or the others, whoever may read them.
    async fn reports(
        &self,
        tenant: TenantId,
        open: bool,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<ReportsPage, ReadError>;
    /// A user's profile.
    async fn user(&self, tenant: TenantId, user: UserId) -> Result<Option<UserRow>, ReadError>;
    /// How far the views are: the next journal offset of each partition.
    async fn applied(&self, journal: Journal) -> Result<HashMap<i32, i64>, ReadError>;
}

/// Where sealed content stands: it opens nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose it is.
    pub tenant: TenantId,
    /// Where.
    pub conversation: ConversationId,
    /// The command that brought it.
    pub command: CommandId,
}

/// Why sealed content cannot be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The key is not here, perhaps not yet. Never shown as "deleted".
    #[error("the key is not here")]
    KeyMissing,
    /// Changed, or of another place.
    #[error("the seal is broken")]
    Broken,
}

/// Data keys, and the ids that are derived from keys.
#[async_trait]
pub trait Keyring: Send + Sync {
    /// The tenant of `user`; none if there is no such user here (yet).
    fn tenant_of(&self, user: UserId) -> Option<TenantId>;
    /// Whether `user` of `tenant` is here; waits at most `timeout` for one just registered, and as long for one of another tenant: the
    /// time tells nobody which ids are taken there.
    async fn wait_for(&self, tenant: TenantId, user: UserId, timeout: Duration) -> bool;
    /// The user whom `tenant` calls `external_id`.
    fn user_id(&self, tenant: TenantId, external_id: &str) -> UserId;
    /// Seals what somebody wrote under the newest key of `author`. None: there is no key here.
    fn seal_written(&self, place: Place, author: UserId, field: Field, text: &str) -> Option<Bytes>;
    /// Opens what somebody wrote.
    fn open_written(&self, place: Place, author: UserId, field: Field, sealed: &[u8]) -> Result<String, OpenError>;
    /// What tells that `author` wrote the same text for message `seq`, and nothing to others. None: there is no key here.
    fn fingerprint(&self, author: UserId, conversation: ConversationId, seq: i64, text: &str) -> Option<Bytes>;
    /// Of each of what can be searched for in `conversation`, the hash.
    fn terms(&self, conversation: ConversationId, terms: &[Vec<u8>]) -> Vec<i64>;
    /// Seals what a conversation shows of itself under its key. None: no randomness to be had.
    fn seal_shown(&self, place: Place, field: Field, text: &str) -> Option<Bytes>;
    /// Opens what a conversation shows of itself.
    fn open_shown(&self, place: Place, field: Field, sealed: &[u8]) -> Result<String, OpenError>;
}

/// What an access token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whose user it is.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Access tokens.
pub trait Tokens: Send + Sync {
    /// What `token` says, if it is whole and one of ours. Whether it has expired is for the caller to see; there is one, `Auth::token`.
    fn verify(&self, token: &str) -> Option<Claims>;
    /// A new one.
    ///
    /// # Errors
    /// As the client is to be told.
    fn mint(&self, tenant: TenantId, user: UserId, ttl: Duration) -> Result<String, Failure>;
    /// The public keys, as JSON.
    fn jwks(&self) -> String;
}

/// An append under way; resolves when it is durable, or has failed for a reason that was logged.
pub type Appending = BoxFuture<'static, Result<i64, AppendFailed>>;

/// A record that may not be in the log.
#[derive(Debug, thiserror::Error)]
#[error("the log cannot be appended to")]
pub struct AppendFailed(#[source] pub crate::log::AppendError);

/// Appending to the log.
pub trait Append: Send + Sync {
    /// Starts to append. Appends of one caller to one partition keep their order. The future gives the offset.
    ///
    /// # Errors
    /// If it cannot even be queued.
    fn append(&self, topic: &'static str, partition: i32, key: &str, value: &[u8]) -> Result<Appending, AppendFailed>;
}

impl Append for crate::log::Producer {
    fn append(&self, topic: &'static str, partition: i32, key: &str, value: &[u8]) -> Result<Appending, AppendFailed> {
        let appending = Self::append(self, topic, partition, key.as_bytes(), Some(value)).map_err(AppendFailed)?;
        Ok(Box::pin(async move { Ok(appending.await.map_err(AppendFailed)?.offset) }))
    }
}

/// Session records.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Makes the session durable in `sessions`. Gives its offset there.
    ///
    /// # Errors
    /// `unavailable` if the log is away.
    async fn register(&self, session: &Session) -> Result<i64, Failure>;
    /// Writes its tombstone, sooner or later: a gateway that dies leaves that to others anyway.
    fn unregister(&self, session: &Session);
}

/// What a client missed.
#[derive(Clone, Debug, Default)]
pub struct Caught {
    /// One `inbox.changed` each.
    pub conversations: Vec<ConversationRow>,
    /// Of `caught_up`.
    pub cursor: String,
    /// Whether the client's cursor was not honoured.
    pub reset: bool,
}

/// What happens between `hello` and `caught_up`.
#[async_trait]
pub trait CatchUp: Send + Sync {
    /// Waits until the sequencers have seen the session that stands at `registered_at` of `sessions`, then reads what changed after `cursor`.
    ///
    /// # Errors
    /// If it cannot be known any more; the client must connect again.
    /// It may have to be told again later ([`super::socket::tell_again`]), until it has left.
    async fn catch_up(&self, session: &Session, registered_at: i64, cursor: Option<&str>) -> Result<Caught, Failure>;
    /// The session is over, whether it was caught up or not, or never even began to.
    fn left(&self, session: &Session);
    /// What a sequencer has seen. Comes after all deliveries that went before it.
    fn marks(&self, marks: Marks);
}

/// Presence as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresenceRow {
    /// Who.
    pub user: UserId,
    /// Online, away or offline; invisible is shown as offline.
    pub status: PresenceStatus,
    /// None where it is not known, or hidden.
    pub last_seen: Option<Timestamp>,
}

/// Who is there.
#[async_trait]
pub trait Presence: Send + Sync {
    /// A socket said `hello`, and shows this.
    fn connected(&self, session: &Session, status: PresenceStatus);
    /// A socket ended; perhaps before it was [`Presence::connected`].
    fn disconnected(&self, session: &Session);
    /// What this socket shows.
    async fn set(&self, socket: &Arc<Socket>, status: PresenceStatus) -> Result<(), Failure>;
    /// From now on the socket hears of these users of its tenant (at most 200 in all: `too_large`), once it was told what they are now.
    fn watch(&self, socket: &Socket, users: &[UserId]) -> Result<(), Failure>;
    /// Not any more.
    fn unwatch(&self, socket: &Socket, users: &[UserId]);
    /// What they are now, as `user` of `tenant` sees it.
    async fn seen_by(
        &self,
        tenant: TenantId,
        user: UserId,
        socket: Option<&Socket>,
        users: &[UserId],
    ) -> Result<Vec<PresenceRow>, Failure>;
    /// Who sees these users of `tenant` has changed, and the views have it.
    async fn regarded_anew(&self, tenant: TenantId, users: &[UserId]) -> Result<(), Failure>;
}
