//! Tenants and their API keys.

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};

use crate::domain::TenantId;
use crate::store::Store;

/// A new API key: 256 bits of chance.
///
/// # Errors
/// If the system gives no randomness.
pub fn generate_key() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("the system gives no randomness for an API key"))?;
    Ok(format!("tdk_{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// Whether `key` may be an API key.
///
/// # Errors
/// If it could be guessed.
pub fn check(key: &str) -> anyhow::Result<()> {
    anyhow::ensure!(key.len() >= 8, "TIDINGS_API_KEY is too short: use at least 8 characters, better 32");
    Ok(())
}

/// Makes a tenant with all scopes for `key`, or for a new one. Creating the same name again gives the same tenant. Returns the key.
///
/// # Errors
/// If Postgres fails, or the key is another tenant's.
pub async fn create(store: &Store, name: &str, key: Option<String>) -> anyhow::Result<String> {
    let key = match key.filter(|key| !key.is_empty()) {
        Some(key) => key,
        None => generate_key()?,
    };
    check(&key)?;
    let tenant = TenantId::derive("tenant", &[name.as_bytes()]);
    store.put_tenant(tenant, name).await?;
    store.put_api_key(tenant, &key, &["backend", "admin"]).await.context("cannot register the API key")?;
    Ok(key)
}
