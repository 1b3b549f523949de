//! What gateways read.

use std::collections::HashMap;

use serde_json::json;

use super::rows::{InboxPage, InboxRow, InboxStart, MembershipRow, MessageRow, RawInbox, RawMembership, RawMessage};
use super::{LIVE, Store};
use crate::domain::{ConversationId, TenantId, Timestamp, UserId};
use crate::log::topics;

/// Why the store cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// As Postgres says.
    #[error("postgres failed")]
    Postgres(#[from] sqlx::Error),
    /// A value that this program cannot have written.
    #[error("`{0}` holds a value that cannot be understood")]
    Damaged(&'static str),
    /// A question that has no answer in the time it may take.
    #[error("the question takes too long")]
    TooLong,
    /// An API key is one tenant's only.
    #[error("the API key belongs to another tenant; choose another")]
    KeyTaken,
}

/// For what does not parse.
pub(super) fn damaged<T>(column: &'static str) -> impl FnOnce(T) -> StoreError {
    move |_| StoreError::Damaged(column)
}

/// The most conversations that one is told of as changed; where there are more, the newest 100 take their place. The query
/// says one more.
const MAX_CHANGES: usize = 1_000;

/// What changed for several users, and how far the views were, in one snapshot.
#[derive(Debug, Default)]
pub struct Changes {
    /// For each that asked, in order.
    pub rows: Vec<Vec<InboxRow>>,
    /// For each that asked with a cursor, whether so many conversations changed that `rows` are the newest 100 instead.
    pub resets: Vec<bool>,
    /// By partition: epoch, next offset, index.
    pub checkpoints: HashMap<i32, (i32, i64, i64)>,
}

/// What `$file` picks, as members see it.
macro_rules! entries {
    ($file:literal) => {
        sqlx::query_as(concat!(include_str!(concat!("queries/", $file)), include_str!("queries/entry.sql")))
    };
}

/// The messages that `$wanted` picks, as those see them for whom they are.
macro_rules! messages {
    ($wanted:literal) => {
        sqlx::query_as(concat!($wanted, include_str!("queries/message.sql")))
    };
}
pub(super) use messages;

impl Store {
    /// How `user` stands to `conversation`; none if there is no such conversation in the tenant.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn membership(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<MembershipRow>, StoreError> {
        let row: Option<RawMembership> = sqlx::query_as(
            "SELECT c.kind, m.role, c.join_rule, c.frozen, mute.until AS muted_until, ban.until AS banned_until,
                    c.kind = 'direct' AND EXISTS (SELECT FROM pointers p WHERE p.conversation = c.conversation AND p.blocks
                                                  AND p.user_id = $3) AS blocks,
                    c.kind = 'direct' AND EXISTS (SELECT FROM pointers p WHERE p.conversation = c.conversation AND p.blocks
                                                  AND p.user_id <> $3) AS is_blocked, h.last_seq, h.last_position, c.history, COALESCE(m.joined_seq, 0) AS joined_seq,
                    COALESCE(m.joined_position - 1, 0) AS joined_position
             FROM conversations c JOIN heads h USING (conversation)
             LEFT JOIN members m ON m.conversation = c.conversation AND m.user_id = $3 AND m.left_position IS NULL
             LEFT JOIN restrictions ban ON ban.conversation = c.conversation AND ban.user_id = $3 AND ban.kind = 'ban'
             LEFT JOIN restrictions mute ON mute.conversation = c.conversation AND mute.user_id = $3 AND mute.kind = 'mute'
             WHERE c.conversation = $1 AND c.tenant = $2",
        )
        .bind(conversation.to_string())
        .bind(tenant.to_string())
        .bind(user.to_string())
        .fetch_optional(&self.pool)
        .await?;
        row.map(MembershipRow::try_from).transpose()
    }

    /// Present conversations of `user`, newest event first, after `cursor`.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn inbox(&self, user: UserId, page: &InboxPage) -> Result<Vec<InboxRow>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let (user, now) = (user.to_string(), Timestamp::now().0);
        let rows: Vec<RawInbox> = match &page.starts {
            InboxStart::AsListed(after) => {
                let after = after.as_ref();
                entries!("page.sql")
                    .bind(user)
                    .bind(after.map(|after| after.pinned))
                    .bind(after.map(|after| after.last_at.0))
                    .bind(after.map(|after| after.conversation.to_string()))
                    .bind(page.archived)
                    .bind(now)
                    .bind(page.limit)
                    .fetch_all(&mut *snapshot)
                    .await?
            }
            InboxStart::ById(after) => {
                entries!("page_by_id.sql")
                    .bind(user)
                    .bind(after.map(|after| after.to_string()).unwrap_or_default())
                    .bind(page.archived)
                    .bind(now)
                    .bind(page.limit)
                    .fetch_all(&mut *snapshot)
                    .await?
            }
        };
        let mut rows = rows.into_iter().map(InboxRow::try_from).collect::<Result<Vec<_>, _>>()?;
        last_messages(&mut snapshot, rows.iter_mut()).await?;
        snapshot.commit().await?;
        Ok(rows)
    }

    /// The first `limit` present memberships of a partition after one, in order of their ids, without last messages.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn entries(
        &self,
        partition: i32,
        after: Option<(UserId, ConversationId)>,
        limit: i64,
    ) -> Result<Vec<InboxRow>, StoreError> {
        let (user, conversation) =
            after.map(|(user, conversation)| (user.to_string(), conversation.to_string())).unwrap_or_default();
        let mut snapshot = self.snapshot().await?;
        let rows: Vec<RawInbox> = entries!("audited.sql")
            .bind(partition)
            .bind(user)
            .bind(conversation)
            .bind(limit)
            .fetch_all(&mut *snapshot)
            .await?;
        snapshot.commit().await?;
        let mut rows = rows.into_iter().map(InboxRow::try_from).collect::<Result<Vec<_>, _>>()?;
        rows.sort_by_key(|row| (row.user, row.conversation));
        Ok(rows)
    }

    /// One conversation of `user`; none if it never was a member.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn inbox_entry(
        &self,
        user: UserId,
        conversation: ConversationId,
    ) -> Result<Option<InboxRow>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let rows: Vec<RawInbox> =
            entries!("one.sql").bind(user.to_string()).bind(conversation.to_string()).fetch_all(&mut *snapshot).await?;
        let mut rows = rows.into_iter().map(InboxRow::try_from).collect::<Result<Vec<_>, _>>()?;
        last_messages(&mut snapshot, rows.iter_mut()).await?;
        snapshot.commit().await?;
        Ok(rows.pop())
    }

    /// For each user what changed since its cursor (the index reached, by partition), ended memberships too; without a cursor, or where an epoch
    /// is another, the 100 newest. All in one snapshot.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn changes(&self, asked: &[(UserId, Option<Vec<i64>>)]) -> Result<Changes, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let checkpoints: Vec<(i32, i32, i64, i64)> = sqlx::query_as(
            "SELECT partition, epoch, next_offset, index FROM checkpoints WHERE version = $1 AND source = $2",
        )
        .bind(LIVE)
        .bind(topics::CONVERSATION_JOURNAL)
        .fetch_all(&mut *snapshot)
        .await?;
        let each: Vec<_> = asked.iter().map(|(user, cursor)| (*user, cursor.as_deref())).collect();
        let mut rows = changed(&mut snapshot, &each).await?;
        let resets: Vec<_> = rows.iter().map(|rows| rows.len() > MAX_CHANGES).collect();
        let too_many: Vec<_> = resets.iter().enumerate().filter(|(_, reset)| **reset).map(|(at, _)| at).collect();
        if !too_many.is_empty() {
            let newest: Vec<_> = too_many.iter().map(|at| (asked[*at].0, None)).collect();
            for (at, newest) in too_many.into_iter().zip(changed(&mut snapshot, &newest).await?) {
                rows[at] = newest;
            }
        }
        last_messages(&mut snapshot, rows.iter_mut().flatten()).await?;
        snapshot.commit().await?;
        let checkpoints =
            checkpoints.into_iter().map(|(partition, epoch, next, index)| (partition, (epoch, next, index))).collect();
        Ok(Changes { rows, resets, checkpoints })
    }

    /// How far the live views are, by partition: epoch, next offset, index.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn checkpoints(&self, source: &str) -> Result<HashMap<i32, (i32, i64, i64)>, StoreError> {
        let rows: Vec<(i32, i32, i64, i64)> = sqlx::query_as(
            "SELECT partition, epoch, next_offset, index FROM checkpoints WHERE version = $1 AND source = $2",
        )
        .bind(LIVE)
        .bind(source)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|(partition, epoch, next, index)| (partition, (epoch, next, index))).collect())
    }
}

/// For each that asks with a cursor what changed after it, of too many one more than [`MAX_CHANGES`]; for the others the newest 100.
/// Without their last messages.
async fn changed(
    snapshot: &mut sqlx::Transaction<'_, sqlx::Postgres>,
    asked: &[(UserId, Option<&[i64]>)],
) -> Result<Vec<Vec<InboxRow>>, StoreError> {
    let list: Vec<_> = asked.iter().map(|(user, cursor)| json!({ "user": user, "cursor": cursor })).collect();
    let raw: Vec<RawInbox> = entries!("changes.sql").bind(json!(list)).fetch_all(&mut **snapshot).await?;
    let mut rows: Vec<Vec<InboxRow>> = asked.iter().map(|_| Vec::new()).collect();
    for raw in raw {
        let at = usize::try_from(raw.ord - 1).unwrap_or_default();
        if let Some(rows) = rows.get_mut(at) {
            rows.push(raw.try_into()?);
        }
    }
    Ok(rows)
}

/// Adds the newest message that each row's user may see.
async fn last_messages(
    snapshot: &mut sqlx::Transaction<'_, sqlx::Postgres>,
    rows: impl Iterator<Item = &mut InboxRow>,
) -> Result<(), StoreError> {
    let rows: Vec<_> = rows.collect();
    let names: Vec<String> = rows.iter().map(|row| row.conversation.to_string()).collect();
    let seqs: Vec<i64> = rows.iter().map(|row| row.last_seq).collect();
    let viewers: Vec<String> = rows.iter().map(|row| row.user.to_string()).collect();
    let messages: Vec<RawMessage> = messages!(
        "WITH wanted AS (SELECT * FROM unnest($1::TEXT[], $2::BIGINT[], $3::TEXT[]) AS w (conversation, seq, viewer))"
    )
    .bind(names)
    .bind(seqs)
    .bind(viewers)
    .fetch_all(&mut **snapshot)
    .await?;
    let mut newest = HashMap::with_capacity(messages.len());
    for raw in messages {
        let viewer: UserId = raw.viewer.parse().map_err(damaged("the viewer of a message"))?;
        let conversation: ConversationId = raw.conversation.parse().map_err(damaged("messages.conversation"))?;
        let message = MessageRow::try_from(raw)?;
        newest.insert((viewer, conversation, message.sent.seq), message);
    }
    for row in rows {
        row.last_message = newest.get(&(row.user, row.conversation, row.last_seq)).cloned();
    }
    Ok(())
}
