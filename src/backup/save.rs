//! Making a backup: one increment, or all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use rdkafka::config::ClientConfig;
use time::OffsetDateTime;

use super::destination::Destination;
use super::manifest::{Manifest, Object, Previous, sha256};
use super::streams::{self, Place, Saved, Section};
use super::{Progress, incremental, kafka, keys};
use crate::codec::Codec;
use crate::codec::records::Checkpoint;
use crate::log::journal::Head;
use crate::log::{Checkpoints, Reader, Settled, topics};
use crate::store::Store;

/// Partitions read at a time.
const CONCURRENT: usize = 4;

/// What a backup needs.
#[derive(Clone)]
pub struct Options {
    /// Where Kafka is.
    pub client: ClientConfig,
    /// Of the installation.
    pub codec: &'static Codec,
    /// Where tenants are.
    pub store: Store,
    /// Where it goes.
    pub destination: Destination,
    /// Where the data keys go.
    pub keys: Destination,
    /// Whether it begins a chain, whatever is there.
    pub full: bool,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Report {
    /// The backup.
    pub manifest: Manifest,
    /// Why it is full, where nobody asked for that.
    pub because: Option<String>,
}

/// What the next backup is.
struct Plan {
    number: u64,
    /// The one it continues.
    base: Option<(Manifest, String)>,
    because: Option<String>,
}

/// Makes a backup. `progress` hears of offsets passed and of all there are.
///
/// # Errors
/// If something cannot be read or written, or the destination is another installation's. What was written until then is no backup, and
/// harmless.
pub async fn backup(options: &Options, progress: Progress<'_>) -> anyhow::Result<Report> {
    let began_at = OffsetDateTime::now_utc();
    let Options { client, codec, destination, .. } = options;
    let cluster = kafka::cluster(client).await?;
    // Before the streams, so that they hold at least what these cover.
    let checkpoints = checkpoints(client, codec).await?;
    let epoch = checkpoints.iter().map(|checkpoint| checkpoint.epoch).max().unwrap_or_default();
    let partitions = topics::partitions(client, topics::CONVERSATION_JOURNAL).await?;
    let newest = Manifest::newest(destination).await?;
    let identity = Identity { cluster: &cluster, epoch, partitions };
    let plan = plan(options, identity, newest, began_at).await?;
    let chain = plan.base.as_ref().map_or(plan.number, |(base, _)| base.chain);
    let mut manifest = Manifest {
        version: Manifest::VERSION,
        number: plan.number,
        previous: plan.base.as_ref().map(|(base, sha256)| Previous { number: base.number, sha256: sha256.clone() }),
        chain,
        began_at,
        ended_at: began_at,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        cluster,
        epoch,
        partitions,
        checkpoints,
        positions: BTreeMap::new(),
        schemas: BTreeSet::new(),
        objects: Vec::new(),
        keys: Vec::new(),
        tenants: tenants(options, plan.number).await?,
    };
    let base = plan.base.map(|(base, _)| base.positions).unwrap_or_default();
    save_streams(options, &mut manifest, &base, progress).await?;
    save_keys(options, &mut manifest).await?;
    manifest.ended_at = OffsetDateTime::now_utc();
    ensure!(
        manifest.put(destination).await?,
        "backup {} was made by somebody else meanwhile in {destination}; this one is given up",
        manifest.number
    );
    // Too late for this backup to fail: the next one removes what is left.
    if let Err(error) = keys::remove_older(&options.keys, &manifest).await {
        tracing::warn!(
            error = format!("{error:#}"),
            "an older copy of the data keys is left; the next backup removes it"
        );
    }
    Ok(Report { manifest, because: plan.because })
}

/// Whose a backup is.
struct Identity<'a> {
    cluster: &'a str,
    epoch: i32,
    partitions: i32,
}

async fn plan(
    options: &Options,
    now: Identity<'_>,
    newest: Option<(Manifest, String)>,
    began_at: OffsetDateTime,
) -> anyhow::Result<Plan> {
    let Some((base, sha256)) = newest else { return Ok(Plan { number: 1, base: None, because: None }) };
    let number = base.number + 1;
    if options.full {
        return Ok(Plan { number, base: None, because: None });
    }
    let same = base.cluster == now.cluster && base.epoch == now.epoch && base.partitions == now.partitions;
    if !same {
        bail!(
            "the backups in {} are of cluster {} in epoch {} with {} partitions, and this is cluster {} in epoch {} with {}; \
             choose another destination, or, if this is the same installation after a restore, make one backup with `--full`",
            options.destination,
            base.cluster,
            base.epoch,
            base.partitions,
            now.cluster,
            now.epoch,
            now.partitions
        );
    }
    // A tombstone that compaction has removed is one that an increment would not hold, so the restore would bring back what it removed.
    let streams: Vec<_> = incremental().map(|(topic, _)| topic).collect();
    let kept = kafka::tombstones_kept(&options.client, &streams).await?;
    let age = Duration::try_from(began_at - base.began_at).unwrap_or_default();
    // The rest of the time is for the reading.
    if age >= kept / 4 * 3 {
        let because = format!(
            "the last backup is {} old, and Kafka keeps tombstones for {} only (`delete.retention.ms`)",
            humantime::format_duration(Duration::from_secs(age.as_secs())),
            humantime::format_duration(kept)
        );
        return Ok(Plan { number, base: None, because: Some(because) });
    }
    Ok(Plan { number, base: Some((base, sha256)), because: None })
}

/// How far the public streams are. One for every partition of every journal; where nothing was published yet, the beginning.
async fn checkpoints(client: &ClientConfig, codec: &'static Codec) -> anyhow::Result<Vec<Checkpoint>> {
    let reading = Checkpoints::new(client, codec);
    let mut asking = Vec::new();
    for journal in topics::JOURNALS {
        let partitions = topics::partitions(client, journal).await?;
        asking.extend((0..partitions).map(|partition| (journal, partition)));
    }
    // Together, as they share a reading. Users last: who is named in a conversation was published before that, and so is in the same reading.
    let asked = asking.into_iter().map(|(journal, partition)| {
        let reading = &reading;
        async move {
            let none = || Head::default().checkpoint(journal, partition);
            anyhow::Ok(reading.get(journal, partition).await?.unwrap_or_else(none))
        }
    });
    try_join_all(asked).await
}

fn cut(manifest: &Manifest, journal: &str, partition: i32) -> Place {
    manifest.checkpoint(journal, partition).map_or((0, 0), |checkpoint| (checkpoint.epoch, checkpoint.index))
}

/// What was written to the streams since the positions of `base`, up to the checkpoints of `manifest`.
async fn save_streams(
    options: &Options,
    manifest: &mut Manifest,
    base: &BTreeMap<String, Vec<i64>>,
    progress: Progress<'_>,
) -> anyhow::Result<()> {
    let settled = Settled::new(&options.client)?;
    let mut work = Vec::new();
    for (topic, journal) in incremental() {
        let reader = Arc::new(Reader::new(&options.client, topic)?);
        for partition in 0..manifest.partitions {
            let ends = settled.ends(&reader, partition).await?;
            let position = base.get(topic).and_then(|all| all.get(usize::try_from(partition).ok()?)).copied();
            let from = position.unwrap_or(ends.low);
            ensure!(
                (ends.low..=ends.high).contains(&from),
                "`{topic}`/{partition} holds offsets {} to {}, but the last backup ended at {from}: the topic was made anew or \
                 trimmed; if that was meant, make a backup with `--full`",
                ends.low,
                ends.high
            );
            let cut = journal.map(|journal| cut(manifest, journal, partition));
            work.push((Arc::clone(&reader), Section { topic, partition, from, end: ends.high, cut }));
        }
    }
    let total = work.iter().map(|(_, section)| u64::try_from(section.end - section.from).unwrap_or_default()).sum();
    let (done, folder) = (AtomicU64::new(0), format!("streams/{:010}", manifest.chain));
    progress(0, total);
    let advanced = |passed: u64| progress(done.fetch_add(passed, Ordering::Relaxed) + passed, total);
    let (folder, advanced) = (&folder, &advanced);
    let saving = work.into_iter().map(|(reader, section)| async move {
        let to = (&options.destination, folder.as_str());
        let saved = streams::save(&reader, options.codec, section, to, advanced).await;
        let saved = saved.with_context(|| format!("cannot back up `{}`/{}", section.topic, section.partition))?;
        anyhow::Ok((section, saved))
    });
    // In order, so that manifests are the same from run to run.
    let saved: Vec<(Section, Saved)> = stream::iter(saving).buffered(CONCURRENT).try_collect().await?;
    for (section, saved) in saved {
        manifest.positions.entry(section.topic.to_owned()).or_default().push(saved.next);
        manifest.objects.extend(saved.objects);
        manifest.schemas.extend(saved.schemas);
    }
    Ok(())
}

/// All data keys, after the streams: whoever wrote what is in there has a key, or had it destroyed.
async fn save_keys(options: &Options, manifest: &mut Manifest) -> anyhow::Result<()> {
    let settled = Settled::new(&options.client)?;
    let reader = Reader::new(&options.client, topics::USER_KEYS)?;
    let folder = keys::folder(manifest.number);
    let (settled, reader, folder) = (&settled, &reader, &folder);
    let saving = (0..manifest.partitions).map(|partition| async move {
        let ends = settled.ends(reader, partition).await?;
        let section = Section { topic: topics::USER_KEYS, partition, from: ends.low, end: ends.high, cut: None };
        let saved = streams::save_newest(reader, options.codec, section, (&options.keys, folder)).await;
        saved.with_context(|| format!("cannot back up `{}`/{partition}", topics::USER_KEYS))
    });
    let saved: Vec<Saved> = stream::iter(saving).buffered(CONCURRENT).try_collect().await?;
    for saved in saved {
        manifest.keys.extend(saved.objects);
        manifest.schemas.extend(saved.schemas);
    }
    Ok(())
}

/// Tenants and API keys, which are in Postgres only.
async fn tenants(options: &Options, number: u64) -> anyhow::Result<Object> {
    let tenants = options.store.export_tenants().await.context("cannot read the tenants")?;
    let raw = serde_json::to_vec(&tenants).context("tenants cannot be written as JSON")?;
    let bytes: bytes::Bytes = zstd::bulk::compress(&raw, 0)?.into();
    let sha256 = sha256(&bytes);
    let name = format!("tenants/{number:010}-{}.json.zst", &sha256[..16]);
    let size = bytes.len() as u64;
    ensure!(options.destination.put_new(&name, bytes).await?, "{name} is there already, and is damaged: remove it");
    let records = (tenants.tenants.len() + tenants.api_keys.len()) as u64;
    Ok(Object {
        name,
        topic: String::new(),
        partition: 0,
        records,
        tombstones: 0,
        bytes: size,
        raw_bytes: raw.len() as u64,
        sha256,
    })
}
