//! `tidings admin backup`, `backups` and `restore`: see [`crate::backup`].

use std::time::Duration;

use anyhow::Context;
use indicatif::HumanBytes;
use rdkafka::config::ClientConfig;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::progress::{bar, show};
use crate::assemble::Installation;
use crate::backup::{Access, Destination, Manifest, restore, save};
use crate::config::Config;
use crate::projector::rebuild;
use crate::store::Tenancy;

/// After a backup that failed, the next one is tried so soon.
const RETRY: Duration = Duration::from_secs(60);
/// Said wherever a backup is made or restored: who has it alone has nothing.
const APART: &str =
    "the master keys and the token key are not in it: keep them elsewhere, nothing can be read without them";

/// The places of backups and of the data keys, by flag or configuration.
fn places(
    config: &Config,
    place: Option<&str>,
    keys: Option<&str>,
    access: Access,
) -> anyhow::Result<[Destination; 2]> {
    let settings = &config.backup;
    let url = place.or(settings.destination.as_deref());
    let url = url.context("where backups are is not set: give an address, or set TIDINGS_BACKUP__DESTINATION")?;
    let destination = Destination::open(url, settings, access)?;
    let keys = match keys.or(settings.keys_destination.as_deref()) {
        Some(keys) => Destination::open(keys, settings, access)?,
        None => destination.under(crate::backup::KEYS),
    };
    Ok([destination, keys])
}

/// Many short readings, each to an end that is a transaction's: only an empty fetch shows it.
fn eager(mut client: ClientConfig) -> ClientConfig {
    client.set("fetch.wait.max.ms", "10");
    client
}

/// What a backup is made for.
pub struct Backup {
    /// Instead of the configured place.
    pub to: Option<String>,
    /// Not only what was written since the last one.
    pub full: bool,
    /// Again and again, with this time between.
    pub every: Option<Duration>,
}

/// Makes one backup, or one each interval until `stop`.
///
/// # Errors
/// If the one cannot be made; of several, if the first cannot begin.
pub async fn backup(installation: Installation, wanted: Backup, stop: CancellationToken) -> anyhow::Result<()> {
    let [destination, keys] = places(&installation.config, wanted.to.as_deref(), None, Access::Write)?;
    let Installation { client, codec, store, .. } = installation;
    let mut options = save::Options { client: eager(client), codec, store, destination, keys, full: wanted.full };
    let Some(every) = wanted.every else {
        return stop.run_until_cancelled(once(&options)).await.context("the backup was interrupted")?;
    };
    let mut last = None;
    loop {
        match stop.run_until_cancelled(next(&options, every, &mut last)).await {
            None => return Ok(()),
            Some(Ok(())) => options.full = false,
            Some(Err(error)) => {
                let (error, last_backup_age_ms) = (format!("{error:#}"), last.map(|began_at| as_ms(since(began_at))));
                tracing::error!(error, last_backup_age_ms, "the backup failed; it is tried again soon");
                if stop.run_until_cancelled(tokio::time::sleep(RETRY.min(every))).await.is_none() {
                    return Ok(());
                }
            }
        }
    }
}

/// Waits until the next backup is due, and makes it. `last` is when the one before began.
async fn next(options: &save::Options, every: Duration, last: &mut Option<OffsetDateTime>) -> anyhow::Result<()> {
    *last = Manifest::newest(&options.destination).await?.map(|(manifest, _)| manifest.began_at);
    // Also after a start: so often as processes start, backups need not be made.
    if let Some(age) = last.map(since).filter(|_| !options.full) {
        let due = every.saturating_sub(age);
        tracing::info!(last_backup_age_ms = as_ms(age), next_in_ms = as_ms(due), "waiting for the next backup");
        tokio::time::sleep(due).await;
    }
    once(options).await
}

fn since(at: OffsetDateTime) -> Duration {
    Duration::try_from(OffsetDateTime::now_utc() - at).unwrap_or_default()
}

fn as_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

async fn once(options: &save::Options) -> anyhow::Result<()> {
    let bar = bar("backing up", "records")?;
    let made = save::backup(options, &show(&bar)).await;
    bar.finish_and_clear();
    let save::Report { manifest, because } = made?;
    if let Some(because) = because {
        tracing::warn!("this backup is a full one: {because}");
    }
    println!("{}", line(&manifest));
    println!("{APART}");
    Ok(())
}

/// A backup as people are told of it.
fn line(manifest: &Manifest) -> String {
    let kind = match &manifest.previous {
        Some(previous) => format!("since {}", previous.number),
        None => "full".to_owned(),
    };
    let (records, bytes) = manifest.size();
    let began_at = crate::domain::Timestamp(
        i64::try_from(manifest.began_at.unix_timestamp_nanos() / 1_000_000).unwrap_or_default(),
    );
    format!(
        "backup {} ({kind}) of {began_at}, {} old: {records} records, {}, epoch {}",
        manifest.number,
        humantime::format_duration(Duration::from_secs(since(manifest.began_at).as_secs())),
        HumanBytes(bytes),
        manifest.epoch
    )
}

/// Lists the backups, oldest first.
///
/// # Errors
/// If they cannot be read.
pub async fn list(config: &Config, from: Option<&str>) -> anyhow::Result<()> {
    let [destination, _] = places(config, from, None, Access::Read)?;
    let numbers = Manifest::numbers(&destination).await?;
    if numbers.is_empty() {
        println!("there is no backup in {destination}");
    }
    for number in numbers {
        println!("{}", line(&Manifest::get(&destination, number).await?.0));
    }
    Ok(())
}

/// Which backup.
pub struct From {
    /// Instead of the configured place.
    pub place: Option<String>,
    /// Instead of the configured place of the data keys.
    pub keys: Option<String>,
    /// Its number; none: the newest.
    pub at: Option<u64>,
}

async fn open(config: &Config, from: &From) -> anyhow::Result<restore::Backup> {
    let [destination, keys] = places(config, from.place.as_deref(), from.keys.as_deref(), Access::Read)?;
    restore::Backup::open(destination, keys, from.at).await
}

/// Reads and checks everything that a restore would read.
///
/// # Errors
/// If something is missing or damaged.
pub async fn check(config: &Config, from: &From) -> anyhow::Result<()> {
    let backup = open(config, from).await?;
    let verified = verify(&backup).await?;
    println!("{}", backup.manifest().map(line).unwrap_or_default());
    println!("all {} objects, with {} records, are whole", verified.objects, backup.records());
    Ok(())
}

async fn verify(backup: &restore::Backup) -> anyhow::Result<restore::Verified> {
    let bar = bar("checking", "records")?;
    let verified = backup.verify(&show(&bar)).await;
    bar.finish_and_clear();
    verified
}

/// Restores tenants and API keys only, where Postgres was lost and Kafka was not.
///
/// # Errors
/// If there are some, or they cannot be read or written.
pub async fn restore_tenants(config: Config, from: &From) -> anyhow::Result<()> {
    let backup = open(&config, from).await?;
    let installation = Installation::open(config).await?;
    installation.setup().await?;
    let Tenancy { tenants, .. } = installation.store.export_tenants().await?;
    anyhow::ensure!(
        tenants.is_empty(),
        "there are {} tenants already; a backup's are for a new database",
        tenants.len()
    );
    let tenancy = backup.tenancy().await?;
    installation.store.import_tenants(&tenancy).await.context("cannot write the tenants")?;
    println!("{}", backup.manifest().map(line).unwrap_or_default());
    println!("{} tenants and {} API keys are restored", tenancy.tenants.len(), tenancy.api_keys.len());
    Ok(())
}

/// Restores into an empty installation, up to views that can be served.
///
/// # Errors
/// If it is not empty, or something fails; then it is to be emptied.
pub async fn restore(config: Config, from: &From) -> anyhow::Result<()> {
    let backup = open(&config, from).await?;
    let installation = Installation::open(config).await?;
    restore::ensure_fits(&backup, installation.codec, installation.partitions())?;
    installation.setup().await?;
    let Installation { client, codec, store, .. } = installation;
    let client = eager(client);
    let target = restore::Target { client: client.clone(), codec, store: store.clone() };
    // What takes no time first; and all that can be wrong with the backup before anything is written.
    restore::ensure_free(&target).await?;
    let verified = verify(&backup).await?;
    let progress = bar("restoring", "records")?;
    let restored = restore::restore(&backup, &verified, &target, &show(&progress)).await;
    progress.finish_and_clear();
    let restored = restored?;
    let progress = bar("making the views", "records")?;
    let options = rebuild::Options { client, codec, store: store.clone(), patience: RETRY };
    let filled = rebuild::fill(&options, &show(&progress)).await;
    progress.finish_and_clear();
    let filled =
        filled.context("the streams are restored, the views are not; empty Kafka and Postgres, and restore again")?;
    store.end_restore().await?;
    println!("{}", backup.manifest().map(line).unwrap_or_default());
    println!(
        "is restored: {} records ({} were removed by later ones), {filled} events in the views; the epoch is {} now, and roles may start",
        restored.records, restored.removed, restored.epoch
    );
    println!("{APART}");
    Ok(())
}
