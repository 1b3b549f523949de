//! The projector: journals into the views of Postgres.
//!
//! [`catalog`] is the folders of `projections/`, [`item`] an event as they see it, [`apply`] a batch into the views, [`feed`] where
//! events come from, [`rebuild`] a view anew. Here is the loop: read, apply and move the checkpoint in one transaction.

pub mod apply;
pub mod catalog;
pub mod feed;
pub mod item;
pub mod rebuild;
mod stopped;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::codec::Codec;
use crate::domain::time::HOUR_MS;
use crate::log::{Reader, own_each, topics};
use crate::store::{LIVE, Store};
use feed::Feed;
use item::Item;

pub use stopped::Stopped;

/// What views are fed from.
pub const SOURCES: [&str; 3] = [topics::CONVERSATION_JOURNAL, topics::USER_JOURNAL, topics::PRESENCE];
/// How long records may wait in Kafka to come together. A connect may wait for what comes last, so it is short.
const FETCH_WAIT: Duration = Duration::from_millis(20);
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// While Postgres or Kafka are away: everybody waits for the views when they are back.
const LAST_RETRY_AWAY: Duration = Duration::from_secs(2);
/// For a batch. Each statement has its own time, which Postgres keeps; this is for a server that is gone without a word.
const COMMIT: Duration = Duration::from_secs(60);
const PRUNE: Duration = Duration::from_secs(600);
const LAG: Duration = Duration::from_secs(5);
/// How long client ids are kept behind a partition's newest message. A command is refused whose client id is older than 24 hours, by the
/// time of the command, which is never before that message's; the hour more is for clocks that are ahead.
const KEEP_CLIENT_IDS_MS: i64 = 25 * HOUR_MS;

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
    /// Time between the batches of a partition; the first after a pause goes at once.
    pub interval: Duration,
    /// After how long without a sign of life another process takes the partitions.
    pub session_timeout_ms: u32,
    /// Told of partitions that stand still.
    pub stopped: Arc<Stopped>,
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
    running.spawn(keep_pruning(options.store.clone(), stop.clone()));
    while let Some(ended) = running.join_next().await {
        ended??;
        // Whatever ends one ends all.
        stop.cancel();
    }
    Ok(())
}

async fn own(options: Options, source: &'static str, stop: CancellationToken) -> anyhow::Result<()> {
    // One client for all partitions: each has its own threads and connections.
    let reader = Arc::new(Reader::patient(&options.client, source, FETCH_WAIT)?);
    let group = format!("projector-{source}");
    let work = |partition, lost: CancellationToken| {
        let work = Work { options: options.clone(), reader: Arc::clone(&reader), source, partition };
        work.keep_projecting(lost)
    };
    Ok(own_each(&options.client, &group, source, options.session_timeout_ms, &stop, work).await?)
}

/// One owned partition.
struct Work {
    options: Options,
    reader: Arc<Reader>,
    source: &'static str,
    partition: i32,
}

impl Work {
    async fn keep_projecting(self, lost: CancellationToken) {
        let mut wait = FIRST_RETRY;
        let mut standing = None;
        loop {
            let began = Instant::now();
            let ended = tokio::select! {
                // A batch is whole or not at all: dropping one half-way is safe.
                ended = self.project(&mut standing) => ended,
                () = lost.cancelled() => return self.lag().set(0.0),
            };
            if began.elapsed() > LAST_RETRY {
                wait = FIRST_RETRY;
            }
            let mut last_retry = LAST_RETRY;
            if let Err(error) = ended {
                if stopped::passes(&error) {
                    last_retry = LAST_RETRY_AWAY;
                }
                self.report(&error, wait);
                if !stopped::passes(&error) && standing.is_none() {
                    standing = Some(self.options.stopped.stand(self.source, self.partition));
                }
            }
            tokio::select! {
                () = sleep(wait) => wait = (wait * 2).min(last_retry),
                () = lost.cancelled() => return self.lag().set(0.0),
            }
        }
    }

    /// 0 when the partition is given away: whoever has it tells of it from then on.
    fn lag(&self) -> metrics::Gauge {
        metrics::gauge!("tidings_projection_lag_records", "journal" => self.source, "partition" => self.partition.to_string())
    }

    fn report(&self, error: &anyhow::Error, wait: Duration) {
        let (source, partition, retry_ms) = (self.source, self.partition, wait.as_millis());
        let error_text = format!("{error:#}");
        metrics::counter!("tidings_projection_failures_total", "journal" => source).increment(1);
        if stopped::passes(error) {
            tracing::warn!(source, partition, error = error_text, retry_ms, "projection pauses");
        } else {
            tracing::error!(
                source,
                partition,
                error = error_text,
                retry_ms,
                "projection stands still; nothing after this record reaches the views of this partition until it is mended"
            );
        }
    }

    /// Projects until something fails, or another projector is found to be ahead.
    async fn project(&self, standing: &mut Option<stopped::Standing>) -> anyhow::Result<()> {
        let Options { store, codec, .. } = &self.options;
        let head = store.head(LIVE, self.source, self.partition).await?;
        let mut feed = Feed::open(&self.reader, codec, self.source, self.partition, head).await?;
        // One by one up to a record that cannot be taken: what is before it is not held up.
        let most = if standing.is_some() { 1 } else { self.options.batch_records };
        let mut lag = tokio::time::interval(LAG);
        let mut last_commit = Instant::now();
        loop {
            let before = feed.head();
            // Only this await is ever dropped by the tick, and it has taken nothing until it resolves.
            let mut items = tokio::select! {
                items = feed.next(most) => items?,
                _ = lag.tick() => {
                    self.measure(&feed).await;
                    continue;
                }
            };
            if feed.head() == before {
                continue;
            }
            let until = last_commit + self.options.interval;
            self.fill(&mut feed, &mut items, (before.next_offset, most), until).await?;
            let committed = tokio::time::timeout(COMMIT, self.commit(&items, before.next_offset, &feed)).await;
            if !committed.unwrap_or(Err(sqlx::Error::PoolTimedOut.into()))? {
                let (source, partition) = (self.source, self.partition);
                tracing::warn!(source, partition, "another projector is ahead; starting from its checkpoint");
                return Ok(());
            }
            last_commit = Instant::now();
            *standing = None;
            metrics::counter!("tidings_projected_records_total", "journal" => self.source)
                .increment(items.len() as u64);
        }
    }

    /// Adds to a batch that has begun what comes in time.
    async fn fill(
        &self,
        feed: &mut Feed,
        items: &mut Vec<Item>,
        (from, most): (i64, usize),
        until: Instant,
    ) -> anyhow::Result<()> {
        loop {
            let taken = usize::try_from(feed.head().next_offset - from).unwrap_or(usize::MAX);
            let room = most.saturating_sub(taken);
            if room == 0 {
                return Ok(());
            }
            match timeout_at(until, feed.next(room)).await {
                Ok(more) => items.extend(more?),
                Err(_) => return Ok(()),
            }
        }
    }

    async fn measure(&self, feed: &Feed) {
        // Kafka away shows elsewhere.
        let Ok(end) = feed.end().await else { return };
        let behind = (end - feed.head().next_offset).max(0);
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        self.lag().set(behind as f64);
    }

    /// Applies what `feed` gave since `from`. False if another projector is ahead.
    async fn commit(&self, items: &[Item], from: i64, feed: &Feed) -> anyhow::Result<bool> {
        // A connection for a batch only: there are more partitions than connections.
        let mut transaction = self.options.store.pool().begin().await?;
        if !apply::advance(&mut transaction, self.source, self.partition, from, feed.head()).await? {
            return Ok(false);
        }
        apply::apply(&mut transaction, &catalog::of_source(self.source), items).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

async fn keep_pruning(store: Store, stop: CancellationToken) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(PRUNE);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return Ok(()),
        }
        if let Err(error) = prune(&store).await {
            tracing::warn!(%error, "cannot prune client ids; it is tried again later");
        }
    }
}

/// The most client ids forgotten in one statement: a statement that took too long would be ended, and never catch up.
const PRUNE_BATCH: i64 = 10_000;

/// Forgets client ids that no command can name any more. How many. By the time of the log, not of this machine: commands may have waited.
///
/// # Errors
/// If Postgres fails.
pub async fn prune(store: &Store) -> Result<u64, sqlx::Error> {
    let mut pruned = 0;
    loop {
        let done = sqlx::query(
            "DELETE FROM client_ids WHERE ctid = ANY (ARRAY(
                 SELECT i.ctid FROM client_ids i JOIN (
                     SELECT partition, (SELECT max(n.at) FROM client_ids n WHERE n.partition = c.partition) - $3 AS before
                     FROM checkpoints c WHERE version = $1 AND source = $2
                 ) old ON i.partition = old.partition AND i.at < old.before
                 LIMIT $4
             ))",
        )
        .bind(LIVE)
        .bind(topics::CONVERSATION_JOURNAL)
        .bind(KEEP_CLIENT_IDS_MS)
        .bind(PRUNE_BATCH)
        .execute(store.pool())
        .await?;
        pruned += done.rows_affected();
        if done.rows_affected() == 0 {
            return Ok(pruned);
        }
    }
}
