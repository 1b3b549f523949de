//! What is derived from the oldest master key: the keys of names, and the ids of users.

use std::fmt;

use ring::hmac;

use super::seal::DataKey;
use super::{KeyBytes, push_parts};
use crate::domain::{TenantId, UserId};

/// Names have no versions of keys yet; the number leaves room for them.
const NAME_KEY_VERSION: u32 = 1;

/// The key of what one conversation shows of itself: its name, topic and picture.
#[derive(Clone, Debug)]
pub struct NameKey(DataKey);

impl NameKey {
    pub(super) fn new(key: &KeyBytes) -> Self {
        Self(DataKey::new(NAME_KEY_VERSION, key))
    }

    /// To seal and open with, without an author.
    pub fn key(&self) -> &DataKey {
        &self.0
    }
}

/// The key under which the ids of users are derived from what a tenant calls them.
#[derive(Clone)]
pub struct IdentityKey(hmac::Key);

impl IdentityKey {
    pub(super) fn new(key: &KeyBytes) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityKey(redacted)")
    }
}

/// The user whom `tenant` calls `external_id`. Without the key nobody can tell which external id an id is of.
///
/// The first 16 bytes of HMAC-SHA256 over tenant (16 bytes) and external id, each with its length as four bytes big-endian.
pub fn user_id(key: &IdentityKey, tenant: TenantId, external_id: &str) -> UserId {
    let mut list = Vec::with_capacity(24 + external_id.len());
    push_parts(&mut list, &[tenant.as_bytes(), external_id.as_bytes()]);
    let tag = hmac::sign(&key.0, &list);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&tag.as_ref()[..16]);
    UserId::from_bytes(bytes)
}
