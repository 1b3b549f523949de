//! Data keys under master keys, as they stand in the user's journal and in `user-keys`.
//!
//! The format is for ever: nonce (12 bytes), sealed key (32) and tag (16), AES-256-GCM under
//! HKDF-SHA256(master key, no salt, "wrap"). The associated data are, each with its length as four bytes big-endian: tenant
//! (16 bytes), user (16), version (4, big-endian) and the master key's id.

use bytes::Bytes;

use super::{KeyBytes, MasterError, MasterKeys, push_parts};
use crate::domain::user::WrappedKey;
use crate::domain::{TenantId, UserId};

/// Whose a data key is, and which of theirs. It unwraps for nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyOwner {
    /// Whose user.
    pub tenant: TenantId,
    /// Whose key.
    pub user: UserId,
    /// 1, 2, 3 … within the user.
    pub version: u32,
}

impl KeyOwner {
    pub(super) fn list(&self, master: &str) -> Vec<u8> {
        let mut list = Vec::with_capacity(64);
        let version = self.version.to_be_bytes();
        push_parts(&mut list, &[self.tenant.as_bytes(), self.user.as_bytes(), &version, master.as_bytes()]);
        list
    }
}

/// A data key under a master key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// Id of the master key.
    pub master: String,
    /// Nonce and sealed key.
    pub bytes: Bytes,
}

/// A new data key for `user`, wrapped. Only the owner of the user's partition makes keys.
///
/// # Errors
/// See [`MasterError`].
pub async fn make_key(
    master: &dyn MasterKeys,
    tenant: TenantId,
    user: UserId,
    version: u32,
) -> Result<WrappedKey, MasterError> {
    let key = KeyBytes::random()?;
    let wrapped = master.wrap(&KeyOwner { tenant, user, version }, &key).await?;
    // Nobody makes two billion keys for one user.
    Ok(WrappedKey { version: version.cast_signed(), master: wrapped.master, wrapped: wrapped.bytes })
}

/// The same data key of `user`, wrapped by the newest master key: `key` as it is, if that wraps it already. Only the owner of the user's
/// partition wraps keys anew.
///
/// # Errors
/// See [`MasterError`].
pub async fn rewrap_key(
    master: &dyn MasterKeys,
    tenant: TenantId,
    user: UserId,
    key: &WrappedKey,
) -> Result<WrappedKey, MasterError> {
    // A version below 1 is nobody's, and does not unwrap.
    let owner = KeyOwner { tenant, user, version: key.version.cast_unsigned() };
    let wrapped = Wrapped { master: key.master.clone(), bytes: key.wrapped.clone() };
    let bytes = master.unwrap(&owner, &wrapped).await?;
    if key.master == master.newest() {
        return Ok(key.clone());
    }
    let wrapped = master.wrap(&owner, &bytes).await?;
    Ok(WrappedKey { version: key.version, master: wrapped.master, wrapped: wrapped.bytes })
}
