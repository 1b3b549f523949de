//! [`Keyring`] over the data keys in memory and the master keys.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::crypto::{self, Aad, Field, IdentityKey, MasterKeys, SealError};
use crate::domain::{TenantId, UserId};
use crate::gateway::ports::{Keyring, OpenError, Place};

/// The keys of users and of names.
pub struct Keys {
    keyring: crypto::Keyring,
    master: Arc<dyn MasterKeys>,
    identity: IdentityKey,
}

impl Keys {
    /// Over a keyring that has been read to its end.
    pub fn new(keyring: crypto::Keyring, master: Arc<dyn MasterKeys>) -> Self {
        Self { keyring, identity: master.identity_key(), master }
    }
}

fn text_aad(place: Place, author: UserId) -> Aad {
    let Place { tenant, conversation, command } = place;
    Aad { tenant, conversation, author: Some(author), field: Field::Text, command }
}

fn sealed(result: Result<Bytes, SealError>) -> Option<Bytes> {
    result.inspect_err(|error| tracing::error!(%error, "cannot seal")).ok()
}

#[async_trait]
impl Keyring for Keys {
    fn tenant_of(&self, user: UserId) -> Option<TenantId> {
        self.keyring.tenant_of(user)
    }

    async fn wait_for(&self, tenant: TenantId, user: UserId, timeout: Duration) -> bool {
        self.keyring.wait_for(tenant, user, timeout).await
    }

    fn user_id(&self, tenant: TenantId, external_id: &str) -> UserId {
        crypto::user_id(&self.identity, tenant, external_id)
    }

    fn seal_text(&self, place: Place, author: UserId, text: &str) -> Option<Bytes> {
        let key = self.keyring.newest(author)?;
        sealed(crypto::seal(&key, &text_aad(place, author), text.as_bytes()))
    }

    fn open_text(&self, place: Place, author: UserId, sealed: &[u8]) -> Result<String, OpenError> {
        let version = crypto::key_version(sealed).map_err(|_| OpenError::Broken)?;
        let key = self.keyring.get(author, version).ok_or(OpenError::KeyMissing)?;
        let text = crypto::open(&key, &text_aad(place, author), sealed).map_err(|_| OpenError::Broken)?;
        String::from_utf8(text).map_err(|_| OpenError::Broken)
    }

    fn seal_name(&self, place: Place, name: &str) -> Option<Bytes> {
        let key = self.master.name_key(place.conversation);
        sealed(crypto::seal_name(&key, place.tenant, place.conversation, place.command, name))
    }

    fn open_name(&self, place: Place, sealed: &[u8]) -> Result<String, OpenError> {
        let key = self.master.name_key(place.conversation);
        let opened = crypto::open_name(&key, place.tenant, place.conversation, place.command, sealed);
        opened.map_err(|_| OpenError::Broken)
    }
}
