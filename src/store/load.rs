//! What a sequencer loads: states as the view has them, with its checkpoint, in one snapshot.

mod entrances;
mod lookups;
mod reports;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::TryStreamExt;
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::people::privacy_of;
use super::reads::{StoreError, damaged};
use super::rows::join_rule;
use super::{HeadRow, LIVE, Store};
use crate::domain::conversation::{Conversation, Known, Lookup, Member, Settings};
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
    /// What was looked up.
    pub found: HashMap<ConversationId, Known>,
}

/// Users as the view has them.
pub struct LoadedUsers {
    /// How far the view was.
    pub head: Head,
    /// Those that exist.
    pub users: HashMap<UserId, User>,
}

/// The lowest UUIDv7 of a time. Source: RFC 9562, section 5.7.
fn first_uuid(at: Timestamp) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&at.0.max(0).to_be_bytes()[2..]);
    Uuid::from_bytes(bytes)
}

impl Store {
    /// Loads `ids`, with the client ids made since `recent_since`, and looks up what is asked for of any.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn load_conversations(
        &self,
        partition: i32,
        ids: &[ConversationId],
        lookups: &[(ConversationId, Lookup)],
        recent_since: Timestamp,
    ) -> Result<LoadedConversations, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let head = head(&mut snapshot, topics::CONVERSATION_JOURNAL, partition).await?;
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let mut conversations = HashMap::with_capacity(ids.len());
        let rows: Vec<ConversationColumns> = sqlx::query_as(
            "SELECT c.conversation, c.tenant, c.kind, c.history, c.join_rule, c.frozen, c.slow_mode_ms, c.next_slot, h.last_position, h.last_seq,
                    h.last_at, ARRAY(SELECT seq FROM pins p WHERE p.conversation = c.conversation AND p.pinned) AS pins
             FROM conversations c JOIN heads h USING (conversation) WHERE c.conversation = ANY($1)",
        )
        .bind(&names)
        .fetch_all(&mut *snapshot)
        .await?;
        for row in rows {
            let conversation = row.conversation()?;
            conversations.insert(conversation.id, conversation);
        }
        load_restrictions(&mut snapshot, &names, &mut conversations).await?;
        entrances::load(&mut snapshot, &names, &mut conversations).await?;
        load_members(&mut snapshot, &names, &mut conversations).await?;
        load_recent_sends(&mut snapshot, &names, recent_since, &mut conversations).await?;
        let mut found = HashMap::new();
        lookups::sends(&mut snapshot, lookups, &mut found).await?;
        lookups::messages(&mut snapshot, lookups, &mut found).await?;
        lookups::threads(&mut snapshot, lookups, &mut found).await?;
        reports::load(&mut snapshot, lookups, &mut found).await?;
        snapshot.commit().await?;
        Ok(LoadedConversations { head, conversations, found })
    }

    /// Loads users.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn load_users(&self, partition: i32, ids: &[UserId]) -> Result<LoadedUsers, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let head = head(&mut snapshot, topics::USER_JOURNAL, partition).await?;
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let rows: Vec<UserColumns> = sqlx::query_as(
            "SELECT user_id, tenant, external_id, name, presence, last_seen, moderator, position, updated_at,
                    ARRAY(SELECT blocked FROM blocks b WHERE b.user_id = users.user_id AND b.present) AS blocked
             FROM users WHERE user_id = ANY($1)",
        )
        .bind(&names)
        .fetch_all(&mut *snapshot)
        .await?;
        snapshot.commit().await?;
        let mut users = HashMap::with_capacity(rows.len());
        for (id, tenant, external_id, name, presence, last_seen, moderator, last_position, at, blocked) in rows {
            let tenant = tenant.parse().map_err(damaged("users.tenant"))?;
            let blocked = blocked.iter().map(|user| user.parse()).collect::<Result<_, _>>();
            let blocked = blocked.map_err(damaged("blocks.blocked"))?;
            let privacy = privacy_of(&presence, &last_seen)?;
            let (profile, last_at) = (Profile { external_id, name }, Timestamp(at));
            let user = User { tenant, profile, blocked, privacy, moderator, last_position, last_at };
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

type UserColumns = (String, String, String, Option<String>, String, String, bool, i64, i64, Vec<String>);

#[derive(sqlx::FromRow)]
struct ConversationColumns {
    conversation: String,
    tenant: String,
    kind: String,
    history: String,
    join_rule: Option<String>,
    frozen: bool,
    slow_mode_ms: i64,
    next_slot: i64,
    last_position: i64,
    last_seq: i64,
    last_at: i64,
    pins: Vec<i64>,
}

impl ConversationColumns {
    /// Without members and what is looked up.
    fn conversation(self) -> Result<Conversation, StoreError> {
        let kind = self.kind.parse().map_err(damaged("conversations.kind"))?;
        Ok(Conversation {
            id: self.conversation.parse().map_err(damaged("conversations.conversation"))?,
            tenant: self.tenant.parse().map_err(damaged("conversations.tenant"))?,
            kind,
            members: HashMap::new(),
            next_slot: self.next_slot,
            last_position: self.last_position,
            last_seq: self.last_seq,
            last_at: Timestamp(self.last_at),
            history: self.history.parse().map_err(damaged("conversations.history"))?,
            join: join_rule(self.join_rule, kind)?,
            frozen: self.frozen,
            slow_mode_ms: self.slow_mode_ms,
            invites: BTreeMap::new(),
            requests: BTreeSet::new(),
            bans: HashMap::new(),
            mutes: HashMap::new(),
            pins: self.pins.into_iter().collect(),
            known: Known::default(),
        })
    }
}

/// Those that have ended too: nothing else tells the view from the state.
async fn load_restrictions(
    snapshot: &mut Transaction<'_, Postgres>,
    names: &[String],
    conversations: &mut HashMap<ConversationId, Conversation>,
) -> Result<(), StoreError> {
    let rows: Vec<(String, String, bool, i64)> = sqlx::query_as(
        "SELECT conversation, user_id, kind = 'ban', until FROM restrictions WHERE conversation = ANY($1) AND until IS NOT NULL",
    )
    .bind(names)
    .fetch_all(&mut **snapshot)
    .await?;
    for (conversation, user, is_ban, until) in rows {
        let id: ConversationId = conversation.parse().map_err(damaged("restrictions.conversation"))?;
        let user = user.parse().map_err(damaged("restrictions.user_id"))?;
        if let Some(conversation) = conversations.get_mut(&id) {
            let restricted = if is_ban { &mut conversation.bans } else { &mut conversation.mutes };
            restricted.insert(user, Timestamp(until));
        }
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct MemberColumns {
    conversation: String,
    user_id: String,
    role: String,
    slot: i64,
    joined_seq: i64,
    read_seq: i64,
    delivered_seq: i64,
    blocks: bool,
    last_sent_at: Option<i64>,
    muted_until: Option<i64>,
    pinned: bool,
    archived_seq: Option<i64>,
    notify: String,
}

async fn load_members(
    snapshot: &mut Transaction<'_, Postgres>,
    names: &[String],
    conversations: &mut HashMap<ConversationId, Conversation>,
) -> Result<(), StoreError> {
    // As they come: there may be 100,000.
    let mut rows = sqlx::query_as::<_, MemberColumns>(
        "SELECT m.conversation, m.user_id, m.role, m.slot, m.joined_seq, p.read_seq, p.delivered_seq, p.blocks, p.last_sent_at,
                p.muted_until, p.pinned, p.archived_seq, p.notify
         FROM members m JOIN pointers p USING (conversation, user_id) WHERE m.conversation = ANY($1) AND m.left_position IS NULL",
    )
    .bind(names)
    .fetch(&mut **snapshot);
    while let Some(row) = rows.try_next().await? {
        let id: ConversationId = row.conversation.parse().map_err(damaged("members.conversation"))?;
        let Some(conversation) = conversations.get_mut(&id) else { continue };
        let settings = Settings {
            muted_until: row.muted_until.map(Timestamp),
            pinned: row.pinned,
            archived_seq: row.archived_seq,
            notify: row.notify.parse().map_err(damaged("pointers.notify"))?,
        };
        let member = Member {
            role: row.role.parse().map_err(damaged("members.role"))?,
            slot: row.slot,
            joined_seq: row.joined_seq,
            read_seq: row.read_seq,
            delivered_seq: row.delivered_seq,
            blocks: row.blocks,
            last_sent_at: row.last_sent_at.map(Timestamp),
            settings,
        };
        conversation.members.insert(row.user_id.parse().map_err(damaged("members.user_id"))?, member);
    }
    Ok(())
}

async fn load_recent_sends(
    snapshot: &mut Transaction<'_, Postgres>,
    names: &[String],
    recent_since: Timestamp,
    conversations: &mut HashMap<ConversationId, Conversation>,
) -> Result<(), StoreError> {
    let rows: Vec<lookups::SendColumns> = sqlx::query_as(
        "SELECT conversation, client_id, sender, seq, position, at FROM client_ids
         WHERE conversation = ANY($1) AND client_id >= $2",
    )
    .bind(names)
    .bind(first_uuid(recent_since))
    .fetch_all(&mut **snapshot)
    .await?;
    for row in rows {
        let id: ConversationId = row.0.parse().map_err(damaged("client_ids.conversation"))?;
        if let Some(conversation) = conversations.get_mut(&id) {
            conversation.known.sent.extend([lookups::send(row)?]);
        }
    }
    Ok(())
}
