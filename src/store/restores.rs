//! The restore that made what is here: while it is under way, and after one that failed, nothing here may be served.

use super::Store;
use super::reads::StoreError;

/// A restore that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Unfinished {
    /// Of the backup.
    pub backup: i64,
    /// Where that is.
    pub source: String,
    /// When it began.
    pub began_at: time::OffsetDateTime,
}

impl Store {
    /// The restore that began here and has not ended, or ended badly.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn unfinished_restore(&self) -> Result<Option<Unfinished>, StoreError> {
        // Before the first setup there is no such table.
        let there: bool =
            sqlx::query_scalar("SELECT to_regclass('public.restores') IS NOT NULL").fetch_one(&self.pool).await?;
        if !there {
            return Ok(None);
        }
        let unfinished = "SELECT backup, source, began_at FROM restores WHERE ended_at IS NULL";
        Ok(sqlx::query_as(unfinished).fetch_optional(&self.pool).await?)
    }

    /// Begins one. False if another is under way, or did not end well.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn begin_restore(&self, source: &str, backup: u64, epoch: i32) -> Result<bool, StoreError> {
        let begin = "INSERT INTO restores AS r (source, backup, epoch) VALUES ($1, $2, $3)
             ON CONFLICT (one) DO UPDATE SET source = $1, backup = $2, epoch = $3, began_at = now(), ended_at = NULL
             WHERE r.ended_at IS NOT NULL";
        let backup = i64::try_from(backup).unwrap_or(i64::MAX);
        let begun = sqlx::query(begin).bind(source).bind(backup).bind(epoch).execute(&self.pool).await?;
        Ok(begun.rows_affected() == 1)
    }

    /// It ended well.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn end_restore(&self) -> Result<(), StoreError> {
        sqlx::query("UPDATE restores SET ended_at = now()").execute(&self.pool).await?;
        Ok(())
    }
}
