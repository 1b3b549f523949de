//! How far the public streams are: topic `checkpoints`, written by publishers in the transaction of what a checkpoint covers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rdkafka::config::ClientConfig;
use tokio::sync::Mutex;

use super::{Ends, ReadError, Reader, SettleError, Settled, topics};
use crate::codec::records::Checkpoint;
use crate::codec::{Codec, DecodeError};

/// Why a checkpoint cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The topic cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A transaction of some publisher stays open.
    #[error(transparent)]
    Open(SettleError),
    /// The record cannot be decoded.
    #[error("the checkpoint of `{journal}`/{partition} cannot be decoded")]
    Undecodable {
        /// Journal.
        journal: String,
        /// There.
        partition: i32,
        /// Why.
        #[source]
        source: DecodeError,
    },
}

impl From<SettleError> for CheckpointError {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Read(error) => Self::Read(error),
            open @ SettleError::Open { .. } => Self::Open(open),
        }
    }
}

type Values = HashMap<Bytes, Bytes>;

/// Reads checkpoints. All who ask at the same time share a reading of the topic.
pub struct Checkpoints {
    client: ClientConfig,
    codec: &'static Codec,
    asked: AtomicU64,
    /// What was read last, and how many had asked before that reading began.
    last: Mutex<(u64, Arc<Values>)>,
}

/// The key of a checkpoint's record.
pub fn checkpoint_key(journal: &str, partition: i32) -> String {
    format!("{journal}/{partition}")
}

impl Checkpoints {
    /// Reads nothing yet.
    pub fn new(client: &ClientConfig, codec: &'static Codec) -> Self {
        Self { client: client.clone(), codec, asked: AtomicU64::new(0), last: Mutex::default() }
    }

    /// The newest checkpoint that was committed before this was called; none if there never was one.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub async fn get(&self, journal: &str, partition: i32) -> Result<Option<Checkpoint>, CheckpointError> {
        let ticket = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let values = {
            let mut last = self.last.lock().await;
            if last.0 < ticket {
                let asked = self.asked.load(Ordering::SeqCst);
                *last = (asked, Arc::new(self.read().await?));
            }
            Arc::clone(&last.1)
        };
        let value = values.get(checkpoint_key(journal, partition).as_bytes());
        let decoded = value.map(|value| self.codec.decode(value)).transpose();
        decoded.map_err(|source| CheckpointError::Undecodable { journal: journal.to_owned(), partition, source })
    }

    /// Everything up to the end that the partition has now.
    ///
    /// Not only up to the last stable offset: all publishers write here, and an open transaction of another one would hide a
    /// checkpoint that stands after its beginning, so what that covers would be published again. Its end is awaited instead.
    async fn read(&self) -> Result<Values, CheckpointError> {
        let failed = |source| ReadError::Kafka { topic: topics::CHECKPOINTS.to_owned(), source };
        let mut client = self.client.clone();
        // A short reading to an end that is always a transaction's: only an empty fetch shows it.
        client.set("fetch.wait.max.ms", "10");
        let reader = Reader::new(&client, topics::CHECKPOINTS)?;
        let Ends { low, high } = Settled::new(&self.client).map_err(failed)?.ends(&reader, 0).await?;
        let mut records = reader.read(0, low).await?;
        let mut values = Values::new();
        while !records.at_end() && records.next_offset() < high {
            for fetched in records.next(4_096).await? {
                let Some(key) = fetched.key else { continue };
                match fetched.value {
                    Some(value) => values.insert(key, value),
                    None => values.remove(&key),
                };
            }
        }
        Ok(values)
    }
}
