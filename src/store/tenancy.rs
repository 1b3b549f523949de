//! Tenants and API keys as a backup holds them.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Store;
use super::reads::StoreError;

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenancy {
    /// Oldest first.
    pub tenants: Vec<TenantRow>,
    /// Oldest first, revoked ones too.
    pub api_keys: Vec<ApiKeyRow>,
}

/// A row of `tenants`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct TenantRow {
    /// `ten_…`
    pub tenant: String,
    /// For people.
    pub name: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A row of `api_keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct ApiKeyRow {
    /// Of the key.
    pub key_sha256: Vec<u8>,
    /// Whose it is.
    pub tenant: String,
    /// What it may.
    pub scopes: Vec<String>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
}

impl Store {
    /// All tenants and API keys, as of one moment.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn export_tenants(&self) -> Result<Tenancy, StoreError> {
        let mut snapshot = self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        let tenants = "SELECT tenant, name, created_at FROM tenants ORDER BY created_at, tenant";
        let tenants = sqlx::query_as(tenants).fetch_all(&mut *snapshot).await?;
        let keys =
            "SELECT key_sha256, tenant, scopes, created_at, revoked_at FROM api_keys ORDER BY created_at, key_sha256";
        let api_keys = sqlx::query_as(keys).fetch_all(&mut *snapshot).await?;
        snapshot.commit().await?;
        Ok(Tenancy { tenants, api_keys })
    }

    /// Puts them into tables that have none, all or nothing.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn import_tenants(&self, tenancy: &Tenancy) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        for TenantRow { tenant, name, created_at } in &tenancy.tenants {
            sqlx::query("INSERT INTO tenants (tenant, name, created_at) VALUES ($1, $2, $3)")
                .bind(tenant)
                .bind(name)
                .bind(created_at)
                .execute(&mut *transaction)
                .await?;
        }
        for ApiKeyRow { key_sha256, tenant, scopes, created_at, revoked_at } in &tenancy.api_keys {
            let insert =
                "INSERT INTO api_keys (key_sha256, tenant, scopes, created_at, revoked_at) VALUES ($1, $2, $3, $4, $5)";
            sqlx::query(insert)
                .bind(key_sha256)
                .bind(tenant)
                .bind(scopes)
                .bind(created_at)
                .bind(revoked_at)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}
