//! What is due, as the scheduler reads it.

use super::Store;
use super::reads::{StoreError, damaged};
use crate::domain::{ConversationId, TenantId, Timestamp, UserId};

/// Held by the scheduler that looks. Any number that nobody else uses.
const LOCK: i64 = 0x7469_6469_6e67_7301;

/// A message whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Whose it is.
    pub tenant: TenantId,
    /// Where.
    pub conversation: ConversationId,
    /// Which.
    pub seq: i64,
    /// Who sent it.
    pub sender: UserId,
}

impl Store {
    /// The first `limit` messages whose time is over at `now`, the longest over first; none if another process is looking.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn due_messages(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let alone: bool =
            sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(LOCK).fetch_one(&mut *snapshot).await?;
        if !alone {
            return Ok(Vec::new());
        }
        let rows: Vec<(String, String, i64, String)> = sqlx::query_as(
            "SELECT c.tenant, m.conversation, m.seq, m.sender FROM messages m JOIN conversations c USING (conversation)
             WHERE m.expires_at <= $1 ORDER BY m.expires_at LIMIT $2",
        )
        .bind(now.0)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *snapshot)
        .await?;
        snapshot.commit().await?;
        let due = |(tenant, conversation, seq, sender): (String, String, i64, String)| {
            Ok(Due {
                tenant: tenant.parse().map_err(damaged("conversations.tenant"))?,
                conversation: conversation.parse().map_err(damaged("messages.conversation"))?,
                seq,
                sender: sender.parse().map_err(damaged("messages.sender"))?,
            })
        };
        rows.into_iter().map(due).collect()
    }
}
