//! The gateway's keys: data keys from `user-keys`, names and ids from the master key.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::crypto::{self, Aad, Field, IdentityKey, Keyring, MasterKeys};
use crate::domain::{TenantId, UserId};
use crate::gateway::ports::{self, OpenError, Place};

/// Seals and opens.
pub struct Keys {
    /// Data keys.
    pub ring: Keyring,
    /// Names.
    pub master: Arc<dyn MasterKeys>,
    /// Ids.
    pub identity: IdentityKey,
}

fn aad(place: Place, author: UserId) -> Aad {
    Aad {
        tenant: place.tenant,
        conversation: place.conversation,
        author: Some(author),
        field: Field::Text,
        command: place.command,
    }
}

#[async_trait]
impl ports::Keyring for Keys {
    fn tenant_of(&self, user: UserId) -> Option<TenantId> {
        self.ring.tenant_of(user)
    }

    async fn wait_for(&self, user: UserId, timeout: Duration) -> Option<TenantId> {
        self.ring.wait_for(user, timeout).await
    }

    fn user_id(&self, tenant: TenantId, external_id: &str) -> UserId {
        crypto::user_id(&self.identity, tenant, external_id)
    }

    fn seal_text(&self, place: Place, author: UserId, text: &str) -> Option<Bytes> {
        let key = self.ring.newest(author)?;
        crypto::seal(&key, &aad(place, author), text.as_bytes()).ok()
    }

    fn open_text(&self, place: Place, author: UserId, sealed: &[u8]) -> Result<String, OpenError> {
        let version = crypto::key_version(sealed).map_err(|_| OpenError::Broken)?;
        let key = self.ring.get(author, version).ok_or(OpenError::KeyMissing)?;
        let text = crypto::open(&key, &aad(place, author), sealed).map_err(|_| OpenError::Broken)?;
        String::from_utf8(text).map_err(|_| OpenError::Broken)
    }

    fn seal_name(&self, place: Place, name: &str) -> Option<Bytes> {
        let key = self.master.name_key(place.conversation);
        crypto::seal_name(&key, place.tenant, place.conversation, place.command, name).ok()
    }

    fn open_name(&self, place: Place, sealed: &[u8]) -> Result<String, OpenError> {
        let key = self.master.name_key(place.conversation);
        crypto::open_name(&key, place.tenant, place.conversation, place.command, sealed).map_err(|_| OpenError::Broken)
    }
}
