//! Fakes of the ports, for tests.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dashmap::DashMap;
use ring::digest::{SHA256, digest};
use tokio::sync::Notify;

use super::edge::{Edge, Identity, Options, Ports};
use super::failure::Failure;
use super::hub::Socket;
use super::ports::*;
use crate::codec::records::{ConversationCommand, Delivery, Marks, PresenceStatus, Reply, Session};
use crate::codec::{Codec, Record};
use crate::crypto::Field;
use crate::domain::policy::{ConversationKind, Reported, Role, Sight, Standing};
use crate::domain::user::Privacy;
use crate::domain::{ConversationId, IncarnationId, TenantId, Timestamp, UserId};
use crate::log::AppendError;

#[derive(Default)]
pub struct FakeReads {
    pub applied: DashMap<(Journal, i32), i64>,
    pub api_keys: DashMap<[u8; 32], ApiKey>,
    /// Whoever holds it lets no look-up of an unknown key end.
    pub guesses: tokio::sync::RwLock<()>,
    pub key_look_ups: std::sync::atomic::AtomicUsize,
    pub memberships: DashMap<(ConversationId, UserId), Membership>,
    pub messages: DashMap<ConversationId, Vec<MessageRow>>,
    pub events: DashMap<ConversationId, Vec<EventRow>>,
    pub members: DashMap<ConversationId, Vec<(UserId, Role)>>,
    pub inbox: DashMap<UserId, Vec<ConversationRow>>,
    pub users: DashMap<UserId, UserRow>,
    pub moderators: dashmap::DashSet<UserId>,
}

impl FakeReads {
    pub fn add_api_key(&self, key: &str, of: ApiKey) {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
        self.api_keys.insert(sha256, of);
    }
}

#[async_trait]
impl Reads for FakeReads {
    async fn api_key(&self, sha256: [u8; 32]) -> Result<Option<ApiKey>, ReadError> {
        self.key_look_ups.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let key = self.api_keys.get(&sha256).map(|key| key.clone());
        if key.is_none() {
            drop(self.guesses.read().await);
        }
        Ok(key)
    }

    async fn membership(
        &self,
        _: TenantId,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<Membership>, ReadError> {
        Ok(self.memberships.get(&(conversation, user)).map(|membership| *membership))
    }

    async fn inbox(&self, _: TenantId, user: UserId, asked: &AskedPage) -> Result<InboxPage, ReadError> {
        if asked.cursor.is_some() {
            return Err(ReadError::BadCursor);
        }
        let conversations = self.inbox.get(&user).map(|rows| rows.clone()).unwrap_or_default();
        Ok(InboxPage { conversations, cursor: None, has_more: false })
    }

    async fn conversation(
        &self,
        _: TenantId,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<ConversationRow>, ReadError> {
        let rows = self.inbox.get(&user).map(|rows| rows.clone()).unwrap_or_default();
        Ok(rows.into_iter().find(|row| row.conversation == conversation))
    }

    async fn messages(
        &self,
        _: UserId,
        conversation: ConversationId,
        first: i64,
        last: i64,
    ) -> Result<Vec<MessageRow>, ReadError> {
        let rows = self.messages.get(&conversation).map(|rows| rows.clone()).unwrap_or_default();
        Ok(rows.into_iter().filter(|row| (first..=last).contains(&row.sent.seq)).collect())
    }

    async fn invites(&self, _: ConversationId) -> Result<Vec<InviteRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn requests(
        &self,
        _: ConversationId,
        _: Option<UserId>,
        _: u32,
    ) -> Result<Vec<(UserId, Timestamp)>, ReadError> {
        Ok(Vec::new())
    }

    async fn channels(
        &self,
        _: TenantId,
        _: UserId,
        _: Option<ConversationId>,
        _: u32,
    ) -> Result<Vec<ChannelRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn thread(&self, _: UserId, _: ConversationId, _: ThreadRange, _: i64) -> Result<Vec<MessageRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn threads(
        &self,
        _: UserId,
        _: ConversationId,
        _: (i64, i64),
        _: bool,
        _: u32,
    ) -> Result<Vec<ThreadRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn pins(&self, _: UserId, _: ConversationId) -> Result<Vec<MessageRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn events(
        &self,
        _: UserId,
        conversation: ConversationId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<EventRow>, ReadError> {
        let rows = self.events.get(&conversation).map(|rows| rows.clone()).unwrap_or_default();
        Ok(rows.into_iter().filter(|row| row.position > after).take(limit as usize).collect())
    }

    async fn members(
        &self,
        _: TenantId,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<(UserId, Role)>, ReadError> {
        let rows = self.members.get(&conversation).map(|rows| rows.clone()).unwrap_or_default();
        Ok(rows.into_iter().filter(|row| after.is_none_or(|after| row.0 > after)).take(limit as usize).collect())
    }

    async fn blocked(&self, _: UserId, _: &[UserId]) -> Result<Vec<UserId>, ReadError> {
        Ok(Vec::new())
    }

    async fn blocks(&self, _: UserId, _: Option<UserId>, _: u32) -> Result<Vec<UserId>, ReadError> {
        Ok(Vec::new())
    }

    async fn sights(&self, asked: &[(UserId, UserId)]) -> Result<Vec<Sight>, ReadError> {
        Ok(asked.iter().map(|_| Sight { status: true, last_seen: true }).collect())
    }

    async fn privacy(&self, _: UserId) -> Result<Privacy, ReadError> {
        Ok(Privacy::default())
    }

    async fn receipts(&self, _: ConversationId, _: i64, _: usize) -> Result<ReceiptsRow, ReadError> {
        Ok(ReceiptsRow { members: 1, read: 1, delivered: 1, users: None })
    }

    async fn moderates(&self, _: TenantId, user: UserId) -> Result<bool, ReadError> {
        Ok(self.moderators.contains(&user))
    }

    async fn reported(&self, _: ConversationId, seq: i64) -> Result<Reported, ReadError> {
        Ok(if seq == 1 { Reported::Itself } else { Reported::No })
    }

    async fn reports(&self, _: TenantId, _: bool, cursor: Option<&str>, _: u32) -> Result<ReportsPage, ReadError> {
        if cursor.is_some() { Err(ReadError::BadCursor) } else { Ok(ReportsPage::default()) }
    }

    async fn user(&self, _: TenantId, user: UserId) -> Result<Option<UserRow>, ReadError> {
        Ok(self.users.get(&user).map(|row| row.clone()))
    }

    async fn applied(&self, journal: Journal) -> Result<HashMap<i32, i64>, ReadError> {
        let all = self.applied.iter().filter(|entry| entry.key().0 == journal);
        Ok(all.map(|entry| (entry.key().1, *entry.value())).collect())
    }
}

/// Of a group with so many messages and events.
pub fn member_of_group(role: Role, last_seq: i64, last_position: i64) -> Membership {
    let standing = Standing::new(ConversationKind::Group, Some(role));
    Membership { standing, last_seq, last_position, visible_after_seq: 0, visible_after_position: 0 }
}

/// "Seals" by a prefix.
#[derive(Default)]
pub struct FakeKeys {
    pub missing: AtomicBool,
    pub users: DashMap<UserId, TenantId>,
}

impl FakeKeys {
    pub fn missing() -> Self {
        Self { missing: true.into(), users: DashMap::new() }
    }

    pub fn sealed(text: &str) -> Bytes {
        format!("sealed:{text}").into()
    }

    fn open(&self, sealed: &[u8]) -> Result<String, OpenError> {
        if self.missing.load(Ordering::Relaxed) {
            return Err(OpenError::KeyMissing);
        }
        let text = sealed.strip_prefix(b"sealed:").ok_or(OpenError::Broken)?;
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}

#[async_trait]
impl Keyring for FakeKeys {
    fn tenant_of(&self, user: UserId) -> Option<TenantId> {
        self.users.get(&user).map(|tenant| *tenant)
    }

    async fn wait_for(&self, tenant: TenantId, user: UserId, timeout: Duration) -> bool {
        let found = async {
            while self.tenant_of(user) != Some(tenant) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(timeout, found).await.is_ok()
    }

    fn user_id(&self, tenant: TenantId, external_id: &str) -> UserId {
        UserId::derive("fake", &[tenant.as_bytes(), external_id.as_bytes()])
    }

    fn seal_written(&self, _: Place, _: UserId, _: Field, text: &str) -> Option<Bytes> {
        (!self.missing.load(Ordering::Relaxed)).then(|| Self::sealed(text))
    }

    fn open_written(&self, _: Place, _: UserId, _: Field, sealed: &[u8]) -> Result<String, OpenError> {
        self.open(sealed)
    }

    fn fingerprint(&self, _: UserId, _: ConversationId, _: i64, text: &str) -> Option<Bytes> {
        Some(Self::sealed(text))
    }

    fn terms(&self, conversation: ConversationId, terms: &[Vec<u8>]) -> Vec<i64> {
        let hash = |term: &Vec<u8>| {
            let digest = digest(&SHA256, &[conversation.as_bytes(), &term[..]].concat());
            i64::from_be_bytes(std::array::from_fn(|n| digest.as_ref()[n]))
        };
        terms.iter().map(hash).collect()
    }

    fn seal_shown(&self, _: Place, _: Field, text: &str) -> Option<Bytes> {
        Some(Self::sealed(text))
    }

    fn open_shown(&self, _: Place, _: Field, sealed: &[u8]) -> Result<String, OpenError> {
        self.open(sealed)
    }
}

/// An index of what was put into it.
#[derive(Default)]
pub struct FakeSearch {
    /// Newest first.
    pub places: Mutex<Vec<Searchable>>,
    /// Messages as the index has them: time, seq, terms.
    pub indexed: Mutex<Vec<(Timestamp, i64, Vec<i64>)>>,
    /// As the views have them.
    pub messages: Mutex<Vec<(ConversationId, MessageRow)>>,
}

#[async_trait]
impl Search for FakeSearch {
    async fn places(&self, _: TenantId, _: UserId) -> Result<Vec<Searchable>, ReadError> {
        Ok(self.places.lock().expect("not poisoned").clone())
    }

    async fn find(
        &self,
        wanted: &[WantedTerms],
        after: Timestamp,
        most: u32,
        _: Duration,
    ) -> Result<Vec<TermsHit>, ReadError> {
        let indexed = self.indexed.lock().expect("not poisoned");
        let hits = wanted.iter().enumerate().flat_map(|(place, wanted)| {
            // Hashes are of a conversation and a term, so they tell the conversation, too.
            let has = |terms: &[i64]| wanted.terms.iter().all(|term| terms.contains(term));
            let found = indexed.iter().filter(|(at, seq, terms)| {
                has(terms) && (at.0, *seq) < wanted.before && *at >= after && *seq > wanted.after_seq
            });
            let mut found: Vec<_> = found.map(|(at, seq, _)| TermsHit { place, at: *at, seq: *seq }).collect();
            found.sort_unstable_by_key(|hit| std::cmp::Reverse((hit.at, hit.seq)));
            found.truncate(most as usize);
            found
        });
        Ok(hits.collect())
    }

    async fn messages(
        &self,
        _: UserId,
        wanted: &[(ConversationId, i64)],
    ) -> Result<Vec<(ConversationId, MessageRow)>, ReadError> {
        let messages = self.messages.lock().expect("not poisoned");
        Ok(messages
            .iter()
            .filter(|(conversation, row)| wanted.contains(&(*conversation, row.sent.seq)))
            .cloned()
            .collect())
    }

    async fn is_indexed(&self, _: &[i32]) -> Result<bool, ReadError> {
        Ok(true)
    }
}

/// A token is `tenant.user.expiry`.
pub struct FakeTokens;

impl FakeTokens {
    pub fn token(tenant: TenantId, user: UserId, expires_at: Timestamp) -> String {
        format!("{tenant}.{user}.{}", expires_at.0)
    }
}

impl Tokens for FakeTokens {
    fn verify(&self, token: &str) -> Option<Claims> {
        let mut parts = token.split('.');
        let (tenant, user) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let expires_at = Timestamp(parts.next()?.parse().ok()?);
        Some(Claims { tenant, user, expires_at })
    }

    fn mint(&self, tenant: TenantId, user: UserId, ttl: Duration) -> Result<String, Failure> {
        let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        Ok(Self::token(tenant, user, Timestamp::now().plus(ttl_ms)))
    }

    fn jwks(&self) -> String {
        r#"{"keys":[]}"#.into()
    }
}

/// A record that was appended.
pub type Appended = (&'static str, i32, String, Bytes);

#[derive(Default)]
pub struct FakeLog {
    pub records: Mutex<Vec<Appended>>,
    pub full: AtomicBool,
    pub failing: AtomicBool,
    appended: Notify,
}

impl FakeLog {
    /// Waits for record `index` of all that were appended.
    pub async fn record<T: Record>(&self, index: usize) -> T {
        loop {
            let appended = self.appended.notified();
            let value = self.records.lock().ok().and_then(|records| Some(records.get(index)?.3.clone()));
            if let Some(value) = value {
                return Codec::builtin().decode(&value).expect("a record of this type");
            }
            appended.await;
        }
    }

    pub fn len(&self) -> usize {
        self.records.lock().map(|records| records.len()).unwrap_or_default()
    }
}

fn broken(topic: &str) -> AppendFailed {
    AppendFailed(AppendError::Kafka { topic: topic.to_owned(), source: rdkafka::error::KafkaError::Canceled })
}

impl Append for FakeLog {
    fn append(&self, topic: &'static str, partition: i32, key: &str, value: &[u8]) -> Result<Appending, AppendFailed> {
        if self.full.load(Ordering::Relaxed) {
            return Err(AppendFailed(AppendError::Full));
        }
        if self.failing.load(Ordering::Relaxed) {
            return Ok(Box::pin(async move { Err(broken(topic)) }));
        }
        let mut records = self.records.lock().expect("not poisoned");
        records.push((topic, partition, key.to_owned(), Bytes::copy_from_slice(value)));
        let offset = records.len() as i64 - 1;
        self.appended.notify_waiters();
        Ok(Box::pin(async move { Ok(offset) }))
    }
}

#[derive(Default)]
pub struct FakeSessions {
    pub registered: AtomicI64,
    pub away: AtomicBool,
}

#[async_trait]
impl Sessions for FakeSessions {
    async fn register(&self, _: &Session) -> Result<i64, Failure> {
        if self.away.load(Ordering::Relaxed) {
            return Err(Failure::unavailable("away"));
        }
        Ok(self.registered.fetch_add(1, Ordering::Relaxed))
    }

    fn unregister(&self, _: &Session) {
        self.registered.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
pub struct FakeCatchUp {
    pub caught: Mutex<Caught>,
    /// As they were asked with.
    pub cursors: Mutex<Vec<Option<String>>>,
    pub marks: Mutex<Vec<Marks>>,
}

#[async_trait]
impl CatchUp for FakeCatchUp {
    async fn catch_up(&self, _: &Session, _: i64, cursor: Option<&str>) -> Result<Caught, Failure> {
        self.cursors.lock().expect("not poisoned").push(cursor.map(str::to_owned));
        Ok(self.caught.lock().map(|caught| caught.clone()).unwrap_or_default())
    }

    fn left(&self, _: &Session) {}

    fn marks(&self, marks: Marks) {
        self.marks.lock().expect("not poisoned").push(marks);
    }
}

pub struct FakePresence;

#[async_trait]
impl Presence for FakePresence {
    fn connected(&self, _: &Session, _: PresenceStatus) {}

    fn disconnected(&self, _: &Session) {}

    async fn set(&self, _: &Arc<Socket>, _: PresenceStatus) -> Result<(), Failure> {
        Ok(())
    }

    fn watch(&self, _: &Socket, _: &[UserId]) -> Result<(), Failure> {
        Ok(())
    }

    fn unwatch(&self, _: &Socket, _: &[UserId]) {}

    async fn seen_by(
        &self,
        _: TenantId,
        _: UserId,
        _: Option<&Socket>,
        users: &[UserId],
    ) -> Result<Vec<PresenceRow>, Failure> {
        let row = |user: &UserId| PresenceRow { user: *user, status: PresenceStatus::Online, last_seen: None };
        Ok(users.iter().map(row).collect())
    }

    async fn regarded_anew(&self, _: TenantId, _: &[UserId]) -> Result<(), Failure> {
        Ok(())
    }
}

/// An edge over fakes.
pub struct World {
    pub edge: Arc<Edge>,
    pub identity: Identity,
    pub reads: Arc<FakeReads>,
    pub search: Arc<FakeSearch>,
    pub keys: Arc<FakeKeys>,
    pub log: Arc<FakeLog>,
    pub sessions: Arc<FakeSessions>,
    pub catch_up: Arc<FakeCatchUp>,
    pub tenant: TenantId,
}

impl World {
    pub fn new() -> Self {
        Self::with(Options::new(8))
    }

    pub fn with(options: Options) -> Self {
        let (reads, keys, log) = (Arc::<FakeReads>::default(), Arc::<FakeKeys>::default(), Arc::<FakeLog>::default());
        let search = Arc::<FakeSearch>::default();
        let (sessions, catch_up) = (Arc::<FakeSessions>::default(), Arc::<FakeCatchUp>::default());
        let ports = Ports {
            reads: reads.clone(),
            search: search.clone(),
            keyring: keys.clone(),
            tokens: Arc::new(FakeTokens),
            log: log.clone(),
            sessions: sessions.clone(),
            catch_up: catch_up.clone(),
            presence: Arc::new(FakePresence),
        };
        let identity = Identity { incarnation: IncarnationId::generate(), partition: 2 };
        let edge = Arc::new(Edge::new(options, Codec::builtin(), ports));
        edge.begin(identity);
        Self { edge, identity, reads, search, keys, log, sessions, catch_up, tenant: TenantId::generate() }
    }

    /// A user with a key.
    pub fn user(&self) -> UserId {
        let user = UserId::generate();
        self.keys.users.insert(user, self.tenant);
        user
    }

    /// A token that lasts an hour.
    pub fn token(&self, user: UserId) -> String {
        FakeTokens::token(self.tenant, user, Timestamp::now().plus(3_600_000))
    }

    /// What a sequencer answers to command `index` of the log.
    pub async fn answer(&self, index: usize, change: impl FnOnce(&mut Reply)) -> ConversationCommand {
        let command: ConversationCommand = self.log.record(index).await;
        let reference = command.reply_to.map(|to| to.reference).unwrap_or_default();
        let mut reply = super::pending::tests::reply(reference);
        change(&mut reply);
        let mut delivery = self.delivery(None, &[]);
        delivery.reply = Some(reply);
        self.deliveries().handle(delivery);
        command
    }

    pub fn deliveries(&self) -> super::Deliveries {
        super::Deliveries::new(self.edge.clone(), self.identity.incarnation, Arc::default(), Arc::new(|_| {}))
    }

    /// A delivery to this gateway.
    pub fn delivery(&self, record: Option<Bytes>, users: &[UserId]) -> Delivery {
        Delivery {
            incarnation: self.identity.incarnation,
            journal: crate::log::topics::CONVERSATION_JOURNAL.into(),
            partition: 3,
            next_offset: 10,
            record,
            recipients: users.iter().flat_map(|user| *user.as_bytes()).collect::<Vec<_>>().into(),
            reply: None,
        }
    }
}
