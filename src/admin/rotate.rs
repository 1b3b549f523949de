//! `tidings admin rotate-master-key`: has every data key wrapped by the newest master key, by the users' owners, while everybody works.
//!
//! The keys that another master key wraps are read from `user-keys`. For each a command is appended; the owner of the user wraps the key
//! anew, the publisher writes it to `user-keys`, and there it is seen that it was done. So nothing has to be remembered: whoever is
//! interrupted starts again, and what was done is done.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;
use futures_util::stream::{self, TryStreamExt};
use indicatif::ProgressBar;
use tokio::time::{Instant, timeout};

use super::progress::bar;
use crate::assemble::Installation;
use crate::codec::Codec;
use crate::codec::records::{UserKey, UserKeyRewrap};
use crate::crypto::{MasterKeys, parse_key};
use crate::domain::{CommandId, UserId};
use crate::log::{Fetched, Producer, Reader, Records, partition_of, topics};

/// Partitions worked on at a time. A partition's keys are in memory meanwhile: some 200 bytes each.
const PARTITIONS_AT_ONCE: usize = 4;
/// Keys asked for and not done, in a partition: their commands stand before those of others.
const IN_FLIGHT: usize = 500;
const BATCH_RECORDS: usize = 1_024;
const LOOK: Duration = Duration::from_millis(200);
/// A command can be lost to a change of owner; asking twice does no harm.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// Longer than it takes a partition to find a new owner.
const PATIENCE: Duration = Duration::from_secs(60);

/// A user and the version of one of its data keys.
type Name = (UserId, u32);

/// Wraps anew what is to be, showing progress; with `check` it only counts.
///
/// # Errors
/// If Kafka cannot be read or written, or keys are left that nobody wraps anew.
pub async fn run(installation: Installation, check: bool) -> anyhow::Result<()> {
    let rotation = Rotation::new(&installation).await?;
    let newest = rotation.newest.clone();
    let before = rotation.count().await?;
    tell(&before);
    let left = before.iter().filter(|(master, _)| **master != newest).map(|(_, keys)| keys).sum();
    if check || left == 0 {
        println!("{left} data keys are to be wrapped anew, by `{newest}`");
    } else {
        rotation.rotate(left).await?;
        let after = rotation.count().await?;
        let behind: u64 = after.iter().filter(|(master, _)| **master != newest).map(|(_, keys)| keys).sum();
        anyhow::ensure!(
            behind == 0,
            "{behind} data keys were wrapped by another master key meanwhile: a sequencer does not have `{newest}` as its first; \
             mend that, restart it and run this again"
        );
        tell(&after);
    }
    if left == 0 || !check {
        let old: Vec<_> = installation.config.crypto.master_keys()?.ids().skip(1).map(|id| format!("`{id}`")).collect();
        advise(&old, installation.config.crypto.root_key.is_set());
    }
    Ok(())
}

fn tell(counts: &BTreeMap<String, u64>) {
    for (master, keys) in counts {
        println!("{keys} data keys are wrapped by master key `{master}`");
    }
}

fn advise(old: &[String], has_root: bool) {
    let Some(last) = old.last() else { return };
    println!("no data key needs {} any more, but backups made before now do", old.join(", "));
    if !has_root {
        println!(
            "{last} is also the root of names and ids: set `crypto.root_key` to its line before it leaves `crypto.master_keys`"
        );
    }
}

struct Rotation {
    newest: String,
    codec: &'static Codec,
    producer: Producer,
    reader: Reader,
    partitions: i32,
}

impl Rotation {
    async fn new(installation: &Installation) -> anyhow::Result<Self> {
        let client = &installation.client;
        Ok(Self {
            newest: installation.config.crypto.master_keys()?.newest().to_owned(),
            codec: installation.codec,
            producer: Producer::new(client)?,
            reader: Reader::new(client, topics::USER_KEYS)?,
            partitions: topics::partitions(client, topics::USER_KEYS).await?,
        })
    }

    /// How many data keys each master key wraps.
    async fn count(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut counts = BTreeMap::new();
        for partition in 0..self.partitions {
            let mut masters: HashMap<Name, String> = HashMap::new();
            self.read(partition, |name, key| {
                match key {
                    Some(key) => masters.insert(name, key.master),
                    None => masters.remove(&name),
                };
            })
            .await?;
            for master in masters.into_values() {
                *counts.entry(master).or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// Reads a partition of `user-keys` to its end.
    async fn read(&self, partition: i32, mut see: impl FnMut(Name, Option<UserKey>)) -> anyhow::Result<Records> {
        let low = self.reader.ends(partition).await?.low;
        let mut records = self.reader.read(partition, low).await?;
        while !records.at_end() {
            for fetched in records.next(BATCH_RECORDS).await? {
                let (name, key) = self.decode(&fetched)?;
                see(name, key);
            }
        }
        Ok(records)
    }

    fn decode(&self, fetched: &Fetched) -> anyhow::Result<(Name, Option<UserKey>)> {
        let place = || format!("`{}`/{} at offset {}", topics::USER_KEYS, fetched.partition, fetched.offset);
        let name = fetched.key.as_deref().and_then(parse_key);
        let name = name.with_context(|| format!("{} has a key that is not `usr_…/version`", place()))?;
        let key = fetched.value.as_ref().map(|value| self.codec.decode(value)).transpose();
        Ok((name, key.with_context(|| format!("{} cannot be decoded", place()))?))
    }

    async fn rotate(&self, left: u64) -> anyhow::Result<()> {
        let bar = bar(format!("wrapping by {}", self.newest), "keys")?;
        bar.set_length(left);
        let began = Instant::now();
        let each = stream::iter((0..self.partitions).map(Ok));
        each.try_for_each_concurrent(PARTITIONS_AT_ONCE, |partition| self.rotate_partition(partition, &bar)).await?;
        let (done, seconds) = (bar.position(), began.elapsed().as_secs_f64());
        bar.finish_and_clear();
        println!("wrapped {done} data keys anew in {seconds:.1} s");
        Ok(())
    }

    async fn rotate_partition(&self, partition: i32, bar: &ProgressBar) -> anyhow::Result<()> {
        let mut old: HashMap<Name, UserKey> = HashMap::new();
        let mut records = self
            .read(partition, |name, key| {
                self.note(&mut old, name, key);
            })
            .await?;
        let mut queue: VecDeque<Name> = old.keys().copied().collect();
        let mut asked: HashMap<Name, Instant> = HashMap::new();
        let mut moved_at = Instant::now();
        while !old.is_empty() {
            let room = IN_FLIGHT.saturating_sub(asked.len()).min(queue.len());
            let next: Vec<_> = queue.drain(..room).filter(|name| old.contains_key(name)).collect();
            self.ask(partition, next.iter().filter_map(|name| old.get(name))).await?;
            asked.extend(next.into_iter().map(|name| (name, Instant::now())));
            // Nothing in that time is not the end: the owner may be changing.
            let fetched = timeout(LOOK, records.next(BATCH_RECORDS)).await.unwrap_or_else(|_| Ok(Vec::new()))?;
            for fetched in fetched {
                let (name, key) = self.decode(&fetched)?;
                match self.note(&mut old, name, key) {
                    Noted::Done => {
                        asked.remove(&name);
                        moved_at = Instant::now();
                        bar.inc(1);
                    }
                    // Of a new user, by a sequencer that has another first master key.
                    Noted::Old => queue.push_back(name),
                    Noted::Nothing => {}
                }
            }
            let again: Vec<_> = asked.extract_if(|_, at| at.elapsed() > ASK_AGAIN).map(|(name, _)| name).collect();
            queue.extend(again);
            anyhow::ensure!(
                moved_at.elapsed() < PATIENCE,
                "{} data keys of partition {partition} are not wrapped anew: does every sequencer run, know the keys that wrap them, \
                 and have `{}` as its first master key? See its log and `tidings admin dead-letters`, then run this again",
                old.len(),
                self.newest
            );
        }
        Ok(())
    }

    fn note(&self, old: &mut HashMap<Name, UserKey>, name: Name, key: Option<UserKey>) -> Noted {
        match key {
            Some(key) if key.master != self.newest => match old.insert(name, key) {
                Some(_) => Noted::Nothing,
                None => Noted::Old,
            },
            _ if old.remove(&name).is_some() => Noted::Done,
            _ => Noted::Nothing,
        }
    }

    /// Appends a command for each key.
    async fn ask(&self, partition: i32, keys: impl Iterator<Item = &UserKey>) -> anyhow::Result<()> {
        let mut appending = Vec::new();
        for key in keys {
            let user = key.user.to_string();
            debug_assert_eq!(
                partition_of(user.as_bytes(), self.partitions),
                partition,
                "keys lie where their users do"
            );
            let command = UserKeyRewrap {
                command_id: CommandId::generate(),
                tenant: key.tenant,
                user: key.user,
                traceparent: None,
                version: key.version,
                master: key.master.clone(),
                wrapped: key.wrapped.clone(),
            };
            let value = self.codec.encode(&command)?;
            let append =
                self.producer.append_patiently(topics::USER_COMMANDS, partition, user.as_bytes(), Some(&value));
            appending.push(append.await?);
        }
        try_join_all(appending).await.context("a command could not be appended")?;
        Ok(())
    }
}

/// What a record of `user-keys` changed.
enum Noted {
    /// It is wrapped by the newest now, or gone.
    Done,
    /// Another one that is to be wrapped anew.
    Old,
    /// Nothing that matters.
    Nothing,
}
