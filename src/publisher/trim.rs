//! Trimming of journals: `DeleteRecords` up to the lowest offset that somebody still needs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::JOURNALS;
use crate::domain::Timestamp;
use crate::log::{Checkpoints, topics};

/// When it is looked first.
const FIRST: Duration = Duration::from_secs(60);
const BROKER_TIMEOUT: Duration = Duration::from_secs(30);

/// Somebody who still needs a part of a journal.
#[async_trait]
pub trait Needs: Send + Sync {
    /// For logs, such as `projector`.
    fn name(&self) -> &'static str;

    /// The first offset of `journal`/`partition` that is still needed; none if that is not known, and then nothing is trimmed.
    /// Name the record before the checkpoint (`head_offset`), not the one after: it is read again to check the journal.
    ///
    /// # Errors
    /// If it cannot be found out now; the partition is left alone until the next time.
    async fn first_needed(&self, journal: &str, partition: i32) -> anyhow::Result<Option<i64>>;
}

/// How journals are trimmed.
#[derive(Clone)]
pub struct Options {
    /// How long records are kept at least, whoever needs them.
    pub keep: Duration,
    /// How often it is looked.
    pub every: Duration,
    /// All but the publisher, which is asked always: the projector, and the sequencer's committed commands.
    pub needs: Vec<Arc<dyn Needs>>,
}

impl Options {
    /// With the defaults: 7 days, every hour.
    pub fn new(needs: Vec<Arc<dyn Needs>>) -> Self {
        Self { keep: Duration::from_hours(7 * 24), every: Duration::from_hours(1), needs }
    }
}

/// Trims every journal now and then, until `shutdown`. Any number of processes may.
///
/// # Errors
/// Never; what fails is logged and tried again the next time.
pub async fn run(
    client: &ClientConfig,
    options: &Options,
    checkpoints: &Checkpoints,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    // Not at once: a start has other things to do.
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + options.every.min(FIRST), options.every);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        for journal in JOURNALS {
            if let Err(error) = trim(client, options, checkpoints, journal).await {
                tracing::warn!(journal, error = format!("{error:#}"), "cannot trim; it is tried again the next time");
            }
        }
    }
}

/// Trims all partitions of `journal` once. Returns the first offset kept of each that was trimmed.
///
/// # Errors
/// If Kafka does not answer, or somebody cannot tell what is needed.
pub async fn trim(
    client: &ClientConfig,
    options: &Options,
    checkpoints: &Checkpoints,
    journal: &'static str,
) -> anyhow::Result<Vec<(i32, i64)>> {
    let partitions = topics::partitions(client, journal).await?;
    let oldest = Timestamp::now().plus(-i64::try_from(options.keep.as_millis()).unwrap_or(i64::MAX));
    let young = first_since(client, journal, partitions, oldest).await?;
    let mut limits = Vec::new();
    for (partition, young) in (0..).zip(young) {
        if young == 0 {
            continue;
        }
        if let Some(needed) = first_needed(options, checkpoints, journal, partition).await? {
            limits.push((partition, needed.min(young)));
        }
    }
    limits.retain(|(_, limit)| *limit > 0);
    if !limits.is_empty() {
        delete(client, journal, &limits).await?;
        tracing::info!(journal, partitions = limits.len(), "journal trimmed");
    }
    Ok(limits)
}

async fn first_needed(
    options: &Options,
    checkpoints: &Checkpoints,
    journal: &str,
    partition: i32,
) -> anyhow::Result<Option<i64>> {
    let published = checkpoints.get(journal, partition).await?;
    let Some(mut lowest) = published.map(|checkpoint| checkpoint.head_offset) else { return Ok(None) };
    for needs in &options.needs {
        let needed = needs.first_needed(journal, partition).await;
        match needed.with_context(|| format!("the {} cannot tell what it needs", needs.name()))? {
            Some(needed) => lowest = lowest.min(needed),
            None => return Ok(None),
        }
    }
    Ok(Some(lowest))
}

/// By partition, the first offset appended at `oldest` or later; the end where all is older.
async fn first_since(
    client: &ClientConfig,
    journal: &'static str,
    partitions: i32,
    oldest: Timestamp,
) -> anyhow::Result<Vec<i64>> {
    let client = client.clone();
    let ask = move || {
        let consumer: BaseConsumer = client.create()?;
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(journal, partition, Offset::Offset(oldest.0.max(0)))?;
        }
        let found = consumer.offsets_for_times(list, BROKER_TIMEOUT)?;
        let first = |partition| {
            let what = || format!("cannot find the first record of `{journal}`/{partition} that is kept");
            let element = found.find_partition(journal, partition).with_context(what)?;
            // A partition without a leader has an error of its own. Taken for "none found" it would say that all of it is old.
            element.error().with_context(what)?;
            match element.offset() {
                Offset::Offset(offset) => Ok(offset),
                Offset::End => Ok(consumer.fetch_watermarks(journal, partition, BROKER_TIMEOUT)?.1),
                other => anyhow::bail!("{}: Kafka answers {other:?}", what()),
            }
        };
        (0..partitions).map(first).collect()
    };
    tokio::task::spawn_blocking(ask).await?
}

async fn delete(client: &ClientConfig, journal: &str, limits: &[(i32, i64)]) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = client.create()?;
    let mut list = TopicPartitionList::new();
    for (partition, limit) in limits {
        list.add_partition_offset(journal, *partition, Offset::Offset(*limit))?;
    }
    let deleted = admin.delete_records(&list, &AdminOptions::new().operation_timeout(Some(BROKER_TIMEOUT))).await?;
    for element in deleted.elements() {
        let partition = element.partition();
        element.error().with_context(|| format!("cannot trim `{journal}`/{partition}"))?;
    }
    Ok(())
}
