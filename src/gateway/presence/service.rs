//! Reads all of `presence`, publishes what the sessions of this gateway show, and tells those who watch.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::config::ClientConfig;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::book::{PresenceBook, View};
use super::keys;
use super::watchers::{TooMany, Unknown, Watcher, Watchers};
use crate::codec::records::{Presence, PresenceStatus, Session};
use crate::codec::{Codec, EncodeError};
use crate::domain::policy::Sight;
use crate::domain::{SessionId, TenantId, Timestamp, UserId};
use crate::gateway::ports;
use crate::log::{AppendError, Appending, Ends, Fetched, Producer, ReadError, Reader, Records, partition_of, topics};
use crate::sessions::SessionTable;

/// A user is told of at most once in this time.
const COALESCE: Duration = Duration::from_millis(100);
/// How often it is looked for sessions whose gateways are no more, beside at every change of gateways.
const BURY: Duration = Duration::from_secs(10);
const BATCH: usize = 512;
const RETRY: Duration = Duration::from_millis(500);

/// Why presence cannot be read or published.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    /// Kafka is away.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Kafka is away or full.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A defect.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// What somebody sees cannot be looked up.
    #[error(transparent)]
    LookUp(#[from] ports::ReadError),
    /// The session is not one of this gateway, or is over.
    #[error("the session is over")]
    NoSession,
    /// See [`TooMany`].
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

/// Takes what watching sockets are told, and knows what they may see.
#[async_trait]
pub trait PresenceSink: Send + Sync + 'static {
    /// Push `view` to each of `watchers`; some may be gone.
    fn presence(&self, view: &View, watchers: &[Watcher]);
    /// What the first of each two sees of the second.
    ///
    /// # Errors
    /// If the views cannot be read.
    async fn sights(&self, asked: &[(UserId, UserId)]) -> Result<Vec<Sight>, ports::ReadError>;
}

struct Inner {
    book: PresenceBook,
    watchers: Watchers,
    /// The sessions of this gateway and what they show.
    own: HashMap<SessionId, (Session, PresenceStatus)>,
}

impl Inner {
    /// Whether the user of this gateway's session `of` shows anything in another. Of its own sessions the gateway knows more
    /// than the book, which may not have read yet that they are over: of two that end together each would take the other
    /// for the last.
    fn is_elsewhere(&self, of: &Session) -> bool {
        let stands = |session, incarnation| match self.own.get(&session) {
            Some((_, status)) => *status != PresenceStatus::Invisible,
            None => incarnation != of.incarnation,
        };
        self.book.is_elsewhere(of.user, of.session, stands)
    }

    /// Takes out a session that is over. Which, and whether others see its user leave by that.
    fn end(&mut self, session: SessionId) -> Option<(Session, bool)> {
        self.watchers.remove(session);
        let (gone, status) = self.own.remove(&session)?;
        let is_last = status != PresenceStatus::Invisible && !self.is_elsewhere(&gone);
        Some((gone, is_last))
    }
}

/// Presence of everybody; one a process.
pub struct Presences {
    codec: &'static Codec,
    producer: Producer,
    reader: Reader,
    table: Arc<SessionTable>,
    sink: Arc<dyn PresenceSink>,
    partitions: i32,
    inner: Mutex<Inner>,
    news: Notify,
}

impl Presences {
    /// Reads `presence` to its end, then goes on in the background until `shutdown`.
    ///
    /// # Errors
    /// If the topic cannot be read.
    pub async fn start(
        client: &ClientConfig,
        codec: &'static Codec,
        producer: Producer,
        table: Arc<SessionTable>,
        partitions: i32,
        sink: Arc<dyn PresenceSink>,
        shutdown: CancellationToken,
    ) -> Result<Arc<Self>, PresenceError> {
        let reader = Reader::new(client, topics::PRESENCE)?;
        let inner = Inner { book: PresenceBook::default(), watchers: Watchers::default(), own: HashMap::new() };
        let (inner, news) = (Mutex::new(inner), Notify::new());
        let this = Arc::new(Self { codec, producer, reader, table, sink, partitions, inner, news });
        let mut reading = JoinSet::new();
        for partition in 0..partitions {
            let this = Arc::clone(&this);
            reading.spawn(async move { Ok::<_, PresenceError>((partition, this.read_to_end(partition).await?)) });
        }
        let mut lanes = Vec::new();
        while let Some(read) = reading.join_next().await {
            let ended = ReadError::Ended { topic: topics::PRESENCE.to_owned() };
            lanes.push(read.map_err(|_| ended)??);
        }
        for (partition, records) in lanes {
            let (this, shutdown) = (Arc::clone(&this), shutdown.clone());
            tokio::spawn(async move { shutdown.run_until_cancelled(this.tail(partition, records)).await });
        }
        let telling = Arc::clone(&this);
        tokio::spawn(async move {
            let work = async { tokio::join!(telling.tell(), telling.bury()) };
            shutdown.run_until_cancelled(work).await;
        });
        Ok(this)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read_to_end(&self, partition: i32) -> Result<Records, PresenceError> {
        let Ends { low, high } = self.reader.ends(partition).await?;
        let mut records = self.reader.read(partition, low).await?;
        while !records.at_end() && records.next_offset() < high {
            self.fold(&records.next(BATCH).await?);
        }
        Ok(records)
    }

    async fn tail(&self, partition: i32, mut records: Records) {
        loop {
            match records.next(BATCH).await {
                Ok(fetched) => self.fold(&fetched),
                Err(error) => {
                    tracing::warn!(partition, %error, "reading presence again");
                    records = loop {
                        tokio::time::sleep(RETRY).await;
                        match self.reader.read(partition, records.next_offset()).await {
                            Ok(again) => break again,
                            // Somebody made the topic anew. Every record says all there is of its key.
                            Err(ReadError::OutOfRange { low, .. }) => {
                                if let Ok(again) = self.reader.read(partition, low).await {
                                    break again;
                                }
                            }
                            Err(_) => {}
                        }
                    };
                }
            }
        }
    }

    fn fold(&self, fetched: &[Fetched]) {
        let mut inner = self.lock();
        let mut is_news = false;
        for record in fetched {
            // Presence is never worth stopping for: what is not understood is not shown.
            let Some(key) = record.key.as_deref().and_then(keys::parse) else { continue };
            let presence = record.value.as_deref().map(|value| self.codec.decode::<Presence>(value));
            let Ok(presence) = presence.transpose() else {
                tracing::debug!(partition = record.partition, offset = record.offset, "presence cannot be decoded");
                continue;
            };
            if let keys::Key::Regard(user, tenant) = key {
                is_news |= inner.watchers.regarded_anew(tenant, user);
                continue;
            }
            if let Some(tenant) = inner.book.fold(key, presence.as_ref(), record.timestamp) {
                let (keys::Key::Session(user, _) | keys::Key::Last(user) | keys::Key::Regard(user, _)) = key;
                is_news |= inner.watchers.changed(tenant, user);
            }
        }
        drop(inner);
        if is_news {
            self.news.notify_one();
        }
    }

    /// Tells those who watch.
    async fn tell(&self) {
        loop {
            self.news.notified().await;
            tokio::time::sleep(COALESCE).await;
            let unknown = self.lock().watchers.unknown();
            let known = self.look_up(&unknown).await;
            let (news, waits) = {
                let mut inner = self.lock();
                let Inner { book, watchers, .. } = &mut *inner;
                for (of, sight) in unknown.iter().zip(known.iter().flatten()) {
                    watchers.learn(*of, *sight);
                }
                let news = watchers.take(|watcher, user| book.view(watcher.tenant, watcher.user, user));
                (news, watchers.has_news())
            };
            for (view, watchers) in news {
                self.sink.presence(&view, &watchers);
            }
            if waits {
                self.news.notify_one();
            }
            if let Err(error) = known {
                tracing::warn!(%error, sockets = unknown.len(), "cannot look up who sees whose presence; they are told later");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn look_up(&self, unknown: &[Unknown]) -> Result<Vec<Sight>, ports::ReadError> {
        if unknown.is_empty() {
            return Ok(Vec::new());
        }
        let asked: Vec<_> = unknown.iter().map(|of| (of.watcher.user, of.user)).collect();
        self.sink.sights(&asked).await
    }

    /// Drops the sessions of gateways that are no more.
    async fn bury(&self) {
        let mut changes = self.table.gateway_changes();
        loop {
            let named = self.lock().book.incarnations();
            // A claim precedes what its gateway says of presence: after this, whoever does not hold is dead.
            if self.table.read_to_end_now().await.is_ok() {
                let dead = named.into_iter().filter(|incarnation| !self.table.holds(*incarnation)).collect();
                let mut inner = self.lock();
                let mut is_news = false;
                for (tenant, user) in inner.book.bury(&dead, Timestamp::now()) {
                    is_news |= inner.watchers.changed(tenant, user);
                }
                drop(inner);
                if is_news {
                    self.news.notify_one();
                }
            }
            tokio::select! {
                Ok(()) = changes.changed() => {}
                () = tokio::time::sleep(BURY) => {}
            }
        }
    }

    /// A session of this gateway has begun, and shows `status`.
    pub fn connected(&self, session: &Session, status: PresenceStatus) {
        self.lock().own.insert(session.session, (session.clone(), status));
        if let Err(error) = self.publish(session, status) {
            tracing::warn!(session = %session.session, %error, "presence was not published");
        }
    }

    /// A session of this gateway is over.
    pub fn disconnected(&self, session: SessionId) {
        let Some((gone, is_last)) = self.lock().end(session) else { return };
        let ended = || -> Result<(), PresenceError> {
            if is_last {
                drop(self.seen(&gone)?);
            }
            let key = keys::session(gone.user, session);
            drop(self.producer.append(topics::PRESENCE, self.partition(gone.user), key.as_bytes(), None)?);
            Ok(())
        };
        if let Err(error) = ended() {
            tracing::warn!(%session, %error, "the end of a session's presence was not published; it ends with this gateway");
        }
    }

    /// What a session of this gateway shows from now on.
    ///
    /// # Errors
    /// If the session is over, or Kafka is away.
    pub async fn set(&self, session: SessionId, status: PresenceStatus) -> Result<(), PresenceError> {
        let (own, hides) = {
            let mut inner = self.lock();
            let (own, shown) = inner.own.get_mut(&session).ok_or(PresenceError::NoSession)?;
            let before = std::mem::replace(shown, status);
            let hides = status == PresenceStatus::Invisible && before != status;
            let own = own.clone();
            let hides = hides && !inner.is_elsewhere(&own);
            (own, hides)
        };
        // To hide looks like leaving.
        let seen = if hides { Some(self.seen(&own)?) } else { None };
        self.publish(&own, status)?.await?;
        if let Some(seen) = seen {
            seen.await?;
        }
        Ok(())
    }

    /// From now on `watcher` is told of `users`, once it has been answered what they are: [`Presences::seen_by`].
    ///
    /// # Errors
    /// If it would watch too many.
    pub fn watch(&self, watcher: Watcher, users: &[UserId]) -> Result<(), PresenceError> {
        Ok(self.lock().watchers.watch(watcher, users)?)
    }

    /// `watcher` is told no more of `users`.
    pub fn unwatch(&self, watcher: Watcher, users: &[UserId]) {
        self.lock().watchers.unwatch(watcher.session, users);
    }

    /// What `users` are now, as `watcher` sees it, who need not watch.
    ///
    /// # Errors
    /// If it cannot be looked up what it sees.
    pub async fn seen_by(&self, watcher: Watcher, users: &[UserId]) -> Result<Vec<View>, PresenceError> {
        let rounds = self.lock().watchers.rounds(watcher, users);
        let sights = self.look_up(&rounds).await?;
        let mut inner = self.lock();
        let mut is_news = false;
        let mut views = Vec::with_capacity(users.len());
        for (of, sight) in rounds.into_iter().zip(sights) {
            let view = inner.book.view(watcher.tenant, watcher.user, of.user).seen(sight);
            is_news |= inner.watchers.answered(of, sight, view);
            views.push(view);
        }
        drop(inner);
        if is_news {
            self.news.notify_one();
        }
        Ok(views)
    }

    /// Has every gateway look up anew who sees each of `users` of `tenant`. To be called when the views have what changed.
    ///
    /// # Errors
    /// If Kafka is away.
    pub async fn regarded_anew(&self, tenant: TenantId, users: &[UserId]) -> Result<(), PresenceError> {
        let mut appending = Vec::with_capacity(users.len());
        for user in users {
            let key = keys::regard(*user, tenant);
            appending.push(self.producer.append(topics::PRESENCE, self.partition(*user), key.as_bytes(), None)?);
        }
        for appending in appending {
            appending.await?;
        }
        Ok(())
    }

    fn partition(&self, user: UserId) -> i32 {
        partition_of(user.to_string().as_bytes(), self.partitions)
    }

    fn publish(&self, of: &Session, status: PresenceStatus) -> Result<Appending, PresenceError> {
        let presence = record(of, Some(of.session), status);
        self.append(of.user, &keys::session(of.user, of.session), &presence)
    }

    fn seen(&self, of: &Session) -> Result<Appending, PresenceError> {
        self.append(of.user, &keys::last(of.user), &record(of, None, PresenceStatus::Offline))
    }

    fn append(&self, user: UserId, key: &str, presence: &Presence) -> Result<Appending, PresenceError> {
        let value = self.codec.encode(presence)?;
        Ok(self.producer.append(topics::PRESENCE, self.partition(user), key.as_bytes(), Some(&value))?)
    }
}

fn record(of: &Session, session: Option<SessionId>, status: PresenceStatus) -> Presence {
    Presence { tenant: of.tenant, user: of.user, session, incarnation: of.incarnation, status, at: Timestamp::now() }
}

#[cfg(test)]
mod tests;
