//! Keys that are none, and tokens that anybody can read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dashmap::DashMap;
use ring::digest::{SHA256, digest};

use crate::crypto::Field;
use crate::domain::{ConversationId, TenantId, Timestamp, UserId};
use crate::gateway::failure::Failure;
use crate::gateway::ports::*;

/// "Seals" by a prefix.
#[derive(Default)]
pub struct FakeKeys {
    pub missing: AtomicBool,
    pub users: DashMap<UserId, TenantId>,
}

impl FakeKeys {
    pub fn missing() -> Self {
        Self { missing: true.into(), users: DashMap::new() }
    }

    pub fn sealed(text: &str) -> Bytes {
        format!("sealed:{text}").into()
    }

    fn open(&self, sealed: &[u8]) -> Result<String, OpenError> {
        if self.missing.load(Ordering::Relaxed) {
            return Err(OpenError::KeyMissing);
        }
        let text = sealed.strip_prefix(b"sealed:").ok_or(OpenError::Broken)?;
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}

#[async_trait]
impl Keyring for FakeKeys {
    fn tenant_of(&self, user: UserId) -> Option<TenantId> {
        self.users.get(&user).map(|tenant| *tenant)
    }

    async fn wait_for(&self, tenant: TenantId, user: UserId, timeout: Duration) -> bool {
        let found = async {
            while self.tenant_of(user) != Some(tenant) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(timeout, found).await.is_ok()
    }

    fn user_id(&self, tenant: TenantId, external_id: &str) -> UserId {
        UserId::derive("fake", &[tenant.as_bytes(), external_id.as_bytes()])
    }

    fn seal_written(&self, _: Place, _: UserId, _: Field, text: &str) -> Option<Bytes> {
        (!self.missing.load(Ordering::Relaxed)).then(|| Self::sealed(text))
    }

    fn open_written(&self, _: Place, _: UserId, _: Field, sealed: &[u8]) -> Result<String, OpenError> {
        self.open(sealed)
    }

    fn fingerprint(&self, _: UserId, _: ConversationId, _: i64, text: &str) -> Option<Bytes> {
        Some(Self::sealed(text))
    }

    fn terms(&self, conversation: ConversationId, terms: &[Vec<u8>]) -> Vec<i64> {
        let hash = |term: &Vec<u8>| {
            let digest = digest(&SHA256, &[conversation.as_bytes(), &term[..]].concat());
            i64::from_be_bytes(std::array::from_fn(|n| digest.as_ref()[n]))
        };
        terms.iter().map(hash).collect()
    }

    fn seal_shown(&self, _: Place, _: Field, text: &str) -> Option<Bytes> {
        Some(Self::sealed(text))
    }

    fn open_shown(&self, _: Place, _: Field, sealed: &[u8]) -> Result<String, OpenError> {
        self.open(sealed)
    }
}

/// A token is `tenant.user.expiry`.
pub struct FakeTokens;

impl FakeTokens {
    pub fn token(tenant: TenantId, user: UserId, expires_at: Timestamp) -> String {
        format!("{tenant}.{user}.{}", expires_at.0)
    }
}

impl Tokens for FakeTokens {
    fn verify(&self, token: &str) -> Option<Claims> {
        let mut parts = token.split('.');
        let (tenant, user) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let expires_at = Timestamp(parts.next()?.parse().ok()?);
        Some(Claims { tenant, user, expires_at })
    }

    fn mint(&self, tenant: TenantId, user: UserId, ttl: Duration) -> Result<String, Failure> {
        let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        Ok(Self::token(tenant, user, Timestamp::now().plus(ttl_ms)))
    }

    fn jwks(&self) -> String {
        r#"{"keys":[]}"#.into()
    }
}
