//! What members reported, as the moderators of their tenant read it.

use std::collections::HashMap;

use sqlx::types::Json;
use sqlx::{FromRow, Postgres, Transaction};

use super::Store;
use super::reads::{StoreError, damaged, messages};
use super::rows::{MessageRow, RawMessage, Sealed, sealed};
use crate::domain::conversation::{ReportOutcome, ReportReason};
use crate::domain::policy::{ConversationKind, NEARBY, Reported};
use crate::domain::{ConversationId, TenantId, Timestamp, UserId};

/// The most reports of one message that are told one by one, the newest.
const MAX_TOLD: i64 = 20;

/// A message that was reported.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportedRow {
    /// Where.
    pub conversation: ConversationId,
    /// Direct, group or channel.
    pub kind: ConversationKind,
    /// Its name.
    pub name: Option<Sealed>,
    /// Which message.
    pub seq: i64,
    /// Who sent it.
    pub sender: UserId,
    /// As it is now; none: it was removed.
    pub message: Option<MessageRow>,
    /// The first report after the newest resolution before it.
    pub opened_at: Timestamp,
    /// The newest report.
    pub last_at: Timestamp,
    /// How many said what.
    pub reasons: Vec<(ReportReason, i64)>,
    /// The newest of them.
    pub said: Vec<SaidRow>,
    /// The newest resolution, if there ever was one.
    pub resolution: Option<ResolutionRow>,
}

/// What a member said of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct SaidRow {
    /// Who.
    pub user: UserId,
    /// What is wrong with it.
    pub reason: ReportReason,
    /// In its own words.
    pub comment: Option<Sealed>,
    /// When.
    pub at: Timestamp,
}

/// What a moderator made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResolutionRow {
    /// What came of it.
    pub outcome: ReportOutcome,
    /// Who said so.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
}

/// Where a page of reports starts: after this message, by the time that orders them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportsCursor {
    /// Since when it waits, or when it was resolved.
    pub at: Timestamp,
    /// Where.
    pub conversation: ConversationId,
    /// Which message.
    pub seq: i64,
}

impl ReportedRow {
    /// Where it stands among those that wait, or those that do not.
    pub fn cursor(&self, open: bool) -> ReportsCursor {
        let resolved_at = self.resolution.filter(|_| !open).map(|resolution| resolution.at);
        let at = resolved_at.unwrap_or(self.opened_at);
        ReportsCursor { at, conversation: self.conversation, seq: self.seq }
    }
}

#[derive(FromRow)]
struct Columns {
    conversation: String,
    seq: i64,
    sender: String,
    opened_at: i64,
    last_at: i64,
    outcome: Option<String>,
    resolved_by: Option<String>,
    resolved_at: Option<i64>,
    kind: String,
    name: Option<Vec<u8>>,
    name_causation: Option<String>,
    reasons: Json<Vec<(ReportReason, i64)>>,
}

type Place = (ConversationId, i64);
type SaidColumns = (String, i64, String, String, Option<Vec<u8>>, String, i64);

/// `$file` says which page.
macro_rules! reports {
    ($file:literal) => {
        sqlx::query_as(concat!(include_str!(concat!("queries/", $file)), include_str!("queries/reports.sql")))
    };
}

impl Store {
    /// Whether `user` moderates the tenant.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn moderates(&self, tenant: TenantId, user: UserId) -> Result<bool, StoreError> {
        let moderator: Option<bool> =
            sqlx::query_scalar("SELECT moderator FROM users WHERE user_id = $1 AND tenant = $2")
                .bind(user.to_string())
                .bind(tenant.to_string())
                .fetch_optional(&self.pool)
                .await?;
        Ok(moderator.unwrap_or_default())
    }

    /// How message `seq` stands to what was reported.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn reported(&self, conversation: ConversationId, seq: i64) -> Result<Reported, StoreError> {
        let (itself, nearby): (bool, bool) = sqlx::query_as(
            "SELECT COALESCE(bool_or(seq = $2), FALSE), COALESCE(bool_or(open), FALSE) FROM reported
             WHERE conversation = $1 AND seq BETWEEN $3 AND $4 AND sender IS NOT NULL",
        )
        .bind(conversation.to_string())
        .bind(seq)
        .bind(seq.saturating_sub(NEARBY))
        .bind(seq.saturating_add(NEARBY))
        .fetch_one(&self.pool)
        .await?;
        Ok(match (itself, nearby) {
            (true, _) => Reported::Itself,
            (false, true) => Reported::Nearby,
            (false, false) => Reported::No,
        })
    }

    /// The first `limit` reported messages of a tenant after `cursor`: those that wait, the longest first, or the others, resolved last first.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn reports(
        &self,
        tenant: TenantId,
        open: bool,
        cursor: Option<ReportsCursor>,
        limit: i64,
    ) -> Result<Vec<ReportedRow>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let page = if open { reports!("reports_open.sql") } else { reports!("reports_resolved.sql") };
        let columns: Vec<Columns> = page
            .bind(tenant.to_string())
            .bind(cursor.map(|cursor| cursor.at.0))
            .bind(cursor.map(|cursor| cursor.conversation.to_string()))
            .bind(cursor.map(|cursor| cursor.seq))
            .bind(limit)
            .fetch_all(&mut *snapshot)
            .await?;
        let mut rows = columns.into_iter().map(ReportedRow::try_from).collect::<Result<Vec<_>, _>>()?;
        let mut said = said(&mut snapshot, &rows).await?;
        let mut messages = as_they_are(&mut snapshot, &rows).await?;
        snapshot.commit().await?;
        for row in &mut rows {
            let place = (row.conversation, row.seq);
            row.said = said.remove(&place).unwrap_or_default();
            row.message = messages.remove(&place);
        }
        Ok(rows)
    }
}

impl TryFrom<Columns> for ReportedRow {
    type Error = StoreError;

    /// Without what was said, and the message.
    fn try_from(raw: Columns) -> Result<Self, StoreError> {
        let resolution = match (raw.outcome, raw.resolved_by, raw.resolved_at) {
            (Some(outcome), Some(by), Some(at)) => Some(ResolutionRow {
                outcome: outcome.parse().map_err(damaged("reported.outcome"))?,
                by: by.parse().map_err(damaged("reported.resolved_by"))?,
                at: Timestamp(at),
            }),
            _ => None,
        };
        Ok(Self {
            conversation: raw.conversation.parse().map_err(damaged("reported.conversation"))?,
            kind: raw.kind.parse().map_err(damaged("conversations.kind"))?,
            name: sealed(raw.name, raw.name_causation, "conversations.name_causation")?,
            seq: raw.seq,
            sender: raw.sender.parse().map_err(damaged("reported.sender"))?,
            message: None,
            opened_at: Timestamp(raw.opened_at),
            last_at: Timestamp(raw.last_at),
            reasons: raw.reasons.0,
            said: Vec::new(),
            resolution,
        })
    }
}

fn places(rows: &[ReportedRow]) -> (Vec<String>, Vec<i64>) {
    rows.iter().map(|row| (row.conversation.to_string(), row.seq)).unzip()
}

/// The newest reports of each.
async fn said(
    snapshot: &mut Transaction<'_, Postgres>,
    rows: &[ReportedRow],
) -> Result<HashMap<Place, Vec<SaidRow>>, StoreError> {
    let (conversations, seqs) = places(rows);
    let columns: Vec<SaidColumns> = sqlx::query_as(
        "SELECT w.conversation, w.seq, s.user_id, s.reason, s.comment, s.causation, s.at
         FROM unnest($1::TEXT[], $2::BIGINT[]) AS w (conversation, seq),
         LATERAL (SELECT * FROM reports r WHERE r.conversation = w.conversation AND r.seq = w.seq ORDER BY r.at DESC, r.user_id LIMIT $3) s
         ORDER BY s.at DESC, s.user_id",
    )
    .bind(conversations)
    .bind(seqs)
    .bind(MAX_TOLD)
    .fetch_all(&mut **snapshot)
    .await?;
    let mut all: HashMap<Place, Vec<SaidRow>> = HashMap::new();
    for (conversation, seq, user, reason, comment, causation, at) in columns {
        let row = SaidRow {
            user: user.parse().map_err(damaged("reports.user_id"))?,
            reason: reason.parse().map_err(damaged("reports.reason"))?,
            comment: sealed(comment, Some(causation), "reports.causation")?,
            at: Timestamp(at),
        };
        let conversation = conversation.parse().map_err(damaged("reports.conversation"))?;
        all.entry((conversation, seq)).or_default().push(row);
    }
    Ok(all)
}

/// The messages, as nobody in particular sees them: what a moderator has hidden for itself is here all the same.
async fn as_they_are(
    snapshot: &mut Transaction<'_, Postgres>,
    rows: &[ReportedRow],
) -> Result<HashMap<Place, MessageRow>, StoreError> {
    let (conversations, seqs) = places(rows);
    let found: Vec<RawMessage> = messages!(
        "WITH wanted AS (SELECT conversation, seq, '' AS viewer FROM unnest($1::TEXT[], $2::BIGINT[]) AS w (conversation, seq))"
    )
    .bind(conversations)
    .bind(seqs)
    .fetch_all(&mut **snapshot)
    .await?;
    let message = |raw: RawMessage| {
        let conversation: ConversationId = raw.conversation.parse().map_err(damaged("messages.conversation"))?;
        let row = MessageRow::try_from(raw)?;
        Ok(((conversation, row.sent.seq), row))
    };
    found.into_iter().map(message).collect()
}
