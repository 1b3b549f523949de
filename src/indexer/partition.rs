//! One owned partition: read, index and move the checkpoint in one transaction.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::{Instant, MissedTickBehavior, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::batch::{Changes, Cutter};
use super::texts::Texts;
use super::{Options, Standing, tables};
use crate::domain::UserId;
use crate::log::{Fetched, ReadError, Reader, Records};
use crate::store;

const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// While Postgres or Kafka are away.
const LAST_RETRY_AWAY: Duration = Duration::from_secs(2);
/// For a batch. Each statement has its own time, which Postgres keeps; this is for a server that is gone without a word.
const COMMIT: Duration = Duration::from_secs(60);
/// How often it is looked whether Postgres has lost the index, where nothing is said.
const LOOK: Duration = Duration::from_secs(1);
const LAG: Duration = Duration::from_secs(5);

/// Whether waiting helps.
fn passes(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| match cause.downcast_ref::<sqlx::Error>() {
        Some(error) => store::passes(error),
        None => matches!(cause.downcast_ref(), Some(ReadError::Kafka { .. } | ReadError::Ended { .. })),
    })
}

/// One owned partition.
pub(super) struct Work {
    pub options: Options,
    pub reader: Arc<Reader>,
    pub texts: Arc<dyn Texts>,
    pub partition: i32,
}

/// A partition that is being read, from a checkpoint on.
struct Reading {
    records: Records,
    checkpoint: tables::Checkpoint,
    last_commit: Instant,
    /// When building was last told of.
    told: Instant,
}

impl Work {
    /// Until the partition is lost.
    pub async fn keep_indexing(self, lost: CancellationToken) {
        let mut wait = FIRST_RETRY;
        let mut standing = None;
        loop {
            let began = Instant::now();
            let ended = tokio::select! {
                // A batch is whole or not at all: dropping one half-way is safe.
                ended = self.index(&mut standing) => ended,
                () = lost.cancelled() => break,
            };
            if began.elapsed() > LAST_RETRY {
                wait = FIRST_RETRY;
            }
            let mut last_retry = LAST_RETRY_AWAY;
            if let Err(error) = ended {
                self.report(&error, wait);
                if !passes(&error) {
                    last_retry = LAST_RETRY;
                    standing.get_or_insert_with(|| Standing::new(&self.options.stopped));
                }
            }
            tokio::select! {
                () = sleep(wait) => wait = (wait * 2).min(last_retry),
                () = lost.cancelled() => break,
            }
        }
        // Whoever has the partition tells of it from then on.
        self.gauge("tidings_search_lag_records", 0);
        self.gauge("tidings_search_building", 0);
    }

    fn gauge(&self, name: &'static str, value: i64) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        metrics::gauge!(name, "partition" => self.partition.to_string()).set(value as f64);
    }

    fn report(&self, error: &anyhow::Error, wait: Duration) {
        metrics::counter!("tidings_search_failures_total").increment(1);
        let (partition, retry_ms, error_text) = (self.partition, wait.as_millis(), format!("{error:#}"));
        if passes(error) {
            tracing::warn!(partition, error = error_text, retry_ms, "indexing pauses");
        } else {
            tracing::error!(partition, error = error_text, retry_ms, "the index stands still until this is mended");
        }
    }

    /// Indexes until something fails, or the checkpoint is found to be another.
    async fn index(&self, standing: &mut Option<Standing>) -> anyhow::Result<()> {
        // Listens before it looks, so that nobody is missed who goes in between.
        let mut removals = self.options.keyring.removals();
        let Some(mut reading) = self.open().await? else { return Ok(()) };
        self.sweep().await?;
        let (mut look, mut lag) = (tokio::time::interval(LOOK), tokio::time::interval(LAG));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        lag.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // One by one up to a record that cannot be taken: what is before it is not held up.
        let most = if standing.is_some() { 1 } else { self.options.batch_records };
        loop {
            // Only these awaits are ever dropped, and they have taken nothing until they resolve.
            tokio::select! {
                fetched = reading.records.next(most) => {
                    if !self.take(&mut reading, fetched?, most).await? {
                        return Ok(());
                    }
                    *standing = None;
                }
                removed = removals.recv() => self.remove(removed).await?,
                _ = lag.tick() => self.measure(&mut reading).await,
                _ = look.tick() => {
                    anyhow::ensure!(self.options.keyring.healthy(), "the data keys are not read any more");
                    let now = tables::checkpoint(self.pool(), self.partition).await?;
                    if now != Some(reading.checkpoint) {
                        tracing::warn!(partition = self.partition, "the index is not as it was left; starting from its checkpoint");
                        return Ok(());
                    }
                }
            }
        }
    }

    fn pool(&self) -> &sqlx::PgPool {
        self.options.store.pool()
    }

    /// Starts to read at the checkpoint; where there is none, at the beginning, with nothing indexed. None if another indexer is faster.
    async fn open(&self) -> anyhow::Result<Option<Reading>> {
        let checkpoint = match tables::checkpoint(self.pool(), self.partition).await? {
            Some(checkpoint) => checkpoint,
            None => {
                let low = self.reader.ends(self.partition).await?.low;
                tracing::info!(partition = self.partition, "the index is built from the beginning of the stream");
                if !tables::clear(self.pool(), self.partition, low).await? {
                    return Ok(None);
                }
                tables::Checkpoint { next_offset: low, complete: false }
            }
        };
        self.gauge("tidings_search_building", i64::from(!checkpoint.complete));
        match self.reader.read(self.partition, checkpoint.next_offset).await {
            Ok(records) => {
                let now = Instant::now();
                Ok(Some(Reading { records, checkpoint, last_commit: now, told: now }))
            }
            Err(error @ ReadError::OutOfRange { .. }) => {
                // Views must never mend this by themselves. The index is made of nothing but this topic, so it can.
                tracing::warn!(partition = self.partition, %error, "the index is of another stream, and is built anew");
                tables::forget(self.pool(), self.partition).await?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Indexes what was fetched, and what comes in time. False if the checkpoint is not where it was left.
    async fn take(&self, reading: &mut Reading, mut fetched: Vec<Fetched>, most: usize) -> anyhow::Result<bool> {
        let until = reading.last_commit + self.options.interval;
        while !fetched.is_empty() && fetched.len() < most {
            let room = most - fetched.len();
            match timeout_at(until, reading.records.next(room)).await {
                Ok(more) => fetched.extend(more?),
                Err(_) => break,
            }
        }
        let to = reading.records.next_offset();
        let complete = reading.checkpoint.complete || reading.records.at_end();
        let checkpoint = tables::Checkpoint { next_offset: to, complete };
        if checkpoint == reading.checkpoint {
            return Ok(true);
        }
        let cutter = Cutter { codec: self.options.codec, texts: &*self.texts, key: &self.options.term_key };
        let changes = cutter.changes(&fetched).await?;
        let committed = tokio::time::timeout(COMMIT, self.commit(&changes, reading.checkpoint, checkpoint)).await;
        if !committed.unwrap_or(Err(sqlx::Error::PoolTimedOut))? {
            return Ok(false);
        }
        metrics::counter!("tidings_search_indexed_messages_total").increment(changes.len() as u64);
        if complete && !reading.checkpoint.complete {
            tracing::info!(partition = self.partition, "the index is complete");
            self.gauge("tidings_search_building", 0);
        }
        (reading.checkpoint, reading.last_commit) = (checkpoint, Instant::now());
        Ok(true)
    }

    async fn commit(
        &self,
        changes: &Changes,
        from: tables::Checkpoint,
        to: tables::Checkpoint,
    ) -> Result<bool, sqlx::Error> {
        let mut transaction = self.pool().begin().await?;
        let (from, complete) = (from.next_offset, to.complete);
        if !tables::advance(&mut transaction, self.partition, from, to.next_offset, complete).await? {
            return Ok(false);
        }
        tables::apply(&mut transaction, self.partition, changes).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn measure(&self, reading: &mut Reading) {
        // Kafka away shows elsewhere.
        let Ok(ends) = reading.records.ends().await else { return };
        let behind = (ends.high - reading.records.next_offset()).max(0);
        // Offsets of a transactional topic have holes at the end, too.
        let behind = if reading.records.at_end() { 0 } else { behind };
        self.gauge("tidings_search_lag_records", behind);
        if !reading.checkpoint.complete && reading.told.elapsed() >= LAG {
            reading.told = Instant::now();
            let (partition, at, end) = (self.partition, reading.checkpoint.next_offset, ends.high);
            tracing::info!(partition, at, end, "the index is being built");
        }
    }

    /// Removes what those wrote who have no key any more.
    async fn sweep(&self) -> anyhow::Result<()> {
        let senders = tables::authors(self.pool(), self.partition).await?;
        for user in senders {
            if self.texts.is_gone(user).await? {
                tables::remove_author(self.pool(), self.partition, user).await?;
            }
        }
        Ok(())
    }

    async fn remove(&self, removed: Result<UserId, broadcast::error::RecvError>) -> anyhow::Result<()> {
        match removed {
            Ok(user) => Ok(tables::remove_author(self.pool(), self.partition, user).await?),
            // So many went at once that some were missed.
            Err(_) => self.sweep().await,
        }
    }
}
