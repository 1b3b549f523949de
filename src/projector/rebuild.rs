//! A projection anew, from the public streams, beside the live one; then they are switched.
//!
//! Per partition of its journal: the checkpoint of the public streams is read first, then the streams, merged by index, and then the
//! journal from that checkpoint until it has caught up with the live views, never past them. The switch is one transaction that keeps
//! live projectors waiting: what the live version has, the new one then has exactly, and from there on it is fed in its place. It
//! shares the live checkpoint, so readers find every projection of a journal as of one point before, at and after the switch.

mod fill;
mod streams;
mod switch;

use std::time::Duration;

use anyhow::{Context, ensure};
use rdkafka::config::ClientConfig;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::catalog::{self, Projection};
use super::feed::Feed;
use super::item::Item;
use super::{SOURCES, apply};
use crate::codec::Codec;
use crate::log::journal::Head;
use crate::log::{Checkpoints, Reader, topics};
use crate::store::{LIVE, Store};
use streams::Streams;

pub use fill::{are_empty, fill};

const BATCH: usize = 2_000;
/// So near to the live views, the rest is left to the switch.
const NEAR: i64 = 1_000;

/// What a rebuild needs.
#[derive(Clone)]
pub struct Options {
    /// Where Kafka is.
    pub client: ClientConfig,
    /// Of the installation.
    pub codec: &'static Codec,
    /// Where the views are.
    pub store: Store,
    /// How long the live views may be without progress behind what is rebuilt before that is an error.
    pub patience: Duration,
}

/// What a rebuild did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Events from the public streams.
    pub replayed: u64,
    /// Events from the journal.
    pub followed: u64,
}

struct Rebuild<'a, P> {
    options: &'a Options,
    projection: &'static Projection,
    connection: PgConnection,
    report: Report,
    done: u64,
    total: u64,
    progress: P,
}

/// Rebuilds the projection `name`. `progress` hears of records done and of the total, which grows as the journal does.
///
/// # Errors
/// If there is none of that name, it is being rebuilt already, or something fails: the live version stays as it is, and the next try
/// starts anew.
pub async fn rebuild(options: &Options, name: &str, progress: impl FnMut(u64, u64)) -> anyhow::Result<Report> {
    let names: Vec<_> = catalog::all().iter().map(|projection| projection.name.as_str()).collect();
    let projection = catalog::all()
        .iter()
        .find(|projection| projection.name == name)
        .with_context(|| format!("there is no projection `{name}`; there are {}", names.join(", ")))?;
    let connection = prepare(&options.store, projection).await?;
    let (report, done, total) = (Report::default(), 0, 0);
    let mut rebuild = Rebuild { options, projection, connection, report, done, total, progress };
    let mut feeds = rebuild.replay().await?;
    rebuild.catch_up(&mut feeds).await?;
    rebuild.analyze().await?;
    switch::switch(&mut rebuild, &mut feeds).await?;
    // The total was an estimate: offsets of the journal hold refusals and losers, too.
    (rebuild.progress)(rebuild.done, rebuild.done);
    let report = rebuild.report;
    rebuild.connection.close().await?;
    Ok(report)
}

/// Schema of the version that is being built.
fn next_schema(projection: &Projection) -> String {
    format!("{}_next", projection.name)
}

/// Empty tables, and a connection of their own: it sees them, and nothing else of the same name.
async fn prepare(store: &Store, projection: &Projection) -> anyhow::Result<PgConnection> {
    let next = next_schema(projection);
    let mut connection = store.pool().acquire().await?.detach();
    // Held until the connection ends, however that happens.
    let free = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtext('tidings rebuild'), hashtext($1))");
    let free: bool = free.bind(&projection.name).fetch_one(&mut connection).await?;
    ensure!(free, "`{}` is being rebuilt already; wait for that to end", projection.name);
    // Left by a rebuild that did not end well.
    let drop = format!("DROP SCHEMA IF EXISTS {next} CASCADE");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut connection).await?;
    projection.install(store.pool(), &next).await?;
    // Nothing before the switch needs to survive a crash.
    let see = format!("SET search_path TO {next}, public; SET synchronous_commit TO off");
    sqlx::raw_sql(AssertSqlSafe(see)).execute(&mut connection).await?;
    Ok(connection)
}

impl<P: FnMut(u64, u64)> Rebuild<'_, P> {
    fn source(&self) -> &'static str {
        SOURCES.into_iter().find(|source| *source == self.projection.source).unwrap_or_default()
    }

    /// Applies what the public streams hold. What follows in the journal, by partition.
    async fn replay(&mut self) -> anyhow::Result<Vec<Feed>> {
        let (client, codec, source) = (&self.options.client, self.options.codec, self.source());
        let partitions = topics::partitions(client, source).await?;
        let checkpoints = Checkpoints::new(client, codec);
        let mut all = Vec::new();
        for partition in 0..partitions {
            // Before the streams, so that they hold at least what it covers.
            let checkpoint = checkpoints.get(source, partition).await?;
            let head = checkpoint.as_ref().map(Head::from).unwrap_or_default();
            let streams = Streams::open(client, codec, source, partition, head).await?;
            self.total += streams.len();
            all.push((head, streams));
        }
        let reader = Reader::new(client, source)?;
        let mut feeds = Vec::new();
        for (partition, (head, mut streams)) in (0..partitions).zip(all) {
            loop {
                let (items, read) = streams.next(BATCH).await?;
                if items.is_empty() {
                    self.advanced(read);
                    break;
                }
                self.apply(&items).await?;
                self.report.replayed += items.len() as u64;
                self.advanced(read);
            }
            feeds.push(Feed::open(&reader, codec, source, partition, head).await?);
        }
        Ok(feeds)
    }

    /// Follows the live views until they are near.
    async fn catch_up(&mut self, feeds: &mut [Feed]) -> anyhow::Result<()> {
        loop {
            let source = self.source();
            let live = live(&mut self.connection, source, feeds.len()).await?;
            let behind: i64 = feeds.iter().zip(&live).map(|(feed, to)| distance(feed, *to)).sum();
            self.total += u64::try_from(behind).unwrap_or_default();
            for (feed, to) in feeds.iter_mut().zip(live) {
                while feed.head().next_offset < to {
                    let items = self.follow(feed, to).await?;
                    self.apply(&items).await?;
                }
            }
            if behind <= NEAR {
                return Ok(());
            }
        }
    }

    /// The next events of a feed before the offset `to`, which has been read by others.
    async fn follow(&mut self, feed: &mut Feed, to: i64) -> anyhow::Result<Vec<Item>> {
        let from = feed.head().next_offset;
        let room = usize::try_from(to - from).unwrap_or(BATCH).min(BATCH);
        let next = tokio::time::timeout(self.options.patience, feed.next(room)).await;
        let items = next.with_context(|| format!("`{}` gives nothing more", self.projection.source))??;
        self.report.followed += items.len() as u64;
        self.advanced(u64::try_from(feed.head().next_offset - from).unwrap_or_default());
        Ok(items)
    }

    async fn apply(&mut self, items: &[Item]) -> anyhow::Result<()> {
        let mut transaction = self.connection.begin().await?;
        apply::apply(&mut transaction, &[self.projection], items).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Without statistics the first queries after the switch would read whole tables.
    async fn analyze(&mut self) -> anyhow::Result<()> {
        let schema = next_schema(self.projection);
        let tables: Vec<String> = sqlx::query_scalar("SELECT tablename::TEXT FROM pg_tables WHERE schemaname = $1")
            .bind(&schema)
            .fetch_all(&mut self.connection)
            .await?;
        for table in tables {
            let analyze = format!("ANALYZE {schema}.{table}");
            sqlx::raw_sql(AssertSqlSafe(analyze)).execute(&mut self.connection).await?;
        }
        Ok(())
    }

    fn advanced(&mut self, records: u64) {
        self.done += records;
        self.total = self.total.max(self.done);
        (self.progress)(self.done, self.total);
    }
}

/// How far the live views are: the next offset of each partition, 0 where nothing was applied yet.
async fn live(connection: &mut PgConnection, source: &str, partitions: usize) -> Result<Vec<i64>, sqlx::Error> {
    let rows: Vec<(i32, i64)> =
        sqlx::query_as("SELECT partition, next_offset FROM checkpoints WHERE version = $1 AND source = $2")
            .bind(LIVE)
            .bind(source)
            .fetch_all(connection)
            .await?;
    let of = |partition| rows.iter().find(|(of, _)| *of == partition).map_or(0, |(_, next_offset)| *next_offset);
    Ok((0..).take(partitions).map(of).collect())
}

fn distance(feed: &Feed, to: i64) -> i64 {
    (to - feed.head().next_offset).max(0)
}
