//! Keys: master keys, the data keys of users, and what is sealed under them.
//!
//! A user's content is sealed under the user's data key before it enters any topic. Data keys travel wrapped by a master key, in
//! `user-keys`; every process that seals or opens holds them unwrapped in memory ([`Keyring`]), and no key enters Postgres.
//! Destroying a user's data keys makes the user's content unreadable wherever it was copied to.

mod fingerprint;
mod keyring;
mod master;
mod names;
mod seal;
mod terms;
mod wrap;

pub use fingerprint::fingerprint;
pub use keyring::{Keyring, KeyringError, parse_key};
pub use master::{KeyLineError, LocalMasterKeys, MasterError, MasterKeys, generate_line};
pub use names::{IdentityKey, NameKey, user_id};
pub use seal::{Aad, DataKey, Field, OpenError, SealError, key_version, open, seal};
pub use terms::TermKey;
pub use wrap::{KeyOwner, Wrapped, make_key, rewrap_key};

use std::fmt;

use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use zeroize::Zeroizing;

/// Length of every symmetric key here.
pub const KEY_BYTES: usize = 32;

/// A raw key. Wiped from memory when dropped; never printed.
#[derive(Clone)]
pub struct KeyBytes(Zeroizing<[u8; KEY_BYTES]>);

impl KeyBytes {
    /// From bytes that must be secret and random.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new one.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub fn random() -> Result<Self, SealError> {
        let mut key = Self::new([0; KEY_BYTES]);
        fill_random(key.0.as_mut_slice())?;
        Ok(key)
    }

    /// The bytes, for those who hand them to a cipher.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyBytes(redacted)")
    }
}

fn fill_random(bytes: &mut [u8]) -> Result<(), SealError> {
    use ring::rand::SecureRandom;
    ring::rand::SystemRandom::new().fill(bytes).map_err(|_| SealError::Random)
}

/// Ready to seal and open. 150 ns, so who uses a key twice keeps this.
fn cipher(key: &KeyBytes) -> LessSafeKey {
    // Fails on another length only, and the length is in the type.
    let key = UnboundKey::new(&AES_256_GCM, key.expose()).expect("an AES-256 key has 32 bytes");
    LessSafeKey::new(key)
}

/// Appends each part with its length (four bytes big-endian), so that no two lists of parts collide.
fn push_parts(list: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        // Parts are ids, numbers and names of at most a few hundred bytes.
        list.extend_from_slice(&(part.len() as u32).to_be_bytes());
        list.extend_from_slice(part);
    }
}
