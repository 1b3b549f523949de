//! [`Reads`] and [`InboxViews`] over Postgres.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::reports;
use crate::codec::Codec;
use crate::codec::records::ConversationEvent;
use crate::domain::conversation::Event;
use crate::domain::policy::{self, Reported, Role, Sight, Standing};
use crate::domain::user::Privacy;
use crate::domain::{ConversationId, TenantId, Timestamp, UserId};
use crate::gateway::catch_up::{Asked, Changes, InboxViews, Snapshot, ViewCheckpoint, ViewsAway};
use crate::gateway::paging::PageBytes;
use crate::gateway::ports::{
    ApiKey, AskedPage, ChannelRow, ConversationRow, EventRow, InboxOrder, InboxPage, InviteRow, Journal, Membership,
    MessageRow, ReadError, Reads, ReceiptsRow, ReportsPage, ThreadRange, ThreadRow, UserRow,
};
use crate::log::topics;
use crate::store::{self, InboxCursor, InboxStart, Store, StoreError};

/// The views in Postgres.
#[derive(Clone)]
pub struct Views {
    store: Store,
    codec: &'static Codec,
    /// Of the conversations' journal.
    partitions: i32,
}

impl Views {
    /// Over `store`, for an installation with `partitions` a topic.
    pub fn new(store: Store, codec: &'static Codec, partitions: i32) -> Self {
        Self { store, codec, partitions }
    }

    /// None for what was removed: its position is absent.
    fn event(&self, row: store::EventRow) -> Result<Option<EventRow>, ReadError> {
        if let Some(message) = row.message {
            return Ok(Some(sent(message)));
        }
        let record = row.event.map(|record| self.codec.decode::<ConversationEvent>(&record)).transpose();
        let record = record.map_err(|error| ReadError::Failed(Box::new(error)))?;
        Ok(record.as_ref().map(EventRow::from))
    }

    fn in_order(&self, by_partition: &HashMap<i32, (i32, i64, i64)>) -> Vec<ViewCheckpoint> {
        let of = |partition| {
            let (epoch, next_offset, index) = by_partition.get(&partition).copied().unwrap_or_default();
            ViewCheckpoint { epoch, next_offset, index }
        };
        (0..self.partitions).map(of).collect()
    }
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::TooLong => Self::TooLong,
            error => Self::Failed(Box::new(error)),
        }
    }
}

fn away(error: StoreError) -> ViewsAway {
    ViewsAway(Box::new(error))
}

fn sent(row: MessageRow) -> EventRow {
    EventRow {
        kind: "message.sent".to_owned(),
        position: row.position,
        at: row.at,
        actor: row.sender,
        causation: row.causation,
        event: Some(Event::Sent(row.sent)),
    }
}

impl From<store::InboxRow> for ConversationRow {
    fn from(row: store::InboxRow) -> Self {
        Self {
            conversation: row.conversation,
            kind: row.kind,
            name: row.name,
            topic: row.topic,
            picture: row.picture,
            history: row.history,
            join: row.join,
            frozen: row.frozen,
            slow_mode_ms: row.slow_mode_ms,
            visible_after: row.history.hidden_up_to(row.joined_seq),
            settings: row.settings,
            draft: row.draft,
            members_count: row.members_count,
            last_position: row.last_position,
            last_seq: row.last_seq,
            last_message: row.last_message,
            read_seq: row.read_seq,
            mentions_unread: row.mentions_unread,
            role: row.role,
            joined_at: row.joined_at,
            left: row.left,
        }
    }
}

/// How many rows with such texts a page takes.
fn page_size(texts: impl Iterator<Item = usize>, limit: usize) -> usize {
    let mut page = PageBytes::default();
    texts.take(limit).take_while(|text| page.fits(*text)).count()
}

/// `milliseconds.conversation`
pub(crate) fn parse_cursor(order: InboxOrder, cursor: Option<&str>) -> Result<InboxStart, ReadError> {
    let parsed = match order {
        InboxOrder::Listed => cursor.map(after_listed).transpose().map(InboxStart::AsListed),
        InboxOrder::Id => cursor.map(|id| id.parse().map_err(drop)).transpose().map(InboxStart::ById),
    };
    parsed.map_err(|()| ReadError::BadCursor)
}

/// The conversation in `pinned.time.id`.
fn after_listed(cursor: &str) -> Result<InboxCursor, ()> {
    let parse = || {
        let (pinned, rest) = cursor.split_once('.')?;
        let (at, conversation) = rest.split_once('.')?;
        let pinned = match pinned {
            "0" => false,
            "1" => true,
            _ => return None,
        };
        Some(InboxCursor { pinned, last_at: Timestamp(at.parse().ok()?), conversation: conversation.parse().ok()? })
    };
    parse().ok_or(())
}

/// What [`parse_cursor`] takes, for the page after `row`.
fn cursor_after(order: InboxOrder, row: &store::InboxRow) -> String {
    match order {
        InboxOrder::Listed => {
            format!("{}.{}.{}", u8::from(row.settings.pinned), row.last_at.0, row.conversation)
        }
        InboxOrder::Id => row.conversation.to_string(),
    }
}

#[async_trait]
impl Reads for Views {
    async fn api_key(&self, sha256: [u8; 32]) -> Result<Option<ApiKey>, ReadError> {
        let key = self.store.api_key(sha256).await?;
        Ok(key.map(|(tenant, scopes)| ApiKey { tenant, scopes }))
    }

    async fn membership(
        &self,
        tenant: TenantId,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<Membership>, ReadError> {
        let row = self.store.membership(tenant, conversation, user).await?;
        Ok(row.map(|row| Membership {
            standing: Standing {
                join: row.join,
                frozen: row.frozen,
                muted_until: row.muted_until,
                banned_until: row.banned_until,
                blocked: row.blocked,
                at: Timestamp::now(),
                ..Standing::new(row.kind, row.role)
            },
            last_seq: row.last_seq,
            last_position: row.last_position,
            visible_after_seq: row.history.hidden_up_to(row.joined_seq),
            visible_after_position: row.history.hidden_up_to(row.joined_position),
        }))
    }

    async fn inbox(&self, _: TenantId, user: UserId, asked: &AskedPage) -> Result<InboxPage, ReadError> {
        let AskedPage { order, archived, ref cursor, limit } = *asked;
        let starts = parse_cursor(order, cursor.as_deref())?;
        // One more than asked for tells whether there are more.
        let mut rows =
            self.store.inbox(user, &store::InboxPage { starts, archived, limit: i64::from(limit) + 1 }).await?;
        let size =
            page_size(rows.iter().map(|row| row.last_message.as_ref().map_or(0, MessageRow::bytes)), limit as usize);
        let has_more = rows.len() > size;
        rows.truncate(size);
        let last = rows.last().filter(|_| has_more);
        let cursor = last.map(|row| cursor_after(order, row));
        Ok(InboxPage { conversations: rows.into_iter().map(ConversationRow::from).collect(), cursor, has_more })
    }

    async fn conversation(
        &self,
        _: TenantId,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<ConversationRow>, ReadError> {
        Ok(self.store.inbox_entry(user, conversation).await?.map(ConversationRow::from))
    }

    async fn messages(
        &self,
        user: UserId,
        conversation: ConversationId,
        first: i64,
        last: i64,
    ) -> Result<Vec<MessageRow>, ReadError> {
        Ok(self.store.messages(conversation, user, first, last).await?)
    }

    async fn invites(&self, conversation: ConversationId) -> Result<Vec<InviteRow>, ReadError> {
        Ok(self.store.invites(conversation).await?)
    }

    async fn requests(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<(UserId, Timestamp)>, ReadError> {
        Ok(self.store.requests(conversation, after, limit.into()).await?)
    }

    async fn channels(
        &self,
        tenant: TenantId,
        user: UserId,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<ChannelRow>, ReadError> {
        Ok(self.store.channels(tenant, user, after, limit.into()).await?)
    }

    async fn thread(
        &self,
        user: UserId,
        conversation: ConversationId,
        range: ThreadRange,
        limit: i64,
    ) -> Result<Vec<MessageRow>, ReadError> {
        Ok(self.store.thread(conversation, user, range, limit).await?)
    }

    async fn threads(
        &self,
        user: UserId,
        conversation: ConversationId,
        seqs: (i64, i64),
        following: bool,
        limit: u32,
    ) -> Result<Vec<ThreadRow>, ReadError> {
        Ok(self.store.threads(conversation, user, seqs, following, limit.into()).await?)
    }

    async fn pins(&self, user: UserId, conversation: ConversationId) -> Result<Vec<MessageRow>, ReadError> {
        Ok(self.store.pins(conversation, user).await?)
    }

    async fn events(
        &self,
        user: UserId,
        conversation: ConversationId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<EventRow>, ReadError> {
        let rows = self.store.events(conversation, user, after, limit.into()).await?;
        rows.into_iter().filter_map(|row| self.event(row).transpose()).collect()
    }

    async fn members(
        &self,
        _: TenantId,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<(UserId, Role)>, ReadError> {
        Ok(self.store.members(conversation, after, limit.into()).await?)
    }

    async fn blocked(&self, user: UserId, users: &[UserId]) -> Result<Vec<UserId>, ReadError> {
        Ok(self.store.blocked(user, users).await?)
    }

    async fn blocks(&self, user: UserId, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, ReadError> {
        Ok(self.store.blocks(user, after, limit.into()).await?)
    }

    async fn sights(&self, asked: &[(UserId, UserId)]) -> Result<Vec<Sight>, ReadError> {
        let rows = self.store.relations(asked).await?;
        Ok(rows.into_iter().map(|(privacy, relation)| policy::sight(privacy, relation)).collect())
    }

    async fn privacy(&self, user: UserId) -> Result<Privacy, ReadError> {
        Ok(self.store.privacy(user).await?)
    }

    async fn receipts(&self, conversation: ConversationId, seq: i64, listed: usize) -> Result<ReceiptsRow, ReadError> {
        Ok(self.store.receipts(conversation, seq, listed).await?)
    }

    async fn moderates(&self, tenant: TenantId, user: UserId) -> Result<bool, ReadError> {
        Ok(self.store.moderates(tenant, user).await?)
    }

    async fn reported(&self, conversation: ConversationId, seq: i64) -> Result<Reported, ReadError> {
        Ok(self.store.reported(conversation, seq).await?)
    }

    async fn reports(
        &self,
        tenant: TenantId,
        open: bool,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<ReportsPage, ReadError> {
        let cursor = cursor.map(reports::parse_cursor).transpose()?;
        // One more than asked for tells whether there are more.
        let rows = self.store.reports(tenant, open, cursor, i64::from(limit) + 1).await?;
        Ok(reports::page(rows, open, limit as usize))
    }

    async fn user(&self, tenant: TenantId, user: UserId) -> Result<Option<UserRow>, ReadError> {
        Ok(self.store.user_name(tenant, user).await?.map(|name| UserRow { name }))
    }

    async fn applied(&self, journal: Journal) -> Result<HashMap<i32, i64>, ReadError> {
        let source = match journal {
            Journal::Conversations => topics::CONVERSATION_JOURNAL,
            Journal::Users => topics::USER_JOURNAL,
        };
        let checkpoints = self.store.checkpoints(source).await?;
        Ok(checkpoints.into_iter().map(|(partition, (_, next_offset, _))| (partition, next_offset)).collect())
    }
}

#[async_trait]
impl InboxViews for Views {
    type Row = ConversationRow;

    async fn checkpoints(&self) -> Result<Vec<ViewCheckpoint>, ViewsAway> {
        let checkpoints = self.store.checkpoints(topics::CONVERSATION_JOURNAL).await.map_err(away)?;
        Ok(self.in_order(&checkpoints))
    }

    async fn inbox_changes(&self, asked: &[Asked]) -> Result<Snapshot<ConversationRow>, ViewsAway> {
        let since = |since: &Arc<[i64]>| since.to_vec();
        let asked: Vec<_> = asked.iter().map(|asked| (asked.user, asked.since.as_ref().map(since))).collect();
        let changes = self.store.changes(&asked).await.map_err(away)?;
        let each = changes.rows.into_iter().zip(changes.resets);
        let changed = each.map(|(rows, reset)| Changes { rows: rows.into_iter().map(From::from).collect(), reset });
        Ok(Snapshot { checkpoints: self.in_order(&changes.checkpoints), changes: changed.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::paging::MAX_PAGE_BYTES;

    #[test]
    fn a_page_is_bounded_in_bytes_and_never_empty() {
        let long = MAX_PAGE_BYTES / 4 + 1;
        assert_eq!(page_size([1; 9].into_iter(), 5), 5);
        assert_eq!(page_size([long; 9].into_iter(), 5), 3);
        assert_eq!(page_size([long * 9; 9].into_iter(), 5), 1);
        assert_eq!(page_size([0; 3].into_iter(), 5), 3);
    }

    #[test]
    fn only_our_own_cursors_are_taken() {
        let conversation = ConversationId::generate();
        let id = conversation.to_string();
        let listed = |text: &str| parse_cursor(InboxOrder::Listed, Some(text));
        let after = InboxCursor { pinned: true, last_at: Timestamp(7), conversation };
        assert_eq!(listed(&format!("1.7.{id}")).ok(), Some(InboxStart::AsListed(Some(after))));
        assert_eq!(parse_cursor(InboxOrder::Id, Some(&id)).ok(), Some(InboxStart::ById(Some(conversation))));
        let bad = ["", ".", "..", "7", "x.cnv_", &id, &format!("7.{id}"), &format!("2.7.{id}"), &format!("1.7.{id}x")];
        for text in bad {
            assert!(matches!(listed(text), Err(ReadError::BadCursor)), "{text}");
        }
        for text in ["", "7", &format!("1.7.{id}")] {
            assert!(matches!(parse_cursor(InboxOrder::Id, Some(text)), Err(ReadError::BadCursor)), "{text}");
        }
    }
}
