//! Tenants and API keys.

use ring::digest::{SHA256, digest};

use super::Store;
use super::reads::StoreError;
use crate::domain::TenantId;

impl Store {
    /// Makes a tenant, unless it is there.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn put_tenant(&self, tenant: TenantId, name: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO tenants (tenant, name) VALUES ($1, $2) ON CONFLICT (tenant) DO UPDATE SET name = EXCLUDED.name")
            .bind(tenant.to_string())
            .bind(name)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Lets `key` act for `tenant`.
    ///
    /// # Errors
    /// If Postgres fails, or the key is another tenant's.
    pub async fn put_api_key(&self, tenant: TenantId, key: &str, scopes: &[&str]) -> Result<(), StoreError> {
        let hash = digest(&SHA256, key.as_bytes());
        let scopes: Vec<_> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let done = sqlx::query(
            "INSERT INTO api_keys (key_sha256, tenant, scopes) VALUES ($1, $2, $3)
             ON CONFLICT (key_sha256) DO UPDATE SET scopes = EXCLUDED.scopes, revoked_at = NULL WHERE api_keys.tenant = EXCLUDED.tenant",
        )
        .bind(hash.as_ref())
        .bind(tenant.to_string())
        .bind(scopes)
        .execute(&self.pool)
        .await?;
        if done.rows_affected() == 0 { Err(StoreError::KeyTaken) } else { Ok(()) }
    }

    /// Whether the root of names and ids with this fingerprint is the one of this installation. The first that is asked about is.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn is_root(&self, fingerprint: &[u8]) -> Result<bool, StoreError> {
        sqlx::query("INSERT INTO root (fingerprint) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(fingerprint)
            .execute(&self.pool)
            .await?;
        let is =
            sqlx::query_scalar("SELECT fingerprint = $1 FROM root").bind(fingerprint).fetch_one(&self.pool).await?;
        Ok(is)
    }

    /// Whose key has this SHA-256, and what it may.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn api_key(&self, sha256: [u8; 32]) -> Result<Option<(TenantId, Vec<String>)>, StoreError> {
        let row: Option<(String, Vec<String>)> =
            sqlx::query_as("SELECT tenant, scopes FROM api_keys WHERE key_sha256 = $1 AND revoked_at IS NULL")
                .bind(&sha256[..])
                .fetch_optional(&self.pool)
                .await?;
        row.map(|(tenant, scopes)| Ok((tenant.parse().map_err(|_| StoreError::Damaged("api_keys.tenant"))?, scopes)))
            .transpose()
    }
}
