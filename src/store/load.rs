//! What a sequencer loads: states as the view has them, with its checkpoint, in one snapshot.

use std::collections::HashMap;

use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::reads::StoreError;
use super::{HeadRow, LIVE, Store};
use crate::domain::conversation::{Conversation, Member, Sent};
use crate::domain::user::{Profile, User};
use crate::domain::{ConversationId, Timestamp, UserId};
use crate::log::journal::Head;
use crate::log::topics;

/// Conversations as the view has them.
pub struct LoadedConversations {
    /// How far the view was.
    pub head: Head,
    /// Those that exist.
    pub conversations: HashMap<ConversationId, Conversation>,
}

/// Users as the view has them.
pub struct LoadedUsers {
    /// How far the view was.
    pub head: Head,
    /// Those that exist.
    pub users: HashMap<UserId, User>,
}

fn damaged<T>(column: &'static str) -> impl FnOnce(T) -> StoreError {
    move |_| StoreError::Damaged(column)
}

/// The lowest UUIDv7 of a time. Source: RFC 9562, section 5.7.
fn first_uuid(at: Timestamp) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&at.0.max(0).to_be_bytes()[2..]);
    Uuid::from_bytes(bytes)
}

impl Store {
    /// Loads `ids`, with the client ids made since `recent_since` and those in `sends`.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn load_conversations(
        &self,
        partition: i32,
        ids: &[ConversationId],
        sends: &[(UserId, ConversationId, Uuid)],
        recent_since: Timestamp,
    ) -> Result<LoadedConversations, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let head = head(&mut snapshot, topics::CONVERSATION_JOURNAL, partition).await?;
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let mut conversations = HashMap::with_capacity(ids.len());
        let rows: Vec<(String, String, String, i64, i64, i64, i64)> = sqlx::query_as(
            "SELECT c.conversation, c.tenant, c.kind, c.next_slot, h.last_position, h.last_seq, h.last_at
             FROM conversations c JOIN heads h USING (conversation) WHERE c.conversation = ANY($1)",
        )
        .bind(&names)
        .fetch_all(&mut *snapshot)
        .await?;
        for (id, tenant, kind, next_slot, last_position, last_seq, last_at) in rows {
            let id: ConversationId = id.parse().map_err(damaged("conversations.conversation"))?;
            let conversation = Conversation {
                id,
                tenant: tenant.parse().map_err(damaged("conversations.tenant"))?,
                kind: kind.parse().map_err(damaged("conversations.kind"))?,
                members: HashMap::new(),
                next_slot,
                last_position,
                last_seq,
                last_at: Timestamp(last_at),
                sent: HashMap::new(),
            };
            conversations.insert(id, conversation);
        }
        load_members(&mut snapshot, &names, &mut conversations).await?;
        load_sends(&mut snapshot, &names, sends, recent_since, &mut conversations).await?;
        snapshot.commit().await?;
        Ok(LoadedConversations { head, conversations })
    }

    /// Loads users.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn load_users(&self, partition: i32, ids: &[UserId]) -> Result<LoadedUsers, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let head = head(&mut snapshot, topics::USER_JOURNAL, partition).await?;
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let rows: Vec<(String, String, String, Option<String>, i64, i64)> = sqlx::query_as(
            "SELECT user_id, tenant, external_id, name, position, updated_at FROM users WHERE user_id = ANY($1)",
        )
        .bind(&names)
        .fetch_all(&mut *snapshot)
        .await?;
        snapshot.commit().await?;
        let mut users = HashMap::with_capacity(rows.len());
        for (id, tenant, external_id, name, last_position, at) in rows {
            let tenant = tenant.parse().map_err(damaged("users.tenant"))?;
            let user = User { tenant, profile: Profile { external_id, name }, last_position, last_at: Timestamp(at) };
            users.insert(id.parse().map_err(damaged("users.user_id"))?, user);
        }
        Ok(LoadedUsers { head, users })
    }

    /// All reads in it see one state of the database. The lock comes before the state is fixed, see `migrations/0002_views.sql`.
    pub(super) async fn snapshot(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; LOCK TABLE view_switch IN ACCESS SHARE MODE";
        Ok(self.pool.begin_with(begin).await?)
    }
}

async fn head(snapshot: &mut Transaction<'_, Postgres>, source: &str, partition: i32) -> Result<Head, StoreError> {
    let row: Option<HeadRow> = sqlx::query_as(
        "SELECT epoch, next_offset, head, head_offset, index, cause_offset FROM checkpoints
         WHERE version = $1 AND source = $2 AND partition = $3",
    )
    .bind(LIVE)
    .bind(source)
    .bind(partition)
    .fetch_optional(&mut **snapshot)
    .await?;
    row.map_or_else(|| Ok(Head::default()), |row| row.head())
}

async fn load_members(
    snapshot: &mut Transaction<'_, Postgres>,
    names: &[String],
    conversations: &mut HashMap<ConversationId, Conversation>,
) -> Result<(), StoreError> {
    let rows: Vec<(String, String, String, i64, i64, i64)> = sqlx::query_as(
        "SELECT m.conversation, m.user_id, m.role, m.slot, p.read_seq, p.delivered_seq
         FROM members m JOIN pointers p USING (conversation, user_id) WHERE m.conversation = ANY($1) AND m.left_position IS NULL",
    )
    .bind(names)
    .fetch_all(&mut **snapshot)
    .await?;
    for (conversation, user, role, slot, read_seq, delivered_seq) in rows {
        let id: ConversationId = conversation.parse().map_err(damaged("members.conversation"))?;
        let role = role.parse().map_err(damaged("members.role"))?;
        if let Some(conversation) = conversations.get_mut(&id) {
            let user = user.parse().map_err(damaged("members.user_id"))?;
            conversation.members.insert(user, Member { role, slot, read_seq, delivered_seq });
        }
    }
    Ok(())
}

async fn load_sends(
    snapshot: &mut Transaction<'_, Postgres>,
    names: &[String],
    sends: &[(UserId, ConversationId, Uuid)],
    recent_since: Timestamp,
    conversations: &mut HashMap<ConversationId, Conversation>,
) -> Result<(), StoreError> {
    let named: Vec<String> = sends.iter().map(|(_, conversation, _)| conversation.to_string()).collect();
    let ids: Vec<Uuid> = sends.iter().map(|(_, _, id)| *id).collect();
    let senders: Vec<String> = sends.iter().map(|(user, _, _)| user.to_string()).collect();
    let rows: Vec<(String, Uuid, String, i64, i64, i64)> = sqlx::query_as(
        "SELECT conversation, client_id, sender, seq, position, at FROM client_ids
         WHERE conversation = ANY($1) AND client_id >= $2
         UNION
         SELECT i.conversation, i.client_id, i.sender, i.seq, i.position, i.at
         FROM unnest($3::text[], $4::uuid[], $5::text[]) AS s (conversation, client_id, sender)
         JOIN client_ids i USING (conversation, client_id, sender)",
    )
    .bind(names)
    .bind(first_uuid(recent_since))
    .bind(named)
    .bind(ids)
    .bind(senders)
    .fetch_all(&mut **snapshot)
    .await?;
    for (conversation, client_id, sender, seq, position, at) in rows {
        let id: ConversationId = conversation.parse().map_err(damaged("client_ids.conversation"))?;
        let sender: UserId = sender.parse().map_err(damaged("client_ids.sender"))?;
        if let Some(conversation) = conversations.get_mut(&id) {
            conversation.sent.insert((sender, client_id), Sent { seq, position, at: Timestamp(at) });
        }
    }
    Ok(())
}
