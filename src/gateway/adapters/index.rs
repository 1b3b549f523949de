//! [`Search`] over Postgres.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::domain::policy::Standing;
use crate::domain::{ConversationId, TenantId, Timestamp, UserId};
use crate::gateway::ports::{MessageRow, ReadError, Search, Searchable, TermsHit, WantedTerms};
use crate::store::{PlaceRow, Store};

/// Questions to Postgres at a time: searches must not take all connections from the other reads.
const AT_ONCE: usize = 4;

/// The index in Postgres.
pub struct Index {
    store: Store,
    turns: Semaphore,
}

impl Index {
    /// Over `store`.
    pub fn new(store: Store) -> Self {
        Self { store, turns: Semaphore::new(AT_ONCE) }
    }
}

impl From<PlaceRow> for Searchable {
    fn from(row: PlaceRow) -> Self {
        Self {
            conversation: row.conversation,
            standing: Standing::new(row.kind, Some(row.role)),
            visible_after_seq: row.history.hidden_up_to(row.joined_seq),
            last_at: row.last_at,
        }
    }
}

#[async_trait]
impl Search for Index {
    async fn places(&self, tenant: TenantId, user: UserId) -> Result<Vec<Searchable>, ReadError> {
        Ok(self.store.places(tenant, user).await?.into_iter().map(Searchable::from).collect())
    }

    async fn find(
        &self,
        wanted: &[WantedTerms],
        after: Timestamp,
        most: u32,
        within: Duration,
    ) -> Result<Vec<TermsHit>, ReadError> {
        let turn = tokio::time::timeout(within, self.turns.acquire()).await;
        let _turn = turn.map_err(|_| ReadError::Failed("too many searches at once".into()))?;
        Ok(self.store.find(wanted, after, most.into(), within).await?)
    }

    async fn messages(
        &self,
        user: UserId,
        wanted: &[(ConversationId, i64)],
    ) -> Result<Vec<(ConversationId, MessageRow)>, ReadError> {
        Ok(self.store.messages_at(user, wanted).await?)
    }

    async fn is_indexed(&self, partitions: &[i32]) -> Result<bool, ReadError> {
        Ok(self.store.is_indexed(partitions).await?)
    }
}
