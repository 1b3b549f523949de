//! Empty live views from the public streams: after a restore, where there is no version before to be compared with and no projector yet.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::streams::Streams;
use super::{BATCH, Options, live};
use crate::log::journal::Head;
use crate::log::{Checkpoints, topics};
use crate::projector::{apply, catalog};

/// Partitions filled at a time. Nothing is of two of them.
const CONCURRENT: usize = 4;

/// Fills the live views up to the checkpoints of the public streams, from which projectors then go on. `progress` hears of offsets
/// passed and of all there are. How many events that were.
///
/// # Errors
/// If the views are not empty, or something fails: then empty them and begin again.
pub async fn fill(options: &Options, progress: &(dyn Fn(u64, u64) + Sync)) -> anyhow::Result<u64> {
    let (done, total, filled) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    // Not `presence`, which projectors read from its beginning.
    for source in topics::JOURNALS {
        let partitions = topics::partitions(&options.client, source).await?;
        ensure!(
            begun(options, source).await? == 0,
            "the views of `{source}` are not empty; `admin rebuild` makes one anew"
        );
        let checkpoints = Checkpoints::new(&options.client, options.codec);
        let fill =
            Fill { options, source, checkpoints: &checkpoints, done: &done, total: &total, filled: &filled, progress };
        let filling = (0..partitions).map(|partition| fill.partition(partition));
        stream::iter(filling).buffer_unordered(CONCURRENT).try_collect::<Vec<()>>().await?;
    }
    analyze(options).await?;
    Ok(filled.into_inner())
}

/// Whether nothing of any journal has been applied.
///
/// # Errors
/// If Kafka or Postgres do not answer.
pub async fn are_empty(options: &Options) -> anyhow::Result<bool> {
    for source in topics::JOURNALS {
        if begun(options, source).await? > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Of how many partitions of `source` something has been applied.
async fn begun(options: &Options, source: &'static str) -> anyhow::Result<usize> {
    let partitions = topics::partitions(&options.client, source).await?;
    let mut connection = options.store.pool().acquire().await?;
    let live = live(&mut connection, source, usize::try_from(partitions)?).await?;
    Ok(live.iter().filter(|next| **next > 0).count())
}

struct Fill<'a> {
    options: &'a Options,
    source: &'static str,
    checkpoints: &'a Checkpoints,
    done: &'a AtomicU64,
    total: &'a AtomicU64,
    filled: &'a AtomicU64,
    progress: &'a (dyn Fn(u64, u64) + Sync),
}

impl Fill<'_> {
    async fn partition(&self, partition: i32) -> anyhow::Result<()> {
        let filled = self.replay(partition).await;
        filled.with_context(|| format!("cannot fill the views of `{}`/{partition}", self.source))
    }

    async fn replay(&self, partition: i32) -> anyhow::Result<()> {
        let Options { client, codec, store, .. } = self.options;
        let checkpoint = self.checkpoints.get(self.source, partition).await?;
        let head = checkpoint.as_ref().map(Head::from).unwrap_or_default();
        let mut streams = Streams::open(client, codec, self.source, partition, head).await?;
        self.total.fetch_add(streams.len(), Ordering::Relaxed);
        let projections = catalog::of_source(self.source);
        let mut connection = store.pool().acquire().await?;
        loop {
            let (items, read) = streams.next(BATCH).await?;
            let done = self.done.fetch_add(read, Ordering::Relaxed) + read;
            (self.progress)(done, self.total.load(Ordering::Relaxed));
            if items.is_empty() {
                break;
            }
            let mut transaction = connection.begin().await?;
            // The checkpoint's commit below makes these durable with it.
            sqlx::raw_sql("SET LOCAL synchronous_commit TO off").execute(&mut *transaction).await?;
            apply::apply(&mut transaction, &projections, &items).await?;
            transaction.commit().await?;
            self.filled.fetch_add(items.len() as u64, Ordering::Relaxed);
        }
        let advanced = apply::advance(&mut connection, self.source, partition, 0, head).await?;
        ensure!(advanced, "a projector is running");
        Ok(())
    }
}

/// Without statistics the first queries would read whole tables.
async fn analyze(options: &Options) -> anyhow::Result<()> {
    let mut connection: PgConnection = options.store.pool().acquire().await?.detach();
    sqlx::raw_sql("SET statement_timeout TO 0").execute(&mut connection).await?;
    let schemas: Vec<_> = catalog::all().iter().map(|projection| projection.name.clone()).collect();
    let tables = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname = ANY($1)";
    let tables: Vec<String> = sqlx::query_scalar(tables).bind(schemas).fetch_all(&mut connection).await?;
    for table in tables {
        sqlx::raw_sql(AssertSqlSafe(format!("ANALYZE {table}"))).execute(&mut connection).await?;
    }
    connection.close().await?;
    Ok(())
}
