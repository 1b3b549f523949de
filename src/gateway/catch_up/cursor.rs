//! The client's cursor: the epoch and, per journal partition, the index that its last snapshot covered.
//!
//! `base64url(version 1, epoch: u32 BE, partitions: u16 BE, each index as LEB128)`. It comes back from clients, so nothing of it is
//! trusted: whatever is not exactly so is no cursor, and the client starts anew. A forged one makes only its sender miss something.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 7;
/// Of a u64.
const MAX_VARINT_BYTES: usize = 10;

/// How far a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Of the journal.
    pub epoch: i32,
    /// The index per partition: everything up to it is known.
    pub indexes: Arc<[i64]>,
}

impl Cursor {
    /// For the client.
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.indexes.len() * 4);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&(self.indexes.len() as u16).to_be_bytes());
        for index in self.indexes.iter() {
            let mut rest = index.max(&0).cast_unsigned();
            while rest >= 0x80 {
                bytes.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// From a client; none if it is not one of ours for `partitions`.
    pub fn decode(text: &str, partitions: usize) -> Option<Self> {
        if text.len() > (HEADER_BYTES + partitions * MAX_VARINT_BYTES).div_ceil(3) * 4 {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (&[version, e0, e1, e2, e3, n0, n1], mut rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        if version != VERSION || usize::from(u16::from_be_bytes([n0, n1])) != partitions {
            return None;
        }
        let indexes: Option<Arc<[i64]>> = (0..partitions).map(|_| varint(&mut rest)).collect();
        let cursor = Self { epoch: i32::from_be_bytes([e0, e1, e2, e3]), indexes: indexes? };
        rest.is_empty().then_some(cursor)
    }
}

fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value: u64 = 0;
    for shift in (0..63).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return i64::try_from(value).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_went(epoch: i32, indexes in prop::collection::vec(0..=i64::MAX, 0..40)) {
            let cursor = Cursor { epoch, indexes: indexes.into() };
            prop_assert_eq!(Cursor::decode(&cursor.encode(), cursor.indexes.len()), Some(cursor.clone()));
            prop_assert_eq!(Cursor::decode(&cursor.encode(), cursor.indexes.len() + 1), None);
        }

        #[test]
        fn whatever_else_comes_is_no_cursor_or_a_valid_one(text: String, bytes: Vec<u8>) {
            for text in [text, URL_SAFE_NO_PAD.encode(bytes)] {
                if let Some(cursor) = Cursor::decode(&text, 2) {
                    prop_assert!(cursor.indexes.iter().all(|index| *index >= 0));
                }
            }
        }
    }

    #[test]
    fn a_long_text_is_not_even_decoded() {
        assert_eq!(Cursor::decode(&"A".repeat(1 << 20), 8), None);
    }
}
