//! `tidings admin rebuild NAME`: a projection anew, from the public streams, beside the live one; then they are switched.
//!
//! Per journal partition: the checkpoint of the public streams is read first (index N), then the streams to their end, merged by index, and
//! then the journal from that checkpoint until it has caught up with the live views. The switch is one transaction that holds the live
//! checkpoints: what the live projector has, the new version has exactly, and from then on it feeds the new one.

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use crate::assemble::Installation;
use crate::log::journal::Head;
use crate::log::{Checkpoints, Fetched, Reader, read_to_end, topics};
use crate::projector::apply;
use crate::projector::catalog::{self, Projection};
use crate::projector::feed::Feed;
use crate::projector::item::Item;
use crate::store::LIVE;

const BATCH: usize = 2_000;

/// The public streams that hold all of a source, by its name.
fn streams(source: &str) -> &'static [&'static str] {
    match source {
        topics::CONVERSATION_JOURNAL => &[topics::CONVERSATION_EVENTS, topics::RECEIPTS],
        topics::USER_JOURNAL => &[topics::USER_EVENTS],
        _ => &[],
    }
}

struct Rebuild {
    installation: Installation,
    projection: &'static Projection,
    /// Schema and version of what is being built.
    next: String,
    connection: PgConnection,
    progress: ProgressBar,
}

/// Rebuilds the projection `name`, showing progress.
///
/// # Errors
/// If there is none of that name, or something fails: the live version stays as it is, and the next try starts anew.
pub async fn run(installation: Installation, name: &str) -> anyhow::Result<()> {
    let names: Vec<_> = catalog::all().iter().map(|projection| projection.name.as_str()).collect();
    let projection = catalog::all()
        .iter()
        .find(|projection| projection.name == name)
        .with_context(|| format!("there is no projection `{name}`; there are {}", names.join(", ")))?;
    let next = format!("{name}_next");
    let pool = installation.store.pool().clone();
    sqlx::raw_sql(AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {next} CASCADE"))).execute(&pool).await?;
    sqlx::query("DELETE FROM checkpoints WHERE version = $1").bind(&next).execute(&pool).await?;
    projection.install(&pool, &next).await?;
    // A connection of its own: it sees the new tables, and nothing else of the same name.
    let mut connection = pool.acquire().await?.detach();
    sqlx::raw_sql(AssertSqlSafe(format!("SET search_path TO {next}, public"))).execute(&mut connection).await?;
    apply::prepare(&mut connection).await?;
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} records {eta}")?;
    let progress = ProgressBar::new(0).with_style(style).with_message(format!("rebuilding {name}"));
    let mut rebuild = Rebuild { installation, projection, next, connection, progress };
    rebuild.build().await?;
    rebuild.progress.finish_and_clear();
    println!("{name} is rebuilt from {} records, and live", rebuild.progress.position());
    Ok(())
}

impl Rebuild {
    async fn build(&mut self) -> anyhow::Result<()> {
        let source = self.projection.source.as_str();
        let partitions = topics::partitions(&self.installation.client, source).await?;
        let mut feeds = Vec::new();
        let reader = Reader::new(&self.installation.client, source)?;
        for partition in 0..partitions {
            let head = self.replay(partition).await?;
            feeds.push(Feed::open(&reader, self.installation.codec, source, partition, head).await?);
        }
        for feed in &mut feeds {
            let end = feed.end().await?;
            self.follow(feed, end).await?;
        }
        self.switch(feeds).await
    }

    /// Applies what the public streams of a partition hold. How far the journal is in them.
    async fn replay(&mut self, partition: i32) -> anyhow::Result<Head> {
        let (client, codec) = (&self.installation.client, self.installation.codec);
        let source = &self.projection.source;
        let streams = streams(source);
        if streams.is_empty() {
            return Ok(Head::default());
        }
        // Before the streams, so that they hold at least what it covers.
        let checkpoint = Checkpoints::new(client, codec).get(source, partition).await?;
        let head = checkpoint.as_ref().map(Head::from).unwrap_or_default();
        let mut items = Vec::new();
        for stream in streams {
            for Fetched { value, .. } in read_to_end(client, stream, partition).await? {
                items.extend(Item::public(codec, stream, value.as_ref())?);
            }
        }
        // What is past the checkpoint comes again from the journal.
        items.retain(|item| item.index <= head.index);
        items.sort_by_key(|item| (item.epoch, item.index));
        self.progress.inc_length(items.len() as u64);
        for batch in items.chunks(BATCH) {
            let mut transaction = self.connection.begin().await?;
            apply::apply(&mut transaction, &[self.projection], batch).await?;
            transaction.commit().await?;
            self.progress.inc(batch.len() as u64);
        }
        Ok(head)
    }

    /// Applies what a feed has before `end`.
    async fn follow(&mut self, feed: &mut Feed, end: i64) -> anyhow::Result<()> {
        while feed.head().next_offset < end {
            let room = usize::try_from(end - feed.head().next_offset).unwrap_or(BATCH).min(BATCH);
            let items = feed.next(room).await?;
            if items.is_empty() && feed.at_end() {
                break;
            }
            let mut transaction = self.connection.begin().await?;
            apply::apply(&mut transaction, &[self.projection], &items).await?;
            transaction.commit().await?;
            self.progress.inc_length(items.len() as u64);
            self.progress.inc(items.len() as u64);
        }
        Ok(())
    }

    /// Catches up exactly with the live version, whose projectors wait for the lock, and takes its place.
    async fn switch(&mut self, mut feeds: Vec<Feed>) -> anyhow::Result<()> {
        let (source, name, next) = (&self.projection.source, &self.projection.name, &self.next);
        let mut transaction = self.connection.begin().await?;
        let live: Vec<(i32, i64)> = sqlx::query_as(
            "SELECT partition, next_offset FROM checkpoints WHERE version = $1 AND source = $2 ORDER BY partition FOR UPDATE",
        )
        .bind(LIVE)
        .bind(source)
        .fetch_all(&mut *transaction)
        .await?;
        for (partition, next_offset) in live {
            let feed = usize::try_from(partition).ok().and_then(|index| feeds.get_mut(index));
            let feed =
                feed.with_context(|| format!("the live views have a partition {partition} that `{source}` has not"))?;
            let mut items = Vec::new();
            while feed.head().next_offset < next_offset {
                let room = usize::try_from(next_offset - feed.head().next_offset).unwrap_or(1);
                items.extend(feed.next(room).await?);
                if feed.at_end() {
                    break;
                }
            }
            apply::apply(&mut transaction, &[self.projection], &items).await?;
            self.progress.inc_length(items.len() as u64);
            self.progress.inc(items.len() as u64);
        }
        // Dropping the old tables makes every open connection plan anew what named them, and by name it finds the new ones.
        let switch = format!("DROP SCHEMA {name} CASCADE; ALTER SCHEMA {next} RENAME TO {name}");
        sqlx::raw_sql(AssertSqlSafe(switch)).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }
}
