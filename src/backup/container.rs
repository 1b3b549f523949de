//! The format of an object of records: zstd over [`MAGIC`] and the records, each as offset and timestamp (i64), then key and value,
//! with their lengths before them (i32, -1 for none); numbers are big-endian. A value of none is a tombstone.

use std::io::Write;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;

use crate::domain::Timestamp;
use crate::log::Fetched;

const MAGIC: &[u8] = b"tidings records 1\n";
const LEVEL: i32 = 3;

/// A record of a stream, as it was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Offset it had.
    pub offset: i64,
    /// Time it had.
    pub timestamp: Timestamp,
    /// Key.
    pub key: Option<Bytes>,
    /// Value; none is a tombstone.
    pub value: Option<Bytes>,
}

impl From<Fetched> for Entry {
    fn from(fetched: Fetched) -> Self {
        let Fetched { offset, timestamp, key, value, .. } = fetched;
        Self { offset, timestamp, key, value }
    }
}

/// Packs records.
pub struct Packer {
    encoder: zstd::Encoder<'static, Vec<u8>>,
    /// Bytes before compression.
    pub raw_bytes: usize,
    /// So many.
    pub records: u64,
    /// Of them.
    pub tombstones: u64,
}

impl Packer {
    /// Nothing yet.
    ///
    /// # Errors
    /// If memory is short.
    pub fn new() -> std::io::Result<Self> {
        let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
        encoder.include_checksum(true)?;
        encoder.write_all(MAGIC)?;
        Ok(Self { encoder, raw_bytes: MAGIC.len(), records: 0, tombstones: 0 })
    }

    /// Adds one.
    ///
    /// # Errors
    /// If memory is short.
    pub fn push(&mut self, entry: &Entry) -> std::io::Result<()> {
        self.encoder.write_all(&entry.offset.to_be_bytes())?;
        self.encoder.write_all(&entry.timestamp.0.to_be_bytes())?;
        self.field(entry.key.as_deref())?;
        self.field(entry.value.as_deref())?;
        self.raw_bytes += 16;
        self.records += 1;
        self.tombstones += u64::from(entry.value.is_none());
        Ok(())
    }

    fn field(&mut self, bytes: Option<&[u8]>) -> std::io::Result<()> {
        let length = bytes.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        self.encoder.write_all(&length.to_be_bytes())?;
        self.encoder.write_all(bytes.unwrap_or_default())?;
        self.raw_bytes += 4 + bytes.map_or(0, <[u8]>::len);
        Ok(())
    }

    /// The object.
    ///
    /// # Errors
    /// If memory is short.
    pub fn finish(self) -> std::io::Result<Bytes> {
        self.encoder.finish().map(Bytes::from)
    }
}

/// The records of an object that holds `raw_bytes` before compression.
///
/// # Errors
/// If it is not such an object, or damaged.
pub fn unpack(object: &[u8], raw_bytes: usize) -> anyhow::Result<Vec<Entry>> {
    let raw = zstd::bulk::decompress(object, raw_bytes).context("it cannot be decompressed")?;
    ensure!(raw.len() == raw_bytes, "it holds {} bytes where the manifest says {raw_bytes}", raw.len());
    let mut rest = Bytes::from(raw);
    ensure!(rest.starts_with(MAGIC), "it is of another format or version");
    let _ = rest.split_to(MAGIC.len());
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let offset = i64::from_be_bytes(take(&mut rest)?);
        let timestamp = Timestamp(i64::from_be_bytes(take(&mut rest)?));
        let key = field(&mut rest)?;
        let value = field(&mut rest)?;
        entries.push(Entry { offset, timestamp, key, value });
    }
    Ok(entries)
}

fn take<const N: usize>(rest: &mut Bytes) -> anyhow::Result<[u8; N]> {
    let (head, _) = rest.split_first_chunk::<N>().context("it ends in the middle of a record")?;
    let head = *head;
    let _ = rest.split_to(N);
    Ok(head)
}

fn field(rest: &mut Bytes) -> anyhow::Result<Option<Bytes>> {
    let length = i32::from_be_bytes(take(rest)?);
    match usize::try_from(length) {
        Ok(length) if length <= rest.len() => Ok(Some(rest.split_to(length))),
        Err(_) if length == -1 => Ok(None),
        _ => bail!("it ends in the middle of a record"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let field = || prop::option::of(vec(any::<u8>(), 0..40).prop_map(Bytes::from));
        let entry = (any::<i64>(), any::<i64>(), field(), field());
        entry.prop_map(|(offset, at, key, value)| Entry { offset, timestamp: Timestamp(at), key, value })
    }

    fn packed(entries: &[Entry]) -> (Bytes, usize, u64) {
        let mut packer = Packer::new().expect("memory");
        entries.iter().for_each(|entry| packer.push(entry).expect("memory"));
        let (raw, tombstones) = (packer.raw_bytes, packer.tombstones);
        assert_eq!(packer.records, entries.len() as u64);
        (packer.finish().expect("memory"), raw, tombstones)
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(entries in vec(entry(), 0..30)) {
            let (object, raw, tombstones) = packed(&entries);
            prop_assert_eq!(tombstones, entries.iter().filter(|entry| entry.value.is_none()).count() as u64);
            prop_assert_eq!(unpack(&object, raw).expect("unpacks"), entries);
        }

        #[test]
        fn damage_is_an_error(entries in vec(entry(), 1..9), at in any::<prop::sample::Index>(), flip in 1_u8..) {
            let (object, raw, _) = packed(&entries);
            let mut damaged = object.to_vec();
            let at = at.index(damaged.len());
            damaged[at] ^= flip;
            // A flag that means nothing may be flipped in a header; then what is read is right all the same.
            prop_assert!(unpack(&damaged, raw).map_or(true, |read| read == entries));
            prop_assert!(unpack(&object[..object.len() - 1], raw).is_err());
            prop_assert!(unpack(&object, raw + 1).is_err());
            prop_assert!(unpack(&object, raw - 1).is_err());
        }
    }
}
