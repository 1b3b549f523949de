//! Sealed content, wrapped keys and lists of keys: whatever is not exactly what we made does not open.

use std::sync::LazyLock;

use bytes::Bytes;

use super::{CASES, Draw, MAX_LEN};
use crate::crypto::{
    Aad, DataKey, Field, KEY_BYTES, KeyBytes, KeyOwner, LocalMasterKeys, MasterKeys, Wrapped, key_version, open, seal,
};
use crate::domain::Id;

static MASTER: LazyLock<LocalMasterKeys> =
    LazyLock::new(|| LocalMasterKeys::parse("a:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=").expect("a key"));

const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];
const TEXT: &str = "hello ✓";

#[test]
fn seals() {
    let key = DataKey::new(1, &KeyBytes::new(KEY));
    let [one, two, three, four] = [1, 2, 3, 4].map(|n| [n; 16]);
    let aad = Aad {
        tenant: Id::from_bytes(one),
        conversation: Id::from_bytes(two),
        author: Some(Id::from_bytes(three)),
        field: Field::Text,
        command: Id::from_bytes(four),
    };
    let owner = KeyOwner { tenant: aad.tenant, user: Id::from_bytes(three), version: 1 };
    let sealed = seal(&key, &aad, TEXT.as_bytes()).expect("seals");
    let runtime = super::timeless();
    let wrapped = runtime.block_on(MASTER.wrap(&owner, &KeyBytes::new(KEY))).expect("wraps");
    bolero::check!().with_iterations(CASES).with_max_len(MAX_LEN).for_each(|input: &[u8]| {
        let mut draw = Draw(input);
        match draw.below(5) {
            0 => {
                let bytes = draw.rest();
                // A fuzzer sees what is compared, and finds what this run or one before it has sealed.
                let opened = open(&key, &aad, bytes);
                assert!(opened.is_err() || opened == Ok(TEXT.into()));
                assert_eq!(key_version(bytes).is_ok(), bytes.len() >= 33 && bytes[0] == 1);
                let name = MASTER.name_key(aad.conversation);
                assert!(open(name.key(), &Aad { author: None, field: Field::Name, ..aad }, bytes).is_err());
            }
            1 => {
                let damaged = draw.damage(&sealed);
                assert_eq!(open(&key, &aad, &damaged).is_ok(), damaged == sealed);
            }
            2 => {
                let bytes = draw.damage(&wrapped.bytes);
                let same = bytes == wrapped.bytes;
                let damaged = Wrapped { master: wrapped.master.clone(), bytes: bytes.into() };
                assert_eq!(runtime.block_on(MASTER.unwrap(&owner, &damaged)).is_ok(), same);
            }
            3 => {
                let master = draw.text(80);
                let strange = Wrapped { master, bytes: Bytes::copy_from_slice(draw.rest()) };
                let unwrapped = runtime.block_on(MASTER.unwrap(&owner, &strange));
                assert!(unwrapped.is_err() || unwrapped.is_ok_and(|key| *key.expose() == KEY));
            }
            _ => {
                // Errors hold numbers of lines only, so no key is told.
                drop(LocalMasterKeys::parse(&String::from_utf8_lossy(draw.rest())));
            }
        }
    });
}
