//! The publisher: copies what is accepted in the journals to the public streams, exactly once and in order.
//!
//! Each journal partition has one transactional producer. Its `transactional.id` names the partition, so a new owner fences the one
//! before; only then does it read the checkpoint, which every transaction writes with what it covers. Whatever happens in
//! between, a record is either behind the checkpoint and in its stream, or neither. After any failure it begins there again.

mod partition;
mod transactions;
pub mod trim;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use anyhow::Context;
use rdkafka::config::ClientConfig;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use transactions::transactional_id;

use crate::codec::Codec;
use crate::log::{Change, Checkpoints, Ownership, Reader, topics};
use partition::Partition;

/// The journals that are published.
pub const JOURNALS: [&str; 2] = [topics::CONVERSATION_JOURNAL, topics::USER_JOURNAL];

/// How long records may wait in Kafka to come together.
const FETCH_WAIT: Duration = Duration::from_millis(50);

/// What a publisher needs.
#[derive(Clone)]
pub struct Options {
    /// Where Kafka is.
    pub client: ClientConfig,
    /// Of the installation.
    pub codec: &'static Codec,
    /// How long after a commit the next one waits for more, unless the batch is full. An idle partition does not wait.
    pub interval: Duration,
    /// Most journal records in a transaction.
    pub max_records: usize,
    /// After how long without a sign of life another process takes the partitions.
    pub session_timeout_ms: u32,
    /// How journals are trimmed; none: not by this process.
    pub trim: Option<trim::Options>,
}

impl Options {
    /// With the defaults: 50 ms, 1,000 records, 10 s, no trimming.
    pub fn new(client: ClientConfig, codec: &'static Codec) -> Self {
        let interval = Duration::from_millis(50);
        Self { client, codec, interval, max_records: 1_000, session_timeout_ms: 10_000, trim: None }
    }
}

/// Publishes the partitions that the group gives to this process, until `shutdown`.
///
/// # Errors
/// If the group cannot be joined or cannot go on. What fails in one partition is logged, and does not end the others.
pub async fn run(options: Options, shutdown: CancellationToken) -> anyhow::Result<()> {
    let checkpoints = Arc::new(Checkpoints::new(&options.client, options.codec));
    // Whatever ends one ends all.
    let stop = shutdown.child_token();
    let _stops = stop.clone().drop_guard();
    let mut running = JoinSet::new();
    if let Some(trim) = &options.trim {
        let (client, trim, checkpoints) = (options.client.clone(), trim.clone(), Arc::clone(&checkpoints));
        let stop = stop.clone();
        running.spawn(async move { trim::run(&client, &trim, &checkpoints, &stop).await });
    }
    let options = Arc::new(options);
    for journal in JOURNALS {
        running.spawn(own(Arc::clone(&options), journal, Arc::clone(&checkpoints), stop.clone()));
    }
    let mut result = Ok(());
    while let Some(ended) = running.join_next().await {
        let ended = ended.context("a publisher panicked").and_then(|ended| ended);
        stop.cancel();
        // The first cause is the one to tell.
        result = result.and(ended);
    }
    result
}

struct Owned {
    lost: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn own(
    options: Arc<Options>,
    journal: &'static str,
    checkpoints: Arc<Checkpoints>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let group = format!("publisher-{journal}");
    let reader = Arc::new(Reader::patient(&options.client, journal, FETCH_WAIT)?);
    let joined = Ownership::join(&options.client, &group, journal, options.session_timeout_ms);
    let (ownership, mut changes) = joined.with_context(|| format!("cannot join group `{group}`"))?;
    let mut owned: HashMap<i32, Owned> = HashMap::new();
    let result = loop {
        let change = tokio::select! {
            () = stop.cancelled() => break Ok(()),
            change = changes.recv() => change,
        };
        match change {
            Some(Change::Gained(partitions)) => {
                for partition in partitions {
                    let owner = Partition {
                        options: Arc::clone(&options),
                        journal,
                        partition,
                        reader: Arc::clone(&reader),
                        checkpoints: Arc::clone(&checkpoints),
                        published: AtomicI64::new(-1),
                    };
                    let lost = CancellationToken::new();
                    let ending = lost.clone();
                    let task = tokio::spawn(async move { owner.own(&ending).await });
                    owned.insert(partition, Owned { lost, task });
                }
            }
            Some(Change::Losing { partitions, done }) => {
                end(partitions.iter().filter_map(|partition| owned.remove(partition))).await;
                drop(done);
            }
            Some(Change::Failed(error)) => break Err(error).with_context(|| format!("group `{group}` cannot go on")),
            None => break Err(anyhow::anyhow!("group `{group}` ended")),
        }
    };
    end(owned.into_values()).await;
    // Nobody answers any more when the group takes the partitions back.
    drop(changes);
    ownership.leave().await;
    result
}

/// Waits until nothing is in flight any more.
async fn end(owned: impl Iterator<Item = Owned>) {
    let ending: Vec<_> = owned.inspect(|owned| owned.lost.cancel()).collect();
    for owned in ending {
        // A panic is told by the runtime; the partition is given up either way.
        let _ = owned.task.await;
    }
}
