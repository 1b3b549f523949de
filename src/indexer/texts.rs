//! Opening what is indexed, with the keys in memory.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::codec::records::ConversationEvent;
use crate::crypto::{self, Aad, DataKey, Field, Keyring, parse_key};
use crate::domain::UserId;
use crate::log::{Reader, partition_of};

/// A key that stands in `user-keys` is here within this time, or the keyring does not read on.
const PATIENCE: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(20);
const BATCH_RECORDS: usize = 1_024;

/// What became of a sealed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It.
    Text(String),
    /// Its author's key was destroyed: it will never be read again.
    Gone,
    /// It does not open, though the key is here.
    Broken,
}

/// What opens texts.
#[async_trait]
pub trait Texts: Send + Sync {
    /// Opens `sealed`, which `author` wrote and `event` brought.
    ///
    /// # Errors
    /// If it cannot be told whether the key was destroyed.
    async fn open(&self, event: &ConversationEvent, author: UserId, sealed: &[u8]) -> anyhow::Result<Opened>;

    /// Whether `user` has no key any more.
    ///
    /// # Errors
    /// If that cannot be told.
    async fn is_gone(&self, user: UserId) -> anyhow::Result<bool>;
}

/// [`Texts`] over the keys of all users.
pub struct Keys {
    keyring: Keyring,
    /// Of `user-keys`. One looks at a time: a reader reads a partition once.
    log: Mutex<Reader>,
}

impl Keys {
    /// Over `keyring`, and a reader of its own of `user-keys`.
    pub fn new(keyring: Keyring, log: Reader) -> Self {
        Self { keyring, log: Mutex::new(log) }
    }

    /// The key of `user`. None: it was destroyed.
    async fn key(&self, user: UserId, version: u32) -> anyhow::Result<Option<DataKey>> {
        if let Some(key) = self.keyring.get(user, version) {
            return Ok(Some(key));
        }
        self.catch_up(user).await?;
        Ok(self.keyring.get(user, version))
    }

    /// Waits until the keyring knows what `user-keys` says of `user` now, so that a key that is late is not taken for one that was
    /// destroyed: a key stands there before anything that it seals stands in a stream.
    async fn catch_up(&self, user: UserId) -> anyhow::Result<()> {
        let reached = self.keyring.reached();
        let partition = partition_of(user.to_string().as_bytes(), i32::try_from(reached.len())?);
        let from = usize::try_from(partition).ok().and_then(|partition| reached.get(partition)).copied();
        let mut coming = HashMap::new();
        {
            let log = self.log.lock().await;
            let mut records = log.read(partition, from.unwrap_or_default()).await?;
            while !records.at_end() {
                for record in records.next(BATCH_RECORDS).await? {
                    if let Some((of, version)) = record.key.as_deref().and_then(parse_key).filter(|(of, _)| *of == user)
                    {
                        coming.insert((of, version), record.value.is_some());
                    }
                }
            }
        }
        let deadline = Instant::now() + PATIENCE;
        while coming.iter().any(|((user, version), there)| self.keyring.get(*user, *version).is_some() != *there) {
            anyhow::ensure!(
                Instant::now() < deadline,
                "the data keys are not read on; restart when the cause is mended"
            );
            tokio::time::sleep(AGAIN).await;
        }
        Ok(())
    }
}

#[async_trait]
impl Texts for Keys {
    async fn open(&self, event: &ConversationEvent, author: UserId, sealed: &[u8]) -> anyhow::Result<Opened> {
        let Ok(version) = crypto::key_version(sealed) else { return Ok(Opened::Broken) };
        let Some(key) = self.key(author, version).await? else { return Ok(Opened::Gone) };
        let aad = Aad {
            tenant: event.tenant,
            conversation: event.conversation,
            author: Some(author),
            field: Field::Text,
            command: event.causation,
        };
        let text = crypto::open(&key, &aad, sealed).ok().and_then(|text| String::from_utf8(text).ok());
        Ok(text.map_or(Opened::Broken, Opened::Text))
    }

    async fn is_gone(&self, user: UserId) -> anyhow::Result<bool> {
        if self.keyring.tenant_of(user).is_some() {
            return Ok(false);
        }
        self.catch_up(user).await?;
        Ok(self.keyring.tenant_of(user).is_none())
    }
}
