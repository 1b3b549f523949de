//! What gateways read of what was said and done in a conversation.

use std::collections::HashMap;

use bytes::Bytes;

use super::Store;
use super::reads::{StoreError, messages};
use super::rows::{EventRow, MessageRow, RawMessage};
use crate::domain::{ConversationId, UserId};

impl Store {
    /// The messages from `first` to `last` as `viewer` sees them, oldest first.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn messages(
        &self,
        conversation: ConversationId,
        viewer: UserId,
        first: i64,
        last: i64,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let rows: Vec<RawMessage> =
            messages!("WITH wanted AS (SELECT $1::TEXT AS conversation, seq, $2::TEXT AS viewer FROM generate_series($3::BIGINT, $4) AS seq)")
                .bind(conversation.to_string())
                .bind(viewer.to_string())
                .bind(first)
                .bind(last)
                .fetch_all(&self.pool)
                .await?;
        rows.into_iter().map(MessageRow::try_from).collect()
    }

    /// The pinned messages as `viewer` sees them, pinned last first.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn pins(&self, conversation: ConversationId, viewer: UserId) -> Result<Vec<MessageRow>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let pinned: Vec<i64> = sqlx::query_scalar(
            "SELECT seq FROM pins WHERE conversation = $1 AND pinned ORDER BY epoch DESC, index DESC",
        )
        .bind(conversation.to_string())
        .fetch_all(&mut *snapshot)
        .await?;
        let rows: Vec<RawMessage> = messages!(
            "WITH wanted AS (SELECT $1::TEXT AS conversation, seq, $2::TEXT AS viewer FROM unnest($3::BIGINT[]) AS seq)"
        )
        .bind(conversation.to_string())
        .bind(viewer.to_string())
        .bind(&pinned)
        .fetch_all(&mut *snapshot)
        .await?;
        snapshot.commit().await?;
        let mut rows = rows.into_iter().map(MessageRow::try_from).collect::<Result<Vec<_>, _>>()?;
        rows.sort_by_key(|row| pinned.iter().position(|seq| *seq == row.sent.seq));
        Ok(rows)
    }

    /// The first `limit` events after a position, as `viewer` sees them, oldest first. What was removed is not among them: a client takes an
    /// empty page for the end.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn events(
        &self,
        conversation: ConversationId,
        viewer: UserId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<EventRow>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let rows: Vec<(i64, i64, Option<Vec<u8>>)> = sqlx::query_as(
            "SELECT position, seq, event FROM timeline t
             WHERE conversation = $1 AND position > $2 AND type <> 'removed'
               AND NOT EXISTS (SELECT FROM hidden h WHERE h.user_id = $4 AND h.conversation = t.conversation AND h.seq = t.seq)
             ORDER BY position LIMIT $3",
        )
        .bind(conversation.to_string())
        .bind(after)
        .bind(limit)
        .bind(viewer.to_string())
        .fetch_all(&mut *snapshot)
        .await?;
        let seqs: Vec<i64> = rows.iter().map(|row| row.1).filter(|seq| *seq > 0).collect();
        let messages: Vec<RawMessage> = messages!(
            "WITH wanted AS (SELECT $1::TEXT AS conversation, seq, $2::TEXT AS viewer FROM unnest($3::BIGINT[]) AS seq)"
        )
        .bind(conversation.to_string())
        .bind(viewer.to_string())
        .bind(seqs)
        .fetch_all(&mut *snapshot)
        .await?;
        snapshot.commit().await?;
        let mut by_position = HashMap::with_capacity(messages.len());
        for raw in messages {
            by_position.insert(raw.position, MessageRow::try_from(raw)?);
        }
        let row = |(position, _, event): (i64, i64, Option<Vec<u8>>)| {
            let message = by_position.remove(&position);
            EventRow { position, message, event: event.map(Bytes::from) }
        };
        Ok(rows.into_iter().map(row).collect())
    }
}
