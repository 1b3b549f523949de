//! The projector: journals into the views of Postgres.
//!
//! [`catalog`] is the folders of `projections/`, [`item`] an event as they see it, [`apply`] a batch into the views, [`feed`] where
//! events come from. Here is the loop: read, apply and move the checkpoint in one transaction.

pub mod apply;
pub mod catalog;
pub mod feed;
pub mod item;

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::codec::Codec;
use crate::log::{Change, Ownership, Reader, topics};
use crate::store::{LIVE, Store};
use feed::Feed;

/// What views are fed from.
pub const SOURCES: [&str; 3] = [topics::CONVERSATION_JOURNAL, topics::USER_JOURNAL, topics::PRESENCE];
const RETRY: Duration = Duration::from_millis(500);
const PRUNE: Duration = Duration::from_secs(600);
const LAG: Duration = Duration::from_secs(5);

/// What a projector needs.
#[derive(Clone)]
pub struct Options {
    /// Where Kafka is.
    pub client: ClientConfig,
    /// Of the installation.
    pub codec: &'static Codec,
    /// Where the views are.
    pub store: Store,
    /// Most records applied in one transaction.
    pub batch_records: usize,
    /// After how long without a sign of life another process takes the partitions.
    pub session_timeout_ms: u32,
}

/// Projects the partitions that the group gives to this process, until `shutdown`.
///
/// # Errors
/// If a group cannot be joined or cannot go on.
pub async fn run(options: Options, shutdown: CancellationToken) -> anyhow::Result<()> {
    let stop = shutdown.child_token();
    let _stops = stop.clone().drop_guard();
    let mut running = JoinSet::new();
    for source in SOURCES {
        running.spawn(own(options.clone(), source, stop.clone()));
    }
    running.spawn(prune(options.store.clone(), stop.clone()));
    while let Some(ended) = running.join_next().await {
        ended??;
        // Whatever ends one ends all.
        stop.cancel();
    }
    Ok(())
}

async fn own(options: Options, source: &'static str, stop: CancellationToken) -> anyhow::Result<()> {
    let group = format!("projector-{source}");
    let (ownership, mut changes) = Ownership::join(&options.client, &group, source, options.session_timeout_ms)?;
    let mut owned: HashMap<i32, (CancellationToken, tokio::task::JoinHandle<()>)> = HashMap::new();
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = stop.cancelled() => break,
        };
        match change {
            Some(Change::Gained(partitions)) => {
                for partition in partitions {
                    let lost = CancellationToken::new();
                    let task = tokio::spawn(keep_projecting(options.clone(), source, partition, lost.clone()));
                    owned.insert(partition, (lost, task));
                }
            }
            Some(Change::Losing { partitions, done }) => {
                for (lost, task) in
                    partitions.iter().filter_map(|partition| owned.remove(partition)).collect::<Vec<_>>()
                {
                    lost.cancel();
                    let _ = task.await;
                }
                drop(done);
            }
            Some(Change::Failed(error)) => return Err(error.into()),
            None => break,
        }
    }
    for (lost, task) in owned.into_values() {
        lost.cancel();
        let _ = task.await;
    }
    drop(changes);
    ownership.leave().await;
    Ok(())
}

async fn keep_projecting(options: Options, source: &'static str, partition: i32, lost: CancellationToken) {
    while !lost.is_cancelled() {
        let ended = tokio::select! {
            ended = project(&options, source, partition) => ended,
            // A batch is whole or not at all: dropping one half-way is safe.
            () = lost.cancelled() => return,
        };
        if let Err(error) = ended {
            metrics::counter!("tidings_projection_failures_total", "source" => source).increment(1);
            tracing::error!(
                source,
                partition,
                error = format!("{error:#}"),
                "projection stopped; it starts again from its checkpoint"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = lost.cancelled() => {}
        }
    }
}

/// Projects one partition until something fails, or another projector is found to be ahead.
async fn project(options: &Options, source: &'static str, partition: i32) -> anyhow::Result<()> {
    let head = options.store.head(LIVE, source, partition).await?;
    let reader = Reader::new(&options.client, source)?;
    let mut feed = Feed::open(&reader, options.codec, source, partition, head).await?;
    let projections = catalog::of_source(source);
    let mut lag = tokio::time::interval(LAG);
    loop {
        let before = feed.head();
        let items = tokio::select! {
            items = feed.next(options.batch_records) => items?,
            _ = lag.tick() => {
                let behind = feed.end().await? - before.next_offset;
                #[expect(clippy::cast_precision_loss, reason = "a gauge")]
                metrics::gauge!("tidings_projection_lag_records", "source" => source, "partition" => partition.to_string()).set(behind.max(0) as f64);
                continue;
            }
        };
        let reached = feed.head();
        if reached == before {
            continue;
        }
        let mut transaction = options.store.pool().begin().await?;
        apply::apply(&mut transaction, &projections, &items).await?;
        if !apply::advance(&mut transaction, LIVE, source, partition, before.next_offset, reached).await? {
            tracing::warn!(source, partition, "another projector is ahead; starting from its checkpoint");
            return Ok(());
        }
        transaction.commit().await?;
        metrics::counter!("tidings_projected_records_total", "source" => source).increment(items.len() as u64);
    }
}

/// Client ids are known for 24 hours.
async fn prune(store: Store, stop: CancellationToken) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(PRUNE);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return Ok(()),
        }
        // An hour more than promised: commands wait in the log, too.
        let before = crate::domain::Timestamp::now().plus(-25 * crate::domain::time::HOUR_MS);
        let pruned = sqlx::query("DELETE FROM client_ids WHERE at < $1").bind(before.0).execute(store.pool()).await;
        if let Err(error) = pruned {
            tracing::warn!(%error, "cannot prune client ids; it is tried again later");
        }
    }
}
