//! What gateways read. Rows hold sealed content; the gateway opens it.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::json;
use sqlx::FromRow;
use uuid::Uuid;

use super::{LIVE, Store};
use crate::domain::policy::{ConversationKind, Role};
use crate::domain::{CommandId, ConversationId, TenantId, Timestamp, UserId};
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
    /// An API key is one tenant's only.
    #[error("the API key belongs to another tenant; choose another")]
    KeyTaken,
}

/// How somebody stands to a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MembershipRow {
    /// Direct, group or channel.
    pub kind: ConversationKind,
    /// None: not a member.
    pub role: Option<Role>,
    /// The newest message.
    pub last_seq: i64,
    /// The newest event.
    pub last_position: i64,
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageRow {
    pub conversation: ConversationId,
    pub seq: i64,
    pub position: i64,
    pub sender: UserId,
    pub client_id: Uuid,
    pub at: Timestamp,
    pub text: Option<Bytes>,
    pub causation: CommandId,
    pub reply_to: Option<i64>,
    pub thread: Option<i64>,
    pub mentions: Vec<String>,
}

/// An event of the timeline: a message, or the framed record of anything else.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    pub position: i64,
    pub message: Option<MessageRow>,
    pub event: Option<Bytes>,
}

/// A conversation as one of its members sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct InboxRow {
    pub conversation: ConversationId,
    pub kind: ConversationKind,
    pub name: Option<Bytes>,
    pub name_causation: CommandId,
    pub members_count: i64,
    pub last_position: i64,
    pub last_seq: i64,
    pub last_at: Timestamp,
    pub last_message: Option<MessageRow>,
    pub read_seq: i64,
    pub mentions_unread: i64,
    pub role: Role,
    pub joined_at: Timestamp,
    pub left: bool,
}

/// Where a page of the inbox starts: after this conversation, by the time of its newest event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxCursor {
    pub last_at: Timestamp,
    pub conversation: ConversationId,
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

#[derive(FromRow)]
struct RawMessage {
    conversation: String,
    seq: i64,
    position: i64,
    sender: String,
    client_id: Uuid,
    at: i64,
    text: Option<Vec<u8>>,
    causation: String,
    reply_to: Option<i64>,
    thread: Option<i64>,
    mentions: Vec<String>,
}

impl TryFrom<RawMessage> for MessageRow {
    type Error = StoreError;

    fn try_from(raw: RawMessage) -> Result<Self, StoreError> {
        Ok(Self {
            conversation: raw.conversation.parse().map_err(|_| StoreError::Damaged("messages.conversation"))?,
            seq: raw.seq,
            position: raw.position,
            sender: raw.sender.parse().map_err(|_| StoreError::Damaged("messages.sender"))?,
            client_id: raw.client_id,
            at: Timestamp(raw.at),
            text: raw.text.map(Bytes::from),
            causation: raw.causation.parse().map_err(|_| StoreError::Damaged("messages.causation"))?,
            reply_to: raw.reply_to,
            thread: raw.thread,
            mentions: raw.mentions,
        })
    }
}

#[derive(FromRow)]
struct RawInbox {
    ord: i64,
    conversation: String,
    kind: String,
    name: Option<Vec<u8>>,
    name_causation: String,
    members_count: i64,
    last_position: i64,
    last_seq: i64,
    last_at: i64,
    read_seq: i64,
    mentions_unread: i64,
    role: String,
    joined_at: i64,
    present: bool,
}

impl TryFrom<RawInbox> for InboxRow {
    type Error = StoreError;

    fn try_from(raw: RawInbox) -> Result<Self, StoreError> {
        Ok(Self {
            conversation: raw.conversation.parse().map_err(|_| StoreError::Damaged("pointers.conversation"))?,
            kind: raw.kind.parse().map_err(|_| StoreError::Damaged("conversations.kind"))?,
            name: raw.name.map(Bytes::from),
            name_causation: raw
                .name_causation
                .parse()
                .map_err(|_| StoreError::Damaged("conversations.name_causation"))?,
            members_count: raw.members_count,
            last_position: raw.last_position,
            last_seq: raw.last_seq,
            last_at: Timestamp(raw.last_at),
            last_message: None,
            read_seq: raw.read_seq,
            mentions_unread: raw.mentions_unread,
            role: raw.role.parse().map_err(|_| StoreError::Damaged("members.role"))?,
            joined_at: Timestamp(raw.joined_at),
            left: !raw.present,
        })
    }
}

/// What `$file` picks, as members see it.
macro_rules! entries {
    ($file:literal) => {
        sqlx::query_as(concat!(include_str!(concat!("queries/", $file)), include_str!("queries/entry.sql")))
    };
}

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
        let row: Option<(String, i64, i64, Option<String>)> = sqlx::query_as(
            "SELECT c.kind, h.last_seq, h.last_position, m.role
             FROM conversations c JOIN heads h USING (conversation)
             LEFT JOIN members m ON m.conversation = c.conversation AND m.user_id = $3 AND m.left_position IS NULL
             WHERE c.conversation = $1 AND c.tenant = $2",
        )
        .bind(conversation.to_string())
        .bind(tenant.to_string())
        .bind(user.to_string())
        .fetch_optional(&self.pool)
        .await?;
        let Some((kind, last_seq, last_position, role)) = row else { return Ok(None) };
        let kind = kind.parse().map_err(|_| StoreError::Damaged("conversations.kind"))?;
        let role = role.map(|role| role.parse()).transpose().map_err(|_| StoreError::Damaged("members.role"))?;
        Ok(Some(MembershipRow { kind, role, last_seq, last_position }))
    }

    /// Present conversations of `user`, newest event first, after `cursor`.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn inbox(
        &self,
        user: UserId,
        cursor: Option<&InboxCursor>,
        limit: i64,
    ) -> Result<Vec<InboxRow>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let rows: Vec<RawInbox> = entries!("page.sql")
            .bind(user.to_string())
            .bind(cursor.map(|cursor| cursor.last_at.0))
            .bind(cursor.map(|cursor| cursor.conversation.to_string()))
            .bind(limit)
            .fetch_all(&mut *snapshot)
            .await?;
        let mut rows = rows.into_iter().map(InboxRow::try_from).collect::<Result<Vec<_>, _>>()?;
        last_messages(&mut snapshot, rows.iter_mut()).await?;
        snapshot.commit().await?;
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

    /// The messages from `first` to `last`, oldest first.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn messages(
        &self,
        conversation: ConversationId,
        first: i64,
        last: i64,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let rows: Vec<RawMessage> = sqlx::query_as(
            "SELECT conversation, seq, position, sender, client_id, at, text, causation, reply_to, thread, mentions
             FROM messages WHERE conversation = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq",
        )
        .bind(conversation.to_string())
        .bind(first)
        .bind(last)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(MessageRow::try_from).collect()
    }

    /// The first `limit` events after a position, oldest first.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn events(
        &self,
        conversation: ConversationId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<EventRow>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let rows: Vec<(i64, i64, Option<Vec<u8>>)> = sqlx::query_as(
            "SELECT position, seq, event FROM timeline WHERE conversation = $1 AND position > $2 ORDER BY position LIMIT $3",
        )
        .bind(conversation.to_string())
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *snapshot)
        .await?;
        let seqs: Vec<i64> = rows.iter().map(|row| row.1).filter(|seq| *seq > 0).collect();
        let messages: Vec<RawMessage> = sqlx::query_as(
            "SELECT conversation, seq, position, sender, client_id, at, text, causation, reply_to, thread, mentions
             FROM messages WHERE conversation = $1 AND seq = ANY($2)",
        )
        .bind(conversation.to_string())
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

    /// The first `limit` present members after `after`, in order of their ids.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn members(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: i64,
    ) -> Result<Vec<(UserId, Role)>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT user_id, role FROM members WHERE conversation = $1 AND left_position IS NULL AND user_id > $2 ORDER BY user_id LIMIT $3",
        )
        .bind(conversation.to_string())
        .bind(after.map(|user| user.to_string()).unwrap_or_default())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let parse = |(user, role): (String, String)| {
            let user = user.parse().map_err(|_| StoreError::Damaged("members.user_id"))?;
            Ok((user, role.parse().map_err(|_| StoreError::Damaged("members.role"))?))
        };
        rows.into_iter().map(parse).collect()
    }

    /// A user's name; none if there is no such user in the tenant.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn user_name(&self, tenant: TenantId, user: UserId) -> Result<Option<Option<String>>, StoreError> {
        let row: Option<(Option<String>,)> =
            sqlx::query_as("SELECT name FROM users WHERE user_id = $1 AND tenant = $2")
                .bind(user.to_string())
                .bind(tenant.to_string())
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.map(|(name,)| name))
    }

    /// When each of `users` was last seen; those who never were are absent.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn last_seen(
        &self,
        tenant: TenantId,
        users: &[UserId],
    ) -> Result<HashMap<UserId, Timestamp>, StoreError> {
        let names: Vec<String> = users.iter().map(ToString::to_string).collect();
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT user_id, at FROM last_seen WHERE user_id = ANY($1) AND tenant = $2")
                .bind(names)
                .bind(tenant.to_string())
                .fetch_all(&self.pool)
                .await?;
        let parse = |(user, at): (String, i64)| {
            let user = user.parse().map_err(|_| StoreError::Damaged("last_seen.user_id"))?;
            Ok((user, Timestamp(at)))
        };
        rows.into_iter().map(parse).collect()
    }
}

/// Adds the newest message that each row's user may see.
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

async fn last_messages(
    snapshot: &mut sqlx::Transaction<'_, sqlx::Postgres>,
    rows: impl Iterator<Item = &mut InboxRow>,
) -> Result<(), StoreError> {
    let rows: Vec<_> = rows.collect();
    let names: Vec<String> = rows.iter().map(|row| row.conversation.to_string()).collect();
    let seqs: Vec<i64> = rows.iter().map(|row| row.last_seq).collect();
    let messages: Vec<RawMessage> = sqlx::query_as(
        "SELECT m.conversation, m.seq, m.position, m.sender, m.client_id, m.at, m.text, m.causation, m.reply_to, m.thread, m.mentions
         FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::bigint[]) AS n (conversation, seq)) n
         JOIN messages m USING (conversation, seq)",
    )
    .bind(names)
    .bind(seqs)
    .fetch_all(&mut **snapshot)
    .await?;
    let mut newest = HashMap::with_capacity(messages.len());
    for raw in messages {
        let message = MessageRow::try_from(raw)?;
        newest.insert((message.conversation, message.seq), message);
    }
    for row in rows {
        row.last_message = newest.get(&(row.conversation, row.last_seq)).cloned();
    }
    Ok(())
}
