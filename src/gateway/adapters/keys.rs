//! [`Keyring`] over the data keys in memory and the master keys.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::crypto::{self, Aad, Field, IdentityKey, MasterKeys, SealError, TermKey};
use crate::domain::{ConversationId, TenantId, UserId};
use crate::gateway::ports::{Keyring, OpenError, Place};

/// The keys of users and of names.
pub struct Keys {
    keyring: crypto::Keyring,
    master: Arc<dyn MasterKeys>,
    identity: IdentityKey,
    terms: TermKey,
}

impl Keys {
    /// Over a keyring that has been read to its end.
    pub fn new(keyring: crypto::Keyring, master: Arc<dyn MasterKeys>) -> Self {
        Self { keyring, identity: master.identity_key(), terms: master.term_key(), master }
    }
}

fn aad(place: Place, author: Option<UserId>, field: Field) -> Aad {
    let Place { tenant, conversation, command } = place;
    Aad { tenant, conversation, author, field, command }
}

fn text(opened: Result<Vec<u8>, crypto::OpenError>) -> Result<String, OpenError> {
    String::from_utf8(opened.map_err(|_| OpenError::Broken)?).map_err(|_| OpenError::Broken)
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

    fn seal_written(&self, place: Place, author: UserId, field: Field, text: &str) -> Option<Bytes> {
        let key = self.keyring.newest(author)?;
        sealed(crypto::seal(&key, &aad(place, Some(author), field), text.as_bytes()))
    }

    fn open_written(&self, place: Place, author: UserId, field: Field, sealed: &[u8]) -> Result<String, OpenError> {
        let version = crypto::key_version(sealed).map_err(|_| OpenError::Broken)?;
        let key = self.keyring.get(author, version).ok_or(OpenError::KeyMissing)?;
        text(crypto::open(&key, &aad(place, Some(author), field), sealed))
    }

    fn fingerprint(&self, author: UserId, conversation: ConversationId, seq: i64, text: &str) -> Option<Bytes> {
        self.keyring.fingerprint(author, conversation, seq, text)
    }

    fn terms(&self, conversation: ConversationId, terms: &[Vec<u8>]) -> Vec<i64> {
        self.terms.hashes(conversation, terms)
    }

    fn seal_shown(&self, place: Place, field: Field, text: &str) -> Option<Bytes> {
        let key = self.master.name_key(place.conversation);
        sealed(crypto::seal(key.key(), &aad(place, None, field), text.as_bytes()))
    }

    fn open_shown(&self, place: Place, field: Field, sealed: &[u8]) -> Result<String, OpenError> {
        let key = self.master.name_key(place.conversation);
        text(crypto::open(key.key(), &aad(place, None, field), sealed))
    }
}
