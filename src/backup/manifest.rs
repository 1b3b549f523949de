//! What a backup consists of. Written last: a backup without a manifest does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context, ensure};
use bytes::Bytes;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::destination::Destination;
use crate::codec::records::Checkpoint;

/// The version of the format that is written, and the only one that is read.
const VERSION: u32 = 1;
const FOLDER: &str = "manifests";

/// One backup. It holds what was written since the one before it in its chain; the first of a chain holds everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the format.
    pub version: u32,
    /// 1, 2, 3 … in a destination.
    pub number: u64,
    /// The one that it continues; none for a full one.
    pub previous: Option<Previous>,
    /// The number of the full one that its chain begins with.
    pub chain: u64,
    /// When it began to read, by the clock of the machine that made it. RFC 3339.
    #[serde(with = "time::serde::rfc3339")]
    pub began_at: time::OffsetDateTime,
    /// When it was complete.
    #[serde(with = "time::serde::rfc3339")]
    pub ended_at: time::OffsetDateTime,
    /// Of the program.
    pub program: String,
    /// Kafka's id of the cluster.
    pub cluster: String,
    /// Of the journals.
    pub epoch: i32,
    /// Of each topic of conversations and users.
    pub partitions: i32,
    /// How far the streams go: exactly to these, one for each journal partition.
    pub checkpoints: Vec<Checkpoint>,
    /// Where the next backup goes on, by topic and partition.
    pub positions: BTreeMap<String, Vec<i64>>,
    /// Ids of the schemas that its records are written with.
    pub schemas: BTreeSet<u32>,
    /// Records written since the previous backup, in the order in which they are restored.
    pub objects: Vec<Object>,
    /// The data keys, whole. Only the newest backup's are kept.
    pub keys: Vec<Object>,
    /// Tenants and API keys, whole.
    pub tenants: Object,
}

/// Names the backup before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Previous {
    /// Its number.
    pub number: u64,
    /// Of its manifest.
    pub sha256: String,
}

/// An object that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// In the destination.
    pub name: String,
    /// Where its records are from; empty for what is not of Kafka.
    pub topic: String,
    /// There.
    pub partition: i32,
    /// Records.
    pub records: u64,
    /// How many of them remove what is under their key.
    pub tombstones: u64,
    /// Size.
    pub bytes: u64,
    /// Size before compression.
    pub raw_bytes: u64,
    /// Of the object.
    pub sha256: String,
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The name of a manifest. Names sort as numbers do.
fn name(number: u64) -> String {
    format!("{FOLDER}/{number:010}.json")
}

impl Manifest {
    /// Version to write.
    pub const VERSION: u32 = VERSION;

    /// Writes it; false if there is one of its number.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn put(&self, destination: &Destination) -> anyhow::Result<bool> {
        let text = serde_json::to_vec_pretty(self).context("the manifest cannot be written as JSON")?;
        destination.put_new(&name(self.number), text.into()).await
    }

    /// Reads one, and its own SHA-256.
    ///
    /// # Errors
    /// If it is not there, cannot be read, or is of another version.
    pub async fn get(destination: &Destination, number: u64) -> anyhow::Result<(Self, String)> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let name = name(number);
        let bytes = destination.get(&name).await?;
        let damaged = || format!("{name} in {destination} is no manifest");
        let Versioned { version } = serde_json::from_slice(&bytes).with_context(damaged)?;
        ensure!(version == VERSION, "{name} in {destination} is of version {version}; this program reads {VERSION}");
        let manifest: Self = serde_json::from_slice(&bytes).with_context(damaged)?;
        ensure!(manifest.number == number, "{name} in {destination} says that it is number {}", manifest.number);
        Ok((manifest, sha256(&bytes)))
    }

    /// The numbers of all backups, oldest first.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub async fn numbers(destination: &Destination) -> anyhow::Result<Vec<u64>> {
        let names = destination.list(FOLDER).await?;
        let number = |name: &String| name.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".json")?.parse().ok();
        let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The newest, and its own SHA-256; none where there is no backup.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn newest(destination: &Destination) -> anyhow::Result<Option<(Self, String)>> {
        match Self::numbers(destination).await?.last() {
            Some(number) => Self::get(destination, *number).await.map(Some),
            None => Ok(None),
        }
    }

    /// All that is restored with number `last`, the full one first.
    ///
    /// # Errors
    /// If one of them is missing, damaged, or not the one that the next was made after.
    pub async fn chain(destination: &Destination, last: u64) -> anyhow::Result<Vec<Self>> {
        let (manifest, _) = Self::get(destination, last).await?;
        let mut chain = vec![manifest];
        while let Some(previous) = chain.last().and_then(|manifest| manifest.previous.clone()) {
            let (manifest, sha256) = Self::get(destination, previous.number).await?;
            ensure!(
                sha256 == previous.sha256 && manifest.number < chain.last().map_or(0, |next| next.number),
                "the manifest of backup {} in {destination} is not the one that the next backup continues",
                previous.number
            );
            chain.push(manifest);
        }
        chain.reverse();
        Ok(chain)
    }

    /// How far the streams of a journal partition go.
    pub fn checkpoint(&self, journal: &str, partition: i32) -> Option<&Checkpoint> {
        self.checkpoints.iter().find(|checkpoint| checkpoint.journal == journal && checkpoint.partition == partition)
    }

    /// Records, and bytes as stored, that it added.
    pub fn size(&self) -> (u64, u64) {
        let objects = self.objects.iter().chain(&self.keys).chain([&self.tenants]);
        objects.fold((0, 0), |(records, bytes), object| (records + object.records, bytes + object.bytes))
    }
}

impl Object {
    /// Its bytes, as they were when it was written.
    ///
    /// # Errors
    /// If it is not there, or damaged.
    pub async fn get(&self, destination: &Destination) -> anyhow::Result<Bytes> {
        let bytes = destination.get(&self.name).await?;
        let found = sha256(&bytes);
        ensure!(
            found == self.sha256,
            "{} in {destination} is damaged: its SHA-256 is {found}, and the manifest says {}",
            self.name,
            self.sha256
        );
        Ok(bytes)
    }
}
