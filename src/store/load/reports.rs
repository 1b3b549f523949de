//! What members have reported of the messages that commands name.

use std::collections::HashMap;

use bytes::Bytes;
use sqlx::{Postgres, Transaction};

use crate::domain::conversation::{Known, Lookup, Reports, Said};
use crate::domain::{ConversationId, Timestamp};
use crate::store::StoreError;
use crate::store::reads::damaged;

#[derive(sqlx::FromRow)]
struct Columns {
    conversation: String,
    seq: i64,
    user_id: String,
    opened_at: Option<i64>,
    last_at: Option<i64>,
    outcome: Option<String>,
    reason: Option<String>,
    fingerprint: Option<Vec<u8>>,
}

/// Of each message that was asked for what was reported of it, and what the named user said: also where that is nothing.
pub(super) async fn load(
    snapshot: &mut Transaction<'_, Postgres>,
    lookups: &[(ConversationId, Lookup)],
    found: &mut HashMap<ConversationId, Known>,
) -> Result<(), StoreError> {
    let reports = lookups.iter().filter_map(|(conversation, lookup)| match lookup {
        Lookup::Reports(seq, user) => Some((conversation.to_string(), (*seq, user.to_string()))),
        _ => None,
    });
    let (named, (seqs, users)): (Vec<_>, (Vec<_>, Vec<_>)) = reports.unzip();
    if named.is_empty() {
        return Ok(());
    }
    let rows: Vec<Columns> = sqlx::query_as(
        "SELECT n.conversation, n.seq, n.user_id, CASE WHEN r.open THEN r.opened_at END AS opened_at, r.last_at, r.outcome, s.reason, s.fingerprint
         FROM unnest($1::text[], $2::bigint[], $3::text[]) AS n (conversation, seq, user_id)
         LEFT JOIN reported r USING (conversation, seq) LEFT JOIN reports s USING (conversation, seq, user_id)",
    )
    .bind(named)
    .bind(seqs)
    .bind(users)
    .fetch_all(&mut **snapshot)
    .await?;
    for row in rows {
        let id: ConversationId = row.conversation.parse().map_err(damaged("reported.conversation"))?;
        let reports = found.entry(id).or_default().reports.entry(row.seq).or_insert(Reports {
            opened_at: row.opened_at.map(Timestamp),
            last_at: row.last_at.map(Timestamp),
            outcome: row.outcome.map(|outcome| outcome.parse()).transpose().map_err(damaged("reported.outcome"))?,
            ..Reports::default()
        });
        let reason = row.reason.map(|reason| reason.parse()).transpose().map_err(damaged("reports.reason"))?;
        let said = reason.map(|reason| Said { reason, fingerprint: row.fingerprint.map(Bytes::from) });
        reports.said.insert(row.user_id.parse().map_err(damaged("reports.user_id"))?, said);
    }
    Ok(())
}
