//! The gateway's reads, from the store.

use std::collections::HashMap;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::next_offsets;
use crate::codec::Codec;
use crate::codec::records::ConversationEvent;
use crate::domain::conversation::{Event, MessageSent};
use crate::domain::policy::Role;
use crate::domain::{ConversationId, TenantId, Timestamp, UserId};
use crate::gateway::catch_up::{Asked, Changes, InboxViews, Snapshot, ViewCheckpoint, ViewsAway};
use crate::gateway::ports::{
    ApiKey, ConversationRow, EventRow, InboxPage, Journal, Membership, MessageRow, ReadError, Reads, SealedName,
    UserRow,
};
use crate::log::topics;
use crate::store::{self, InboxCursor, InboxRow, Store, StoreError};

/// How many conversations a client without a cursor is told of.
const NEWEST: usize = 100;

/// Reads of the live views.
#[derive(Clone)]
pub struct Views {
    /// Where they are.
    pub store: Store,
    /// For the events that they keep framed.
    pub codec: &'static Codec,
    /// Of the conversations' journal.
    pub partitions: i32,
}

fn failed(error: StoreError) -> ReadError {
    ReadError::Failed(Box::new(error))
}

fn message(row: store::MessageRow) -> MessageRow {
    MessageRow {
        seq: row.seq,
        position: row.position,
        sender: row.sender,
        client_id: row.client_id,
        at: row.at,
        causation: row.causation,
        text: row.text,
        reply_to: row.reply_to,
        thread: row.thread,
        mentions: row.mentions,
    }
}

fn conversation(row: InboxRow) -> ConversationRow {
    ConversationRow {
        conversation: row.conversation,
        kind: row.kind,
        name: row.name.map(|name| SealedName { name, causation: row.name_causation }),
        members_count: row.members_count,
        last_position: row.last_position,
        last_seq: row.last_seq,
        last_message: row.last_message.map(message),
        read_seq: row.read_seq,
        mentions_unread: row.mentions_unread,
        role: row.role,
        joined_at: row.joined_at,
        left: row.left,
    }
}

impl Views {
    fn event(&self, row: store::EventRow) -> Result<Option<EventRow>, ReadError> {
        if let Some(row) = row.message {
            let row = message(row);
            let sent = MessageSent {
                seq: row.seq,
                client_id: row.client_id,
                text: row.text,
                reply_to: row.reply_to,
                thread: row.thread,
                mentions: row.mentions,
            };
            let (position, at, actor, causation) = (row.position, row.at, row.sender, row.causation);
            let event = Some(Event::Sent(sent));
            return Ok(Some(EventRow { kind: "message.sent".into(), position, at, actor, causation, event }));
        }
        // Neither: a message that was removed.
        let Some(framed) = row.event else { return Ok(None) };
        let record: ConversationEvent =
            self.codec.decode(&framed).map_err(|error| ReadError::Failed(Box::new(error)))?;
        let event = record.event();
        Ok(Some(EventRow {
            kind: record.r#type,
            position: record.position,
            at: record.occurred_at,
            actor: record.actor,
            causation: record.causation,
            event,
        }))
    }
}

fn page_cursor(row: &ConversationRow, last_at: Timestamp) -> String {
    URL_SAFE_NO_PAD.encode(format!("{} {}", last_at.0, row.conversation))
}

fn parse_page_cursor(text: &str) -> Option<InboxCursor> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (last_at, conversation) = text.split_once(' ')?;
    Some(InboxCursor { last_at: Timestamp(last_at.parse().ok()?), conversation: conversation.parse().ok()? })
}

#[async_trait]
impl Reads for Views {
    async fn api_key(&self, sha256: [u8; 32]) -> Result<Option<ApiKey>, ReadError> {
        let key = self.store.api_key(sha256).await.map_err(failed)?;
        Ok(key.map(|(tenant, scopes)| ApiKey { tenant, scopes }))
    }

    async fn membership(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<Membership>, ReadError> {
        let row = self.store.membership(tenant, conversation, user).await.map_err(failed)?;
        Ok(row.map(|row| Membership {
            kind: row.kind,
            role: row.role,
            last_seq: row.last_seq,
            last_position: row.last_position,
        }))
    }

    async fn inbox(&self, _: TenantId, user: UserId, cursor: Option<&str>, limit: u32) -> Result<InboxPage, ReadError> {
        let cursor = cursor.map(|text| parse_page_cursor(text).ok_or(ReadError::BadCursor)).transpose()?;
        let mut rows = self.store.inbox(user, cursor.as_ref(), i64::from(limit) + 1).await.map_err(failed)?;
        let has_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let last_at = rows.last().map(|row| row.last_at);
        let conversations: Vec<_> = rows.into_iter().map(conversation).collect();
        let cursor = conversations.last().zip(last_at).map(|(row, last_at)| page_cursor(row, last_at));
        Ok(InboxPage { conversations, cursor, has_more })
    }

    async fn conversation(
        &self,
        tenant: TenantId,
        id: ConversationId,
        user: UserId,
    ) -> Result<Option<ConversationRow>, ReadError> {
        // A user is of one tenant, and so are its conversations.
        let _ = tenant;
        Ok(self.store.inbox_entry(user, id).await.map_err(failed)?.map(conversation))
    }

    async fn messages(
        &self,
        _: TenantId,
        conversation: ConversationId,
        first: i64,
        last: i64,
    ) -> Result<Vec<MessageRow>, ReadError> {
        let rows = self.store.messages(conversation, first, last).await.map_err(failed)?;
        Ok(rows.into_iter().map(message).collect())
    }

    async fn events(
        &self,
        _: TenantId,
        conversation: ConversationId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<EventRow>, ReadError> {
        let rows = self.store.events(conversation, after, i64::from(limit)).await.map_err(failed)?;
        rows.into_iter().filter_map(|row| self.event(row).transpose()).collect()
    }

    async fn members(
        &self,
        _: TenantId,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<(UserId, Role)>, ReadError> {
        self.store.members(conversation, after, i64::from(limit)).await.map_err(failed)
    }

    async fn user(&self, tenant: TenantId, user: UserId) -> Result<Option<UserRow>, ReadError> {
        Ok(self.store.user_name(tenant, user).await.map_err(failed)?.map(|name| UserRow { name }))
    }

    async fn applied(&self, journal: Journal) -> Result<HashMap<i32, i64>, ReadError> {
        let source = match journal {
            Journal::Conversations => topics::CONVERSATION_JOURNAL,
            Journal::Users => topics::USER_JOURNAL,
        };
        Ok(next_offsets(self.store.checkpoints(source).await.map_err(failed)?))
    }
}

impl Views {
    /// One a partition, also for those of which nothing was ever applied.
    fn checkpoint_list(&self, checkpoints: &HashMap<i32, (i32, i64, i64)>) -> Vec<ViewCheckpoint> {
        (0..self.partitions)
            .map(|partition| {
                let (epoch, next_offset, index) = checkpoints.get(&partition).copied().unwrap_or_default();
                ViewCheckpoint { epoch, next_offset, index }
            })
            .collect()
    }
}

#[async_trait]
impl InboxViews for Views {
    type Row = ConversationRow;

    async fn checkpoints(&self) -> Result<Vec<ViewCheckpoint>, ViewsAway> {
        let checkpoints = self.store.checkpoints(topics::CONVERSATION_JOURNAL).await;
        Ok(self.checkpoint_list(&checkpoints.map_err(|error| ViewsAway(Box::new(error)))?))
    }

    async fn inbox_changes(&self, asked: &[Asked]) -> Result<Snapshot<ConversationRow>, ViewsAway> {
        let list: Vec<_> =
            asked.iter().map(|asked| (asked.user, asked.since.as_ref().map(|since| since.to_vec()))).collect();
        let changes = self.store.changes(&list).await.map_err(|error| ViewsAway(Box::new(error)))?;
        let checkpoints = self.checkpoint_list(&changes.checkpoints);
        let of_one = |mut rows: Vec<InboxRow>| {
            let reset = false;
            if rows.len() > NEWEST && asked.is_empty() {
                rows.truncate(NEWEST);
            }
            Changes { rows: rows.into_iter().map(conversation).collect(), reset }
        };
        Ok(Snapshot { checkpoints, changes: changes.rows.into_iter().map(of_one).collect() })
    }
}
