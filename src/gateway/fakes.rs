//! Fakes of the ports, for tests.

mod keys;
mod reads;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;

use super::edge::{Edge, Identity, Options, Ports};
use super::failure::Failure;
use super::hub::Socket;
use super::ports::*;
use crate::codec::records::{ConversationCommand, Delivery, Marks, PresenceStatus, Reply, Session};
use crate::codec::{Codec, Record};
use crate::domain::{IncarnationId, TenantId, Timestamp, UserId};
use crate::log::AppendError;

pub use keys::{FakeKeys, FakeTokens};
pub use reads::{FakeReads, FakeSearch, member_of_group};

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
