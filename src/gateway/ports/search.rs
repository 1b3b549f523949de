//! What the edge needs to find messages by what was said.

use std::time::Duration;

use async_trait::async_trait;

use super::{MessageRow, ReadError};
use crate::domain::policy::Standing;
use crate::domain::{ConversationId, TenantId, Timestamp, UserId};

pub use crate::store::{TermsHit, WantedTerms};

/// A conversation in which somebody may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Searchable {
    /// Which.
    pub conversation: ConversationId,
    /// How it stands to it.
    pub standing: Standing,
    /// Messages up to this one are not for it.
    pub visible_after_seq: i64,
    /// No message is newer.
    pub last_at: Timestamp,
}

/// The index of what was said, and the messages behind it.
#[async_trait]
pub trait Search: Send + Sync {
    /// The present conversations of `user`, newest event first.
    async fn places(&self, tenant: TenantId, user: UserId) -> Result<Vec<Searchable>, ReadError>;
    /// The newest messages that have the terms, at most `most` of each place, sent at `after` or later, in any order. They may have been
    /// edited or removed since. [`ReadError::TooLong`] if that takes longer than `within`.
    async fn find(
        &self,
        wanted: &[WantedTerms],
        after: Timestamp,
        most: u32,
        within: Duration,
    ) -> Result<Vec<TermsHit>, ReadError>;
    /// These messages as `user` sees them, in any order, without those that are not there.
    async fn messages(
        &self,
        user: UserId,
        wanted: &[(ConversationId, i64)],
    ) -> Result<Vec<(ConversationId, MessageRow)>, ReadError>;
    /// Whether everything in these partitions is indexed, but for the last moments.
    async fn is_indexed(&self, partitions: &[i32]) -> Result<bool, ReadError>;
}
