//! One partition of a stream into objects: from where the last backup ended to the cut.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, bail};
use bytes::Bytes;

use super::container::{Entry, Packer};
use super::destination::Destination;
use super::is_kept;
use super::manifest::{Object, sha256};
use crate::codec::records::{ConversationEvent, MemberState, Receipt, UserEvent, UserKey};
use crate::codec::{Codec, DecodeError};
use crate::log::{Reader, topics};

/// Bytes before compression after which an object is full: what is in memory, a few times, for each partition that is read.
const OBJECT_BYTES: usize = 16 << 20;
const READ: usize = 1_000;
/// Offsets between two words of progress.
const TELL_EVERY: i64 = 1_000;

/// Where an event stands: epoch and index of the journal partition.
pub type Place = (i32, i64);

/// Where the event stands that a record of a public stream is of.
///
/// # Errors
/// If it cannot be decoded.
pub fn place(codec: &Codec, topic: &str, value: &[u8]) -> anyhow::Result<Place> {
    let of =
        |decoded: Result<Place, DecodeError>| decoded.with_context(|| format!("a record of `{topic}` is not known"));
    of(match topic {
        topics::CONVERSATION_EVENTS => codec.decode(value).map(|event: ConversationEvent| (event.epoch, event.index)),
        topics::MEMBER_STATE => codec.decode(value).map(|state: MemberState| (state.epoch, state.index)),
        topics::RECEIPTS => codec.decode(value).map(|receipt: Receipt| (receipt.epoch, receipt.index)),
        topics::USER_EVENTS => codec.decode(value).map(|event: UserEvent| (event.epoch, event.index)),
        topics::USER_KEYS => codec.decode(value).map(|key: UserKey| (key.epoch, key.index)),
        _ => bail!("`{topic}` is no public stream that backups know"),
    })
}

/// The id of the schema that a value is written with.
fn schema(value: &[u8]) -> Option<u32> {
    let [0, id @ ..] = *value.first_chunk::<5>()? else { return None };
    Some(u32::from_be_bytes(id))
}

/// What is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    pub topic: &'static str,
    pub partition: i32,
    /// First offset.
    pub from: i64,
    /// First offset not to be read.
    pub end: i64,
    /// The last event that belongs to it; none where all do.
    pub cut: Option<Place>,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Saved {
    pub objects: Vec<Object>,
    pub schemas: BTreeSet<u32>,
    /// First offset that is not in it.
    pub next: i64,
}

/// Reads a section and hands each record that is to be kept to `take`. Returns the first offset that is past the cut.
async fn read(
    reader: &Reader,
    codec: &Codec,
    section: Section,
    mut take: impl AsyncFnMut(Entry) -> anyhow::Result<()>,
) -> anyhow::Result<i64> {
    let Section { topic, partition, from, end, cut } = section;
    if from >= end {
        return Ok(from);
    }
    let mut records = reader.read(partition, from).await?;
    // Offsets of compacted and transactional topics have holes, also at their end, so the last record does not tell.
    while !records.at_end() && records.next_offset() < end {
        for fetched in records.next(READ).await? {
            if fetched.offset >= end {
                break;
            }
            if let (Some(cut), Some(value)) = (cut, &fetched.value) {
                let place = place(codec, topic, value);
                let place = place.with_context(|| format!("partition {partition} offset {}", fetched.offset))?;
                // All that follows is past it, too.
                if place > cut {
                    return Ok(fetched.offset);
                }
            }
            if is_kept(topic, fetched.key.as_deref()) {
                take(fetched.into()).await?;
            }
        }
    }
    Ok(end)
}

/// Writes a section as objects whose names begin with `folder/`.
///
/// # Errors
/// If it cannot be read, decoded or written.
pub async fn save(
    reader: &Reader,
    codec: &Codec,
    section: Section,
    to: (&Destination, &str),
    progress: impl Fn(u64),
) -> anyhow::Result<Saved> {
    let mut saved = Saved::default();
    let mut writer = Writer::new(section, to)?;
    let mut passed = section.from;
    saved.next = read(reader, codec, section, async |entry| {
        if entry.offset - passed >= TELL_EVERY {
            progress(u64::try_from(entry.offset - passed).unwrap_or_default());
            passed = entry.offset;
        }
        saved.schemas.extend(entry.value.as_deref().and_then(schema));
        writer.push(&entry).await
    })
    .await?;
    progress(u64::try_from(section.end - passed).unwrap_or_default());
    saved.objects = writer.finish().await?;
    Ok(saved)
}

/// Writes what a section holds now, one record a key and no tombstones.
///
/// # Errors
/// If it cannot be read, decoded or written.
pub async fn save_newest(
    reader: &Reader,
    codec: &Codec,
    section: Section,
    to: (&Destination, &str),
) -> anyhow::Result<Saved> {
    let mut newest: HashMap<Option<Bytes>, Entry> = HashMap::new();
    let next = read(reader, codec, section, async |entry| {
        match entry.value {
            Some(_) => newest.insert(entry.key.clone(), entry),
            None => newest.remove(&entry.key),
        };
        Ok(())
    })
    .await?;
    let mut entries: Vec<_> = newest.into_values().collect();
    entries.sort_unstable_by_key(|entry| entry.offset);
    let mut writer = Writer::new(section, to)?;
    for entry in &entries {
        writer.push(entry).await?;
    }
    let schemas = entries.iter().filter_map(|entry| schema(entry.value.as_deref()?)).collect();
    Ok(Saved { objects: writer.finish().await?, schemas, next })
}

/// Cuts records into objects.
struct Writer<'a> {
    section: Section,
    to: (&'a Destination, &'a str),
    packer: Packer,
    /// Offsets of the first and last record in there.
    range: Option<(i64, i64)>,
    objects: Vec<Object>,
}

impl<'a> Writer<'a> {
    fn new(section: Section, to: (&'a Destination, &'a str)) -> anyhow::Result<Self> {
        Ok(Self { section, to, packer: Packer::new()?, range: None, objects: Vec::new() })
    }

    async fn push(&mut self, entry: &Entry) -> anyhow::Result<()> {
        self.packer.push(entry)?;
        self.range = Some((self.range.map_or(entry.offset, |range| range.0), entry.offset));
        if self.packer.raw_bytes >= OBJECT_BYTES {
            self.put().await?;
        }
        Ok(())
    }

    async fn put(&mut self) -> anyhow::Result<()> {
        let Some((first, last)) = self.range.take() else { return Ok(()) };
        let packer = std::mem::replace(&mut self.packer, Packer::new()?);
        let (records, tombstones, raw_bytes) = (packer.records, packer.tombstones, packer.raw_bytes as u64);
        let bytes = packer.finish()?;
        let sha256 = sha256(&bytes);
        let (Section { topic, partition, .. }, (destination, folder)) = (self.section, self.to);
        // By what is in it, so that a retry writes the same object, and nobody another one in its place: compaction may have been here
        // since, and another backup may be under way.
        let hash = &sha256[..16];
        let name = format!("{folder}/{topic}/{partition:05}/{first:020}-{last:020}-{hash}.zst");
        let size = bytes.len() as u64;
        let new = destination.put_new(&name, bytes).await?;
        anyhow::ensure!(new, "{name} in {destination} is there already, and is damaged: remove it");
        self.objects.push(Object {
            name,
            topic: topic.to_owned(),
            partition,
            records,
            tombstones,
            bytes: size,
            raw_bytes,
            sha256,
        });
        Ok(())
    }

    async fn finish(mut self) -> anyhow::Result<Vec<Object>> {
        self.put().await?;
        Ok(self.objects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever adds a public stream says here how its records tell where they stand.
    #[test]
    fn every_public_stream_is_known() {
        for (topic, _) in topics::PUBLIC {
            let error = place(Codec::builtin(), topic, b"nothing").expect_err("no record");
            assert!(error.to_string().contains("is not known"), "{topic}: {error}");
        }
    }
}
