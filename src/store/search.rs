//! What gateways ask when somebody searches: where it may look, which messages have the terms there, and the messages themselves.

use std::time::Duration;

use sqlx::AssertSqlSafe;

use super::reads::damaged;
use super::rows::RawMessage;
use super::{MessageRow, Store, StoreError};
use crate::domain::policy::{ConversationKind, History, Role};
use crate::domain::{ConversationId, TenantId, Timestamp, UserId};

/// SQLSTATE of a statement that was ended because it took too long.
const CANCELED: &str = "57014";

/// A conversation in which somebody may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceRow {
    /// Which.
    pub conversation: ConversationId,
    /// Direct, group or channel.
    pub kind: ConversationKind,
    /// One's own.
    pub role: Role,
    /// What new members see.
    pub history: History,
    /// The newest message when one came.
    pub joined_seq: i64,
    /// Of its newest event: no message is newer.
    pub last_at: Timestamp,
}

/// What is looked for in one conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedTerms {
    /// Hashes, all of which a message must have; as many for each conversation of one question.
    pub terms: Vec<i64>,
    /// Only what is before this time, and of this time before this seq.
    pub before: (i64, i64),
    /// Only messages after this one.
    pub after_seq: i64,
}

/// A message that has the terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TermsHit {
    /// Which of those that were asked for.
    pub place: usize,
    /// When it was sent.
    pub at: Timestamp,
    /// Which it is.
    pub seq: i64,
}

impl Store {
    /// The present conversations of `user`, newest event first.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn places(&self, tenant: TenantId, user: UserId) -> Result<Vec<PlaceRow>, StoreError> {
        let rows: Vec<(String, String, String, String, i64, i64)> = sqlx::query_as(include_str!("queries/places.sql"))
            .bind(tenant.to_string())
            .bind(user.to_string())
            .fetch_all(&self.pool)
            .await?;
        let place =
            |(conversation, kind, role, history, joined_seq, last_at): (String, String, String, String, i64, i64)| {
                Ok(PlaceRow {
                    conversation: conversation.parse().map_err(damaged("pointers.conversation"))?,
                    kind: kind.parse().map_err(damaged("conversations.kind"))?,
                    role: role.parse().map_err(damaged("members.role"))?,
                    history: history.parse().map_err(damaged("conversations.history"))?,
                    joined_seq,
                    last_at: Timestamp(last_at),
                })
            };
        rows.into_iter().map(place).collect()
    }

    /// The newest messages that have the terms, at most `most` of each place, sent at `after` or later. In any order.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] if that takes longer than `within`; or if Postgres fails.
    pub async fn find(
        &self,
        wanted: &[WantedTerms],
        after: Timestamp,
        most: i64,
        within: Duration,
    ) -> Result<Vec<TermsHit>, StoreError> {
        let terms = wanted.first().map_or(0, |wanted| wanted.terms.len());
        debug_assert!(wanted.iter().all(|wanted| wanted.terms.len() == terms), "as many terms for each place");
        if terms == 0 {
            return Ok(Vec::new());
        }
        let mut transaction = self.pool.begin().await?;
        // The index has the order that is wanted, and is never the wrong way; a guess by old statistics may be.
        let limits = format!(
            "SET LOCAL statement_timeout = {}; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off",
            within.as_millis().max(1)
        );
        sqlx::raw_sql(AssertSqlSafe(limits)).execute(&mut *transaction).await?;
        let column = |value: fn(&WantedTerms) -> i64| wanted.iter().map(value).collect::<Vec<_>>();
        let hashes: Vec<i64> = wanted.iter().flat_map(|wanted| wanted.terms.iter().copied()).collect();
        let rows: Vec<(i64, i64, i64)> = sqlx::query_as(include_str!("queries/search.sql"))
            .bind(hashes)
            .bind(i32::try_from(terms).unwrap_or(i32::MAX))
            .bind(column(|wanted| wanted.before.0))
            .bind(column(|wanted| wanted.before.1))
            .bind(column(|wanted| wanted.after_seq))
            .bind(after.0)
            .bind(most)
            .fetch_all(&mut *transaction)
            .await
            .map_err(too_long)?;
        transaction.commit().await?;
        let hit =
            |(ord, at, seq)| TermsHit { place: usize::try_from(ord - 1).unwrap_or_default(), at: Timestamp(at), seq };
        Ok(rows.into_iter().map(hit).collect())
    }

    /// These messages as `viewer` sees them, in any order; without those that are not there.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn messages_at(
        &self,
        viewer: UserId,
        wanted: &[(ConversationId, i64)],
    ) -> Result<Vec<(ConversationId, MessageRow)>, StoreError> {
        let rows: Vec<RawMessage> = super::reads::messages!(
            "WITH wanted AS (SELECT conversation, seq, $3::TEXT AS viewer FROM unnest($1::TEXT[], $2::BIGINT[]) AS w (conversation, seq))"
        )
        .bind(wanted.iter().map(|(conversation, _)| conversation.to_string()).collect::<Vec<_>>())
        .bind(wanted.iter().map(|(_, seq)| *seq).collect::<Vec<_>>())
        .bind(viewer.to_string())
        .fetch_all(&self.pool)
        .await?;
        let row = |raw: RawMessage| {
            let conversation = raw.conversation.parse().map_err(damaged("messages.conversation"))?;
            Ok((conversation, MessageRow::try_from(raw)?))
        };
        rows.into_iter().map(row).collect()
    }

    /// Whether everything that was said is indexed, but for the last moments: in these partitions.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn is_indexed(&self, partitions: &[i32]) -> Result<bool, StoreError> {
        let complete: i64 =
            sqlx::query_scalar("SELECT count(*) FROM search_checkpoints WHERE complete AND partition = ANY ($1)")
                .bind(partitions)
                .fetch_one(&self.pool)
                .await?;
        Ok(usize::try_from(complete).is_ok_and(|complete| complete == partitions.len()))
    }
}

fn too_long(error: sqlx::Error) -> StoreError {
    let code = error.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
    if code.as_deref() == Some(CANCELED) { StoreError::TooLong } else { error.into() }
}
