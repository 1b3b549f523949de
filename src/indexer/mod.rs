//! The indexer: what is said, into what it is found by.
//!
//! It reads `conversation-events`, the public stream, and not the journal: the stream has everything for ever, so building anew and
//! following are one and the same reading, from offset 0 or from the checkpoint. [`batch`] is what events make of the index, [`texts`]
//! opens them, [`tables`] is the index in Postgres, `partition` the loop over them. The tables are not logged there, and empty after a
//! crash: a checkpoint that is not where this left it sends the reading back to where it is, or to the beginning.

pub mod batch;
mod partition;
pub mod tables;
pub mod texts;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use tokio_util::sync::CancellationToken;

use crate::codec::Codec;
use crate::crypto::{Keyring, TermKey};
use crate::log::{Reader, own_each, topics};
use crate::store::Store;
use partition::Work;
use texts::{Keys, Texts};

/// How long records may wait in Kafka to come together.
const FETCH_WAIT: Duration = Duration::from_millis(100);
const SOURCE: &str = topics::CONVERSATION_EVENTS;

/// How many partitions stand still at a record that somebody must look at.
#[derive(Debug, Default)]
pub struct Stopped(AtomicUsize);

impl Stopped {
    /// How many.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

/// One of them, for as long as it is held.
struct Standing(Arc<Stopped>);

impl Standing {
    fn new(stopped: &Arc<Stopped>) -> Self {
        stopped.0.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(stopped))
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What an indexer needs.
#[derive(Clone)]
pub struct Options {
    /// Where Kafka is.
    pub client: ClientConfig,
    /// Of the installation.
    pub codec: &'static Codec,
    /// Where the index is.
    pub store: Store,
    /// Opens what is said.
    pub keyring: Keyring,
    /// Hashes it.
    pub term_key: TermKey,
    /// Most records indexed in one transaction.
    pub batch_records: usize,
    /// Time between the batches of a partition; the first after a pause goes at once.
    pub interval: Duration,
    /// After how long without a sign of life another process takes the partitions.
    pub session_timeout_ms: u32,
    /// Told of partitions that stand still.
    pub stopped: Arc<Stopped>,
}

/// Indexes the partitions that the group gives to this process, until `shutdown`.
///
/// # Errors
/// If the group cannot be joined or cannot go on.
pub async fn run(options: Options, shutdown: CancellationToken) -> anyhow::Result<()> {
    let reader = Arc::new(Reader::patient(&options.client, SOURCE, FETCH_WAIT)?);
    let keys = Reader::new(&options.client, topics::USER_KEYS)?;
    let texts: Arc<dyn Texts> = Arc::new(Keys::new(options.keyring.clone(), keys));
    let group = format!("indexer-{SOURCE}");
    let work = |partition, lost: CancellationToken| {
        let (options, reader, texts) = (options.clone(), Arc::clone(&reader), Arc::clone(&texts));
        Work { options, reader, texts, partition }.keep_indexing(lost)
    };
    Ok(own_each(&options.client, &group, SOURCE, options.session_timeout_ms, &shutdown, work).await?)
}
