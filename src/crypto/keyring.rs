//! The data keys of all users, in memory: what `user-keys` says now.
//!
//! Keys are unwrapped as they are read: that is 0.16 of the 0.6 µs that a record takes (measured, local master key), a key that
//! does not unwrap shows when the process starts, not when somebody reads, and 32 bytes are less than the wrapped 60.
//! A user takes about 100 bytes (80 and the map's spare room). A cipher (560 bytes, 0.18 µs) is made when a key is asked for.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use futures_util::future::try_join_all;
use rdkafka::config::ClientConfig;
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

use super::{DataKey, KeyBytes, KeyOwner, MasterError, MasterKeys, Wrapped, fingerprint};
use crate::codec::records::UserKey;
use crate::codec::{Codec, DecodeError};
use crate::domain::{ConversationId, TenantId, UserId};
use crate::log::topics::{self, TopicsError};
use crate::log::{Fetched, ReadError, Reader, Records};

const BATCH_RECORDS: usize = 1_024;
/// Removals that wait for one who follows them; it is told when it has missed some.
const REMOVALS: usize = 1_024;

/// Why the keys cannot be read. The keyring stops; nothing is skipped.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The topic's partitions are not known.
    #[error(transparent)]
    Topic(#[from] TopicsError),
    /// The topic cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record that cannot be decoded.
    #[error("`user-keys`/{partition} cannot be decoded at offset {offset}; the keyring stops here")]
    Undecodable {
        /// There.
        partition: i32,
        /// There.
        offset: i64,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// A record whose key is not that of its value.
    #[error("`user-keys`/{partition} has a key at offset {offset} that is not `usr_…/version` of its value")]
    WrongKey {
        /// There.
        partition: i32,
        /// There.
        offset: i64,
    },
    /// A data key that does not unwrap.
    #[error("`user-keys`/{partition} cannot be unwrapped at offset {offset}")]
    Wrapped {
        /// There.
        partition: i32,
        /// There.
        offset: i64,
        /// Why.
        #[source]
        source: MasterError,
    },
}

struct Keys {
    tenant: TenantId,
    newest: (u32, KeyBytes),
    /// Most users have none.
    #[expect(clippy::box_collection, reason = "8 bytes instead of 24, and every user has this")]
    older: Option<Box<Vec<(u32, KeyBytes)>>>,
}

struct Shared {
    users: DashMap<UserId, Keys>,
    /// A batch was applied.
    changed: Notify,
    /// Who has no key any more.
    removed: broadcast::Sender<UserId>,
    /// By partition: everything before it is here. Set when `user-keys` has been read to its end.
    reached: OnceLock<Vec<AtomicI64>>,
    healthy: AtomicBool,
    codec: &'static Codec,
    master: Arc<dyn MasterKeys>,
}

/// The unwrapped data keys of all users. Clones share.
#[derive(Clone)]
pub struct Keyring {
    shared: Arc<Shared>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} users, redacted)", self.shared.users.len())
    }
}

impl Keyring {
    /// Reads `user-keys` to its end, and goes on reading in the background until `shutdown`.
    ///
    /// # Errors
    /// If a record cannot be read, decoded or unwrapped.
    pub async fn start(
        client: &ClientConfig,
        codec: &'static Codec,
        master: Arc<dyn MasterKeys>,
        shutdown: CancellationToken,
    ) -> Result<Self, KeyringError> {
        let keyring = Self::empty(codec, master);
        let partitions = topics::partitions(client, topics::USER_KEYS).await?;
        let reader = Arc::new(Reader::new(client, topics::USER_KEYS)?);
        let loads = (0..partitions).map(|partition| keyring.load(&reader, partition));
        let loaded = try_join_all(loads).await?;
        tracing::info!(users = keyring.shared.users.len(), partitions, "data keys read");
        let reached = loaded.iter().map(|records| AtomicI64::new(records.next_offset())).collect();
        keyring.shared.reached.get_or_init(|| reached);
        for (partition, records) in (0..).zip(loaded) {
            let (keyring, reader, shutdown) = (keyring.clone(), Arc::clone(&reader), shutdown.clone());
            tokio::spawn(async move {
                // The reader lives as long as one of its readings.
                let _reader = reader;
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    error = keyring.tail(partition, records) => keyring.stop(partition, &error),
                }
            });
        }
        Ok(keyring)
    }

    fn empty(codec: &'static Codec, master: Arc<dyn MasterKeys>) -> Self {
        let shared = Shared {
            users: DashMap::new(),
            changed: Notify::new(),
            removed: broadcast::Sender::new(REMOVALS),
            reached: OnceLock::new(),
            healthy: AtomicBool::new(true),
            codec,
            master,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The newest key of `user`, to seal; none if there is no such user here (yet).
    pub fn newest(&self, user: UserId) -> Option<DataKey> {
        self.shared.users.get(&user).map(|keys| DataKey::new(keys.newest.0, &keys.newest.1))
    }

    /// The key of `user` under which something was sealed, to open it.
    pub fn get(&self, user: UserId, version: u32) -> Option<DataKey> {
        let keys = self.shared.users.get(&user)?;
        let older = keys.older.as_deref().into_iter().flatten();
        let (_, key) = std::iter::once(&keys.newest).chain(older).find(|(at, _)| *at == version)?;
        Some(DataKey::new(version, key))
    }

    /// See [`fingerprint`]; under the newest key of `user`.
    pub fn fingerprint(&self, user: UserId, conversation: ConversationId, seq: i64, text: &str) -> Option<Bytes> {
        let keys = self.shared.users.get(&user)?;
        Some(fingerprint(&keys.newest.1, conversation, seq, text))
    }

    /// Whose user `user` is; none if there is no such user here (yet). Who has no key any more does not exist either.
    pub fn tenant_of(&self, user: UserId) -> Option<TenantId> {
        self.shared.users.get(&user).map(|keys| keys.tenant)
    }

    /// Whether `user` of `tenant` is here. Waits at most `timeout` for it: its registration reaches this process a moment after it was
    /// accepted. One of another tenant is waited for as well, so that the time tells nobody which ids are taken there.
    pub async fn wait_for(&self, tenant: TenantId, user: UserId, timeout: Duration) -> bool {
        let found = async {
            loop {
                // Listens first, so that what comes between the look and the wait is not missed.
                let changed = self.shared.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.tenant_of(user) == Some(tenant) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(timeout, found).await.is_ok()
    }

    /// False once a partition could not be read on: what is here grows old, so the process must not say that it is ready.
    pub fn healthy(&self) -> bool {
        self.shared.healthy.load(Ordering::Acquire)
    }

    /// Who loses its last key from now on.
    pub fn removals(&self) -> broadcast::Receiver<UserId> {
        self.shared.removed.subscribe()
    }

    /// By partition of `user-keys` the offset before which everything is here; empty before the keyring was started.
    pub fn reached(&self) -> Vec<i64> {
        let reached = self.shared.reached.get().map(Vec::as_slice).unwrap_or_default();
        reached.iter().map(|offset| offset.load(Ordering::Acquire)).collect()
    }

    /// How many users have keys here.
    pub fn users(&self) -> usize {
        self.shared.users.len()
    }

    async fn load(&self, reader: &Reader, partition: i32) -> Result<Records, KeyringError> {
        let low = reader.ends(partition).await?.low;
        let mut records = reader.read(partition, low).await?;
        let mut superseded = Superseded::default();
        while !records.at_end() {
            for record in records.next(BATCH_RECORDS).await? {
                superseded.note(&record, self.apply(&record).await)?;
            }
        }
        superseded.left().map_or(Ok(records), Err)
    }

    /// Reads on for ever; returns why not.
    async fn tail(&self, partition: i32, mut records: Records) -> KeyringError {
        loop {
            if let Err(error) = self.take(&mut records).await {
                return error;
            }
            let reached = self.shared.reached.get().zip(usize::try_from(partition).ok());
            if let Some(reached) = reached.and_then(|(all, partition)| all.get(partition)) {
                reached.store(records.next_offset(), Ordering::Release);
            }
        }
    }

    fn stop(&self, partition: i32, error: &KeyringError) {
        self.shared.healthy.store(false, Ordering::Release);
        let error: &dyn std::error::Error = error;
        tracing::error!(partition, error, "data keys are not read any more; restart when the cause is mended");
    }

    async fn take(&self, records: &mut Records) -> Result<(), KeyringError> {
        let fetched = records.next(BATCH_RECORDS).await?;
        for record in &fetched {
            self.apply(record).await?;
        }
        if !fetched.is_empty() {
            self.shared.changed.notify_waiters();
        }
        Ok(())
    }

    async fn apply(&self, fetched: &Fetched) -> Result<(), KeyringError> {
        let (partition, offset) = (fetched.partition, fetched.offset);
        let named = fetched.key.as_deref().and_then(parse_key);
        let (user, version) = named.ok_or(KeyringError::WrongKey { partition, offset })?;
        let Some(value) = &fetched.value else {
            self.remove(user, version);
            return Ok(());
        };
        let decoded = self.shared.codec.decode(value);
        let record: UserKey = decoded.map_err(|source| KeyringError::Undecodable { partition, offset, source })?;
        if record.user != user || u32::try_from(record.version) != Ok(version) {
            return Err(KeyringError::WrongKey { partition, offset });
        }
        let owner = KeyOwner { tenant: record.tenant, user, version };
        let wrapped = Wrapped { master: record.master, bytes: record.wrapped };
        let unwrapped = self.shared.master.unwrap(&owner, &wrapped).await;
        let key = unwrapped.map_err(|source| KeyringError::Wrapped { partition, offset, source })?;
        self.insert(owner, key);
        Ok(())
    }

    fn insert(&self, owner: KeyOwner, key: KeyBytes) {
        match self.shared.users.entry(owner.user) {
            Entry::Vacant(entry) => {
                entry.insert(Keys { tenant: owner.tenant, newest: (owner.version, key), older: None });
            }
            Entry::Occupied(mut entry) => entry.get_mut().insert(owner.version, key),
        }
    }

    fn remove(&self, user: UserId, version: u32) {
        if let Entry::Occupied(mut entry) = self.shared.users.entry(user)
            && !entry.get_mut().remove(version)
        {
            entry.remove();
            // Nobody may follow.
            let _ = self.shared.removed.send(user);
        }
    }
}

/// Keys that no master key here unwraps, while the topic is read for the first time. Until it is compacted it holds them beside those that
/// were wrapped anew later, and their master key may be gone by then.
#[derive(Default)]
struct Superseded(HashMap<(UserId, u32), KeyringError>);

impl Superseded {
    /// What came of `record`.
    fn note(&mut self, record: &Fetched, applied: Result<(), KeyringError>) -> Result<(), KeyringError> {
        let name = record.key.as_deref().and_then(parse_key);
        match (applied, name) {
            (Err(unknown @ KeyringError::Wrapped { source: MasterError::Unknown(_), .. }), Some(name)) => {
                self.0.insert(name, unknown);
            }
            (Ok(()), Some(name)) => drop(self.0.remove(&name)),
            (applied, _) => return applied,
        }
        Ok(())
    }

    /// One that nothing came after.
    fn left(self) -> Option<KeyringError> {
        self.0.into_values().next()
    }
}

impl Keys {
    fn insert(&mut self, version: u32, key: KeyBytes) {
        if version == self.newest.0 {
            self.newest.1 = key;
            return;
        }
        let older = self.older.get_or_insert_default();
        older.retain(|(at, _)| *at != version);
        older.push((version, key));
        if version > self.newest.0
            && let Some(last) = older.last_mut()
        {
            std::mem::swap(&mut self.newest, last);
        }
    }

    /// Whether a key is left.
    fn remove(&mut self, version: u32) -> bool {
        let mut older = self.older.take().map(|older| *older).unwrap_or_default();
        if version == self.newest.0 {
            let newest = (0..older.len()).max_by_key(|index| older[*index].0);
            let Some(newest) = newest else { return false };
            self.newest = older.swap_remove(newest);
        } else {
            older.retain(|(at, _)| *at != version);
        }
        self.older = (!older.is_empty()).then(|| Box::new(older));
        true
    }
}

/// The user and the version in the key of a record of `user-keys`: `usr_…/version`.
pub fn parse_key(key: &[u8]) -> Option<(UserId, u32)> {
    let (user, version) = std::str::from_utf8(key).ok()?.split_once('/')?;
    Some((user.parse().ok()?, version.parse().ok()?))
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
