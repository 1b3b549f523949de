//! Bringing a backup back into an empty installation: the streams as they were, in a higher epoch.
//!
//! What a later record of the backup removed is not written again. Journals and commands begin anew, so the checkpoints are of their
//! beginning, with the index that the streams have reached: from there on all roles, and cursors of clients, see another epoch.

mod append;
mod epoch;

use std::collections::{HashMap, HashSet};

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use rdkafka::config::ClientConfig;

use super::container::{Entry, unpack};
use super::destination::Destination;
use super::empty::ensure_empty;
use super::manifest::{Manifest, Object};
use super::{Progress, streams};
use crate::codec::Codec;
use crate::codec::records::Checkpoint;
use crate::domain::EventId;
use crate::log::journal::Head;
use crate::log::{Producer, Settled, checkpoint_key, topics};
use crate::store::{Store, Tenancy};
use append::Appender;

/// Objects fetched ahead.
const AHEAD: usize = 4;

/// A backup, with all that it continues.
pub struct Backup {
    destination: Destination,
    keys_destination: Destination,
    /// The full one first.
    chain: Vec<Manifest>,
    /// The data keys, of which there is one copy: that of the newest backup.
    keys: Vec<Object>,
    /// No backup there is of a later epoch.
    epoch: i32,
}

/// What was brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records written to Kafka.
    pub records: u64,
    /// Records that a later one of the backup had removed.
    pub removed: u64,
    /// Of the installation now.
    pub epoch: i32,
}

impl Backup {
    /// Number `at` of those in `destination`, or the newest.
    ///
    /// # Errors
    /// If there is none, or a manifest of its chain is missing or damaged.
    pub async fn open(destination: Destination, keys: Destination, at: Option<u64>) -> anyhow::Result<Self> {
        let newest = Manifest::newest(&destination).await?;
        let (newest, _) = newest.with_context(|| format!("there is no backup in {destination}"))?;
        let chain = Manifest::chain(&destination, at.unwrap_or(newest.number)).await?;
        Ok(Self { destination, keys_destination: keys, chain, keys: newest.keys, epoch: newest.epoch })
    }

    /// The backup itself.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.chain.last()
    }

    fn last(&self) -> anyhow::Result<&Manifest> {
        self.chain.last().context("a chain has at least one backup")
    }

    fn objects(&self) -> impl Iterator<Item = (&Destination, &Object)> {
        let of_streams = self.chain.iter().flat_map(|manifest| &manifest.objects);
        let of_streams = of_streams.map(|object| (&self.destination, object));
        of_streams.chain(self.keys.iter().map(|object| (&self.keys_destination, object)))
    }

    /// Records in all that is read for it.
    pub fn records(&self) -> u64 {
        self.objects().map(|(_, object)| object.records).sum()
    }

    /// Reads and checks everything.
    ///
    /// # Errors
    /// If an object is missing or damaged.
    pub async fn verify(&self, progress: Progress<'_>) -> anyhow::Result<Verified> {
        let tenancy = self.tenancy().await?;
        let mut verified = Verified { objects: 1, tenancy, removals: Removals::new() };
        let (mut done, total) = (0, self.records());
        let mut fetched = stream::iter(self.objects().map(fetch)).buffered(AHEAD);
        while let Some((object, entries)) = fetched.try_next().await? {
            for entry in entries.into_iter().filter(|entry| entry.value.is_none()) {
                let Some(key) = entry.key else { continue };
                let removed = (object.topic.clone(), object.partition, key);
                let before = verified.removals.entry(removed).or_insert(entry.offset);
                *before = entry.offset.max(*before);
            }
            verified.objects += 1;
            done += object.records;
            progress(done, total);
        }
        Ok(verified)
    }

    /// Its tenants and API keys.
    ///
    /// # Errors
    /// If they are missing or damaged.
    pub async fn tenancy(&self) -> anyhow::Result<Tenancy> {
        let object = &self.last()?.tenants;
        let bytes = object.get(&self.destination).await?;
        let damaged = || format!("{} in {} cannot be read", object.name, self.destination);
        let raw = zstd::bulk::decompress(&bytes, usize::try_from(object.raw_bytes)?).with_context(damaged)?;
        serde_json::from_slice(&raw).with_context(damaged)
    }
}

/// What later records of the backup remove: in which topic and partition, under which key, and before which offset.
type Removals = HashMap<(String, i32, Bytes), i64>;

/// A backup that was read as a whole, and what must be known of it before it is written.
#[derive(Debug)]
pub struct Verified {
    /// So many.
    pub objects: u64,
    tenancy: Tenancy,
    removals: Removals,
}

/// The records of an object, checked against its manifest.
async fn fetch<'a>((destination, object): (&'a Destination, &'a Object)) -> anyhow::Result<(&'a Object, Vec<Entry>)> {
    let bytes = object.get(destination).await?;
    let raw_bytes = usize::try_from(object.raw_bytes)?;
    let unpacked = tokio::task::spawn_blocking(move || unpack(&bytes, raw_bytes)).await?;
    let entries = unpacked.with_context(|| format!("{} in {destination} cannot be read", object.name))?;
    let found = entries.len() as u64;
    ensure!(found == object.records, "{} holds {found} records and not {}", object.name, object.records);
    Ok((object, entries))
}

/// Where a backup is restored to. Topics and tables are made.
#[derive(Clone)]
pub struct Target {
    /// Where Kafka is.
    pub client: ClientConfig,
    /// Of the installation.
    pub codec: &'static Codec,
    /// Where tenants and views are.
    pub store: Store,
}

/// Whether the backup fits an installation with so many partitions. To be asked before topics are made.
///
/// # Errors
/// If it does not.
pub fn ensure_fits(backup: &Backup, codec: &Codec, partitions: i32) -> anyhow::Result<()> {
    let manifest = backup.last()?;
    ensure!(
        manifest.partitions == partitions,
        "the backup is of {} partitions and this installation of {partitions}: set `kafka.partitions` to {}, with topics that are not \
         there yet",
        manifest.partitions,
        manifest.partitions
    );
    let schemas: HashSet<u32> = backup.chain.iter().flat_map(|manifest| manifest.schemas.iter().copied()).collect();
    let unknown: Vec<_> = schemas.into_iter().filter(|id| !codec.knows(*id)).collect();
    ensure!(
        unknown.is_empty(),
        "records of the backup have schemas that are not known here ({unknown:?}): configure the registry that they were written \
         with (`registry.url`), or upgrade"
    );
    Ok(())
}

/// Writes the backup to Kafka, and tenants to Postgres. The views are still empty then: fill them, and then tell the store that the
/// restore has ended; until then no role starts.
///
/// # Errors
/// If the installation is not empty, or something cannot be read or written. After the latter it is to be emptied.
pub async fn restore(
    backup: &Backup,
    verified: &Verified,
    target: &Target,
    progress: Progress<'_>,
) -> anyhow::Result<Report> {
    let manifest = backup.last()?;
    ensure_free(target).await?;
    let epoch = epoch::claim(&backup.destination, backup.epoch, manifest.number).await?;
    let begun = target.store.begin_restore(&backup.destination.to_string(), manifest.number, epoch).await?;
    ensure!(begun, "another restore has just begun here");
    target.store.import_tenants(&verified.tenancy).await.context("cannot write the tenants")?;
    let mut report = write(backup, target, &verified.removals, progress).await?;
    begin_epoch(target, manifest, epoch).await?;
    report.epoch = epoch;
    Ok(report)
}

/// Whether there is nothing in the installation. Topics and tables must be there.
///
/// # Errors
/// If there is something.
pub async fn ensure_free(target: &Target) -> anyhow::Result<()> {
    if let Some(unfinished) = target.store.unfinished_restore().await? {
        anyhow::bail!(
            "a restore of backup {} from {} began here at {} and has not ended: if it is not under way, take a new Kafka and a new \
             database, or empty these, and restore again",
            unfinished.backup,
            unfinished.source,
            unfinished.began_at
        );
    }
    ensure_empty(&target.client, &target.store).await
}

/// Writes all records that are still to be there.
async fn write(
    backup: &Backup,
    target: &Target,
    removals: &Removals,
    progress: Progress<'_>,
) -> anyhow::Result<Report> {
    let appender = Appender::new(&target.client)?;
    let (manifest, codec) = (backup.last()?, target.codec);
    let (mut report, mut done, total) = (Report::default(), 0, backup.records());
    let mut fetched = stream::iter(backup.objects().map(fetch)).buffered(AHEAD);
    while let Some((object, entries)) = fetched.try_next().await? {
        let topic = topics::names().find(|name| *name == object.topic);
        let topic =
            topic.with_context(|| format!("the backup has a topic `{}` that is not known here", object.topic))?;
        let partition = object.partition;
        let is_wanted = |entry: &Entry| -> anyhow::Result<bool> {
            let (Some(value), Some(key)) = (&entry.value, &entry.key) else { return Ok(false) };
            let removed = removals.get(&(object.topic.clone(), partition, key.clone()));
            if removed.is_some_and(|before| entry.offset < *before) {
                return Ok(false);
            }
            // Keys were read after all else, and for an older backup perhaps long after.
            Ok(topic != topics::USER_KEYS || streams::place(codec, topic, value)? <= cut(manifest, partition))
        };
        let mut wanted = Vec::with_capacity(entries.len());
        for entry in entries {
            if is_wanted(&entry)? {
                wanted.push(entry);
            } else {
                report.removed += 1;
            }
        }
        report.records += wanted.len() as u64;
        appender.append(topic, partition, wanted).await?;
        done += object.records;
        progress(done, total);
    }
    appender.finish().await?;
    Ok(report)
}

/// How far the users' streams go.
fn cut(manifest: &Manifest, partition: i32) -> streams::Place {
    let checkpoint = manifest.checkpoint(topics::USER_JOURNAL, partition);
    checkpoint.map_or((0, 0), |checkpoint| (checkpoint.epoch, checkpoint.index))
}

/// Writes where all roles begin: at the first record of the journals, which continues the streams.
async fn begin_epoch(target: &Target, manifest: &Manifest, epoch: i32) -> anyhow::Result<()> {
    let (settled, producer) = (Settled::new(&target.client)?, Producer::new(&target.client)?);
    let mut appending = Vec::new();
    for Checkpoint { journal, partition, index, .. } in &manifest.checkpoints {
        let commands =
            if journal == topics::USER_JOURNAL { topics::USER_COMMANDS } else { topics::CONVERSATION_COMMANDS };
        let head = Head {
            epoch,
            next_offset: settled.written(journal, *partition).await?.high,
            // Of no record: whoever begins elsewhere must not take the first of this epoch for one of its own chain.
            id: EventId::generate(),
            offset: -1,
            index: *index,
            cause_offset: settled.written(commands, *partition).await?.high - 1,
        };
        let value = target.codec.encode(&head.checkpoint(journal, *partition))?;
        let key = checkpoint_key(journal, *partition);
        appending.push(producer.append_patiently(topics::CHECKPOINTS, 0, key.as_bytes(), Some(&value)).await?);
    }
    for appended in appending {
        appended.await.context("cannot write where the journals begin")?;
    }
    Ok(())
}
