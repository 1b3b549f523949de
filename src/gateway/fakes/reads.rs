//! Views and a search index of what a test put into them.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use dashmap::DashMap;
use ring::digest::{SHA256, digest};

use crate::domain::policy::{ConversationKind, Reported, Role, Sight, Standing};
use crate::domain::user::Privacy;
use crate::domain::{ConversationId, TenantId, Timestamp, UserId};
use crate::gateway::ports::*;

#[derive(Default)]
pub struct FakeReads {
    pub applied: DashMap<(Journal, i32), i64>,
    pub api_keys: DashMap<[u8; 32], ApiKey>,
    /// Whoever holds it lets no look-up of an unknown key end.
    pub guesses: tokio::sync::RwLock<()>,
    pub key_look_ups: std::sync::atomic::AtomicUsize,
    pub memberships: DashMap<(ConversationId, UserId), Membership>,
    pub messages: DashMap<ConversationId, Vec<MessageRow>>,
    pub events: DashMap<ConversationId, Vec<EventRow>>,
    pub members: DashMap<ConversationId, Vec<(UserId, Role)>>,
    pub inbox: DashMap<UserId, Vec<ConversationRow>>,
    pub users: DashMap<UserId, UserRow>,
    pub moderators: dashmap::DashSet<UserId>,
}

impl FakeReads {
    pub fn add_api_key(&self, key: &str, of: ApiKey) {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
        self.api_keys.insert(sha256, of);
    }
}

#[async_trait]
impl Reads for FakeReads {
    async fn api_key(&self, sha256: [u8; 32]) -> Result<Option<ApiKey>, ReadError> {
        self.key_look_ups.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let key = self.api_keys.get(&sha256).map(|key| key.clone());
        if key.is_none() {
            drop(self.guesses.read().await);
        }
        Ok(key)
    }

    async fn membership(
        &self,
        _: TenantId,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<Membership>, ReadError> {
        Ok(self.memberships.get(&(conversation, user)).map(|membership| *membership))
    }

    async fn inbox(&self, _: TenantId, user: UserId, asked: &AskedPage) -> Result<InboxPage, ReadError> {
        if asked.cursor.is_some() {
            return Err(ReadError::BadCursor);
        }
        let conversations = self.inbox.get(&user).map(|rows| rows.clone()).unwrap_or_default();
        Ok(InboxPage { conversations, cursor: None, has_more: false })
    }

    async fn conversation(
        &self,
        _: TenantId,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<ConversationRow>, ReadError> {
        let rows = self.inbox.get(&user).map(|rows| rows.clone()).unwrap_or_default();
        Ok(rows.into_iter().find(|row| row.conversation == conversation))
    }

    async fn messages(
        &self,
        _: UserId,
        conversation: ConversationId,
        first: i64,
        last: i64,
    ) -> Result<Vec<MessageRow>, ReadError> {
        let rows = self.messages.get(&conversation).map(|rows| rows.clone()).unwrap_or_default();
        Ok(rows.into_iter().filter(|row| (first..=last).contains(&row.sent.seq)).collect())
    }

    async fn invites(&self, _: ConversationId) -> Result<Vec<InviteRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn requests(
        &self,
        _: ConversationId,
        _: Option<UserId>,
        _: u32,
    ) -> Result<Vec<(UserId, Timestamp)>, ReadError> {
        Ok(Vec::new())
    }

    async fn channels(
        &self,
        _: TenantId,
        _: UserId,
        _: Option<ConversationId>,
        _: u32,
    ) -> Result<Vec<ChannelRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn thread(&self, _: UserId, _: ConversationId, _: ThreadRange, _: i64) -> Result<Vec<MessageRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn threads(
        &self,
        _: UserId,
        _: ConversationId,
        _: (i64, i64),
        _: bool,
        _: u32,
    ) -> Result<Vec<ThreadRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn pins(&self, _: UserId, _: ConversationId) -> Result<Vec<MessageRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn events(
        &self,
        _: UserId,
        conversation: ConversationId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<EventRow>, ReadError> {
        let rows = self.events.get(&conversation).map(|rows| rows.clone()).unwrap_or_default();
        Ok(rows.into_iter().filter(|row| row.position > after).take(limit as usize).collect())
    }

    async fn members(
        &self,
        _: TenantId,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<(UserId, Role)>, ReadError> {
        let rows = self.members.get(&conversation).map(|rows| rows.clone()).unwrap_or_default();
        Ok(rows.into_iter().filter(|row| after.is_none_or(|after| row.0 > after)).take(limit as usize).collect())
    }

    async fn blocked(&self, _: UserId, _: &[UserId]) -> Result<Vec<UserId>, ReadError> {
        Ok(Vec::new())
    }

    async fn blocks(&self, _: UserId, _: Option<UserId>, _: u32) -> Result<Vec<UserId>, ReadError> {
        Ok(Vec::new())
    }

    async fn sights(&self, asked: &[(UserId, UserId)]) -> Result<Vec<Sight>, ReadError> {
        Ok(asked.iter().map(|_| Sight { status: true, last_seen: true }).collect())
    }

    async fn privacy(&self, _: UserId) -> Result<Privacy, ReadError> {
        Ok(Privacy::default())
    }

    async fn receipts(&self, _: ConversationId, _: i64, _: usize) -> Result<ReceiptsRow, ReadError> {
        Ok(ReceiptsRow { members: 1, read: 1, delivered: 1, users: None })
    }

    async fn moderates(&self, _: TenantId, user: UserId) -> Result<bool, ReadError> {
        Ok(self.moderators.contains(&user))
    }

    async fn reported(&self, _: ConversationId, seq: i64) -> Result<Reported, ReadError> {
        Ok(if seq == 1 { Reported::Itself } else { Reported::No })
    }

    async fn reports(&self, _: TenantId, _: bool, cursor: Option<&str>, _: u32) -> Result<ReportsPage, ReadError> {
        if cursor.is_some() { Err(ReadError::BadCursor) } else { Ok(ReportsPage::default()) }
    }

    async fn user(&self, _: TenantId, user: UserId) -> Result<Option<UserRow>, ReadError> {
        Ok(self.users.get(&user).map(|row| row.clone()))
    }

    async fn applied(&self, journal: Journal) -> Result<HashMap<i32, i64>, ReadError> {
        let all = self.applied.iter().filter(|entry| entry.key().0 == journal);
        Ok(all.map(|entry| (entry.key().1, *entry.value())).collect())
    }
}

/// Of a group with so many messages and events.
pub fn member_of_group(role: Role, last_seq: i64, last_position: i64) -> Membership {
    let standing = Standing::new(ConversationKind::Group, Some(role));
    Membership { standing, last_seq, last_position, visible_after_seq: 0, visible_after_position: 0 }
}

/// An index of what was put into it.
#[derive(Default)]
pub struct FakeSearch {
    /// Newest first.
    pub places: Mutex<Vec<Searchable>>,
    /// Messages as the index has them: time, seq, terms.
    pub indexed: Mutex<Vec<(Timestamp, i64, Vec<i64>)>>,
    /// As the views have them.
    pub messages: Mutex<Vec<(ConversationId, MessageRow)>>,
}

#[async_trait]
impl Search for FakeSearch {
    async fn places(&self, _: TenantId, _: UserId) -> Result<Vec<Searchable>, ReadError> {
        Ok(self.places.lock().expect("not poisoned").clone())
    }

    async fn find(
        &self,
        wanted: &[WantedTerms],
        after: Timestamp,
        most: u32,
        _: Duration,
    ) -> Result<Vec<TermsHit>, ReadError> {
        let indexed = self.indexed.lock().expect("not poisoned");
        let hits = wanted.iter().enumerate().flat_map(|(place, wanted)| {
            // Hashes are of a conversation and a term, so they tell the conversation, too.
            let has = |terms: &[i64]| wanted.terms.iter().all(|term| terms.contains(term));
            let found = indexed.iter().filter(|(at, seq, terms)| {
                has(terms) && (at.0, *seq) < wanted.before && *at >= after && *seq > wanted.after_seq
            });
            let mut found: Vec<_> = found.map(|(at, seq, _)| TermsHit { place, at: *at, seq: *seq }).collect();
            found.sort_unstable_by_key(|hit| std::cmp::Reverse((hit.at, hit.seq)));
            found.truncate(most as usize);
            found
        });
        Ok(hits.collect())
    }

    async fn messages(
        &self,
        _: UserId,
        wanted: &[(ConversationId, i64)],
    ) -> Result<Vec<(ConversationId, MessageRow)>, ReadError> {
        let messages = self.messages.lock().expect("not poisoned");
        Ok(messages
            .iter()
            .filter(|(conversation, row)| wanted.contains(&(*conversation, row.sent.seq)))
            .cloned()
            .collect())
    }

    async fn is_indexed(&self, _: &[i32]) -> Result<bool, ReadError> {
        Ok(true)
    }
}
