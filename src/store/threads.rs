//! Threads, as gateways read them.

use std::collections::HashMap;

use sqlx::FromRow;

use super::Store;
use super::reads::{StoreError, messages};
use super::rows::{MessageRow, RawMessage};
use crate::domain::{ConversationId, UserId};

/// A thread as one member sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreadRow {
    /// `seq` of the message that it is of.
    pub thread: i64,
    /// That message; none if it was removed.
    pub root: Option<MessageRow>,
    /// Messages that are there.
    pub replies: i64,
    /// The newest message, by its number in the conversation.
    pub last_seq: i64,
    /// And in the thread.
    pub last_thread_seq: i64,
    /// Whether the member sent the message that it is of, or wrote or read in it.
    pub following: bool,
    /// How far it has read.
    pub read_thread_seq: i64,
}

/// Which messages of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadRange {
    /// `seq` of the message that it is of.
    pub thread: i64,
    /// Those after this one of the conversation.
    pub after: i64,
    /// And before this one.
    pub before: i64,
    /// In which order.
    pub newest_first: bool,
}

#[derive(FromRow)]
struct RawThread {
    thread: i64,
    replies: i64,
    last_seq: i64,
    last_thread_seq: i64,
    following: bool,
    read_thread_seq: i64,
}

impl Store {
    /// The first `limit` messages of a thread, as `viewer` sees them. What was removed is not among them.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn thread(
        &self,
        conversation: ConversationId,
        viewer: UserId,
        range: ThreadRange,
        limit: i64,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let ThreadRange { thread, after, before, newest_first } = range;
        let rows: Vec<RawMessage> = messages!(
            "WITH wanted AS (
                 SELECT conversation, seq, $2::TEXT AS viewer FROM messages
                 WHERE conversation = $1 AND thread = $3 AND seq > $4 AND seq < $5
                 ORDER BY CASE WHEN $6 THEN -seq ELSE seq END LIMIT $7)"
        )
        .bind(conversation.to_string())
        .bind(viewer.to_string())
        .bind(thread)
        .bind(after)
        .bind(before)
        .bind(newest_first)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let mut rows = rows.into_iter().map(MessageRow::try_from).collect::<Result<Vec<_>, _>>()?;
        if newest_first {
            rows.reverse();
        }
        Ok(rows)
    }

    /// The first `limit` threads whose newest message is after the first of `seqs` and before the second, the newest first, as `viewer` sees them;
    /// only those that it follows, if `following`.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn threads(
        &self,
        conversation: ConversationId,
        viewer: UserId,
        seqs: (i64, i64),
        following: bool,
        limit: i64,
    ) -> Result<Vec<ThreadRow>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let threads: Vec<RawThread> = sqlx::query_as(
            "SELECT t.thread, t.last_thread_seq - t.removed AS replies, t.last_seq, t.last_thread_seq,
                    p.user_id IS NOT NULL OR COALESCE(m.sender = $2, FALSE) AS following, COALESCE(p.read_thread_seq, 0) AS read_thread_seq
             FROM threads t
             LEFT JOIN thread_pointers p ON p.conversation = t.conversation AND p.thread = t.thread AND p.user_id = $2
             LEFT JOIN messages m ON m.conversation = t.conversation AND m.seq = t.thread
             WHERE t.conversation = $1 AND t.last_seq > $3 AND t.last_seq < $4 AND (NOT $5 OR p.user_id IS NOT NULL OR m.sender = $2)
             ORDER BY t.last_seq DESC LIMIT $6",
        )
        .bind(conversation.to_string())
        .bind(viewer.to_string())
        .bind(seqs.0)
        .bind(seqs.1)
        .bind(following)
        .bind(limit)
        .fetch_all(&mut *snapshot)
        .await?;
        let named: Vec<i64> = threads.iter().map(|thread| thread.thread).collect();
        let roots: Vec<RawMessage> = messages!(
            "WITH wanted AS (SELECT $1::TEXT AS conversation, seq, $2::TEXT AS viewer FROM unnest($3::BIGINT[]) AS seq)"
        )
        .bind(conversation.to_string())
        .bind(viewer.to_string())
        .bind(named)
        .fetch_all(&mut *snapshot)
        .await?;
        snapshot.commit().await?;
        let roots = roots.into_iter().map(MessageRow::try_from).collect::<Result<Vec<_>, _>>()?;
        let mut roots: HashMap<i64, MessageRow> = roots.into_iter().map(|root| (root.sent.seq, root)).collect();
        let row = |raw: RawThread| ThreadRow {
            thread: raw.thread,
            root: roots.remove(&raw.thread),
            replies: raw.replies,
            last_seq: raw.last_seq,
            last_thread_seq: raw.last_thread_seq,
            following: raw.following,
            read_thread_seq: raw.read_thread_seq,
        };
        Ok(threads.into_iter().map(row).collect())
    }
}
