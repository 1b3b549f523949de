//! The index in Postgres: three tables that are emptied together when Postgres has crashed.
//!
//! The checkpoint is the guard of everything: what is not written by whoever moves it is not written. [`CLEARING`] says that the rows of a
//! partition are being removed, so that it can be built anew; two may do that at once, and neither goes on when the other has finished.

use std::collections::HashMap;

use sqlx::types::Uuid;
use sqlx::{PgConnection, PgPool};

use super::batch::{Change, Changes, Indexed, Place};
use crate::domain::{Timestamp, UserId};

/// In place of an offset.
const CLEARING: i64 = -1;
/// Most rows in one statement: each ends long before the time that it may take.
const ROWS: usize = 20_000;
/// Most messages removed in one transaction.
const MESSAGES: i64 = 1_000;

/// How far a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The first offset that is not indexed.
    pub next_offset: i64,
    /// Whether the end was reached since building began.
    pub complete: bool,
}

/// How far `partition` is; none if it has to be built.
///
/// # Errors
/// If Postgres fails.
pub async fn checkpoint(pool: &PgPool, partition: i32) -> Result<Option<Checkpoint>, sqlx::Error> {
    let row: Option<(i64, bool)> =
        sqlx::query_as("SELECT indexed_to, complete FROM search_checkpoints WHERE partition = $1 AND indexed_to >= 0")
            .bind(partition)
            .fetch_optional(pool)
            .await?;
    Ok(row.map(|(next_offset, complete)| Checkpoint { next_offset, complete }))
}

/// From now on the partition has to be built.
///
/// # Errors
/// If Postgres fails.
pub async fn forget(pool: &PgPool, partition: i32) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO search_checkpoints (partition, indexed_to, complete) VALUES ($1, $2, FALSE)
         ON CONFLICT (partition) DO UPDATE SET indexed_to = EXCLUDED.indexed_to, complete = FALSE",
    )
    .bind(partition)
    .bind(CLEARING)
    .execute(pool)
    .await
    .map(drop)
}

/// Removes what there is of the partition, and lets it begin at `offset`. False if somebody else has begun.
///
/// # Errors
/// If Postgres fails.
pub async fn clear(pool: &PgPool, partition: i32, offset: i64) -> Result<bool, sqlx::Error> {
    sqlx::query(
        "INSERT INTO search_checkpoints (partition, indexed_to, complete) VALUES ($1, $2, FALSE) ON CONFLICT DO NOTHING",
    )
    .bind(partition)
    .bind(CLEARING)
    .execute(pool)
    .await?;
    loop {
        let mut transaction = pool.begin().await?;
        if !advance(&mut transaction, partition, CLEARING, CLEARING, false).await? {
            return Ok(false);
        }
        let left = remove_some(&mut transaction, partition, None).await?;
        if left == 0 && !advance(&mut transaction, partition, CLEARING, offset, false).await? {
            return Ok(false);
        }
        transaction.commit().await?;
        if left == 0 {
            return Ok(true);
        }
    }
}

/// Moves the checkpoint on, if it is still where the batch began. To be called first in its transaction.
///
/// # Errors
/// If Postgres fails.
pub async fn advance(
    connection: &mut PgConnection,
    partition: i32,
    from: i64,
    to: i64,
    complete: bool,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE search_checkpoints SET indexed_to = $3, complete = complete OR $4 WHERE partition = $1 AND indexed_to = $2",
    )
    .bind(partition)
    .bind(from)
    .bind(to)
    .bind(complete)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Applies a batch. In the caller's transaction, after [`advance`].
///
/// # Errors
/// If Postgres fails.
pub async fn apply(connection: &mut PgConnection, partition: i32, changes: &Changes) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let before: HashMap<Place, Indexed> = take(connection, changes.keys()).await?.into_iter().collect();
    let mut after: Vec<(Place, Indexed)> = Vec::new();
    for (place, change) in changes {
        match change {
            Change::Put(indexed) => after.push((*place, indexed.clone())),
            Change::Terms(terms) => {
                // Else it was never there: its author was gone already.
                if let Some(old) = before.get(place) {
                    after.push((*place, Indexed { terms: terms.clone(), ..old.clone() }));
                }
            }
            Change::Remove => {}
        }
    }
    remove_terms(connection, &before.into_iter().collect::<Vec<_>>()).await?;
    insert(connection, partition, &after).await
}

/// Removes what a user wrote.
///
/// # Errors
/// If Postgres fails.
pub async fn remove_author(pool: &PgPool, partition: i32, author: UserId) -> Result<(), sqlx::Error> {
    let author = Uuid::from_bytes(*author.as_bytes());
    loop {
        let mut transaction = pool.begin().await?;
        let removed = remove_some(&mut transaction, partition, Some(author)).await?;
        transaction.commit().await?;
        if removed == 0 {
            return Ok(());
        }
    }
}

/// Everybody who wrote something that is indexed. Goes from author to author through the index, and not over all messages.
///
/// # Errors
/// If Postgres fails.
pub async fn authors(pool: &PgPool, partition: i32) -> Result<Vec<UserId>, sqlx::Error> {
    let authors: Vec<Uuid> = sqlx::query_scalar(
        "WITH RECURSIVE each AS (
             SELECT (SELECT author FROM search_messages WHERE partition = $1 ORDER BY author LIMIT 1) AS author
             UNION ALL
             SELECT (SELECT m.author FROM search_messages m WHERE m.partition = $1 AND m.author > each.author
                     ORDER BY m.author LIMIT 1)
             FROM each WHERE each.author IS NOT NULL
         )
         SELECT author FROM each WHERE author IS NOT NULL",
    )
    .bind(partition)
    .fetch_all(pool)
    .await?;
    Ok(authors.into_iter().map(|author| UserId::from_bytes(author.into_bytes())).collect())
}

/// Removes messages, of `author` or of all, and says how many.
async fn remove_some(
    connection: &mut PgConnection,
    partition: i32,
    author: Option<Uuid>,
) -> Result<usize, sqlx::Error> {
    let rows = sqlx::query_as(
        "DELETE FROM search_messages WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM search_messages WHERE partition = $1 AND ($2::UUID IS NULL OR author = $2) LIMIT $3))
         RETURNING conversation, seq, author, at, terms",
    )
    .bind(partition)
    .bind(author)
    .bind(MESSAGES)
    .fetch_all(&mut *connection)
    .await?;
    let removed: Vec<_> = rows.into_iter().map(indexed).collect();
    remove_terms(connection, &removed).await?;
    Ok(removed.len())
}

type Row = (Uuid, i64, Uuid, i64, Vec<i64>);

fn indexed((conversation, seq, author, at, terms): Row) -> (Place, Indexed) {
    let place = (crate::domain::ConversationId::from_bytes(conversation.into_bytes()), seq);
    (place, Indexed { author: UserId::from_bytes(author.into_bytes()), at: Timestamp(at), terms })
}

/// Removes the rows of messages, and gives what they were.
async fn take(
    connection: &mut PgConnection,
    places: impl Iterator<Item = &Place>,
) -> Result<Vec<(Place, Indexed)>, sqlx::Error> {
    let (conversations, seqs): (Vec<_>, Vec<_>) =
        places.map(|(conversation, seq)| (Uuid::from_bytes(*conversation.as_bytes()), *seq)).unzip();
    let rows = sqlx::query_as(
        "DELETE FROM search_messages m USING unnest($1::UUID[], $2::BIGINT[]) AS w (conversation, seq)
         WHERE m.conversation = w.conversation AND m.seq = w.seq
         RETURNING m.conversation, m.seq, m.author, m.at, m.terms",
    )
    .bind(conversations)
    .bind(seqs)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(indexed).collect())
}

/// Terms of messages as columns, in pieces, in the order of the index: those that stand side by side there are written one after another.
struct Columns {
    terms: Vec<i64>,
    ats: Vec<i64>,
    seqs: Vec<i64>,
}

fn columns(messages: &[(Place, Indexed)]) -> Vec<Columns> {
    let mut each: Vec<_> = messages
        .iter()
        .flat_map(|((_, seq), message)| message.terms.iter().map(move |term| (*term, message.at.0, *seq)))
        .collect();
    each.sort_unstable();
    let piece = |rows: &[(i64, i64, i64)]| Columns {
        terms: rows.iter().map(|row| row.0).collect(),
        ats: rows.iter().map(|row| row.1).collect(),
        seqs: rows.iter().map(|row| row.2).collect(),
    };
    each.chunks(ROWS).map(piece).collect()
}

async fn remove_terms(connection: &mut PgConnection, messages: &[(Place, Indexed)]) -> Result<(), sqlx::Error> {
    for Columns { terms, ats, seqs } in columns(messages) {
        sqlx::query(
            "DELETE FROM search_terms t USING unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[]) AS w (term, at, seq)
             WHERE t.term = w.term AND t.at = w.at AND t.seq = w.seq",
        )
        .bind(terms)
        .bind(ats)
        .bind(seqs)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn insert(
    connection: &mut PgConnection,
    partition: i32,
    messages: &[(Place, Indexed)],
) -> Result<(), sqlx::Error> {
    if messages.is_empty() {
        return Ok(());
    }
    let uuid = |bytes: &[u8; 16]| Uuid::from_bytes(*bytes);
    // Postgres has no arrays of arrays of different lengths.
    let list = |terms: &[i64]| format!("{{{}}}", terms.iter().map(i64::to_string).collect::<Vec<_>>().join(","));
    sqlx::query(
        "INSERT INTO search_messages (conversation, seq, author, partition, at, terms)
         SELECT conversation, seq, author, $6, at, terms::BIGINT[]
         FROM unnest($1::UUID[], $2::BIGINT[], $3::UUID[], $4::BIGINT[], $5::TEXT[]) AS w (conversation, seq, author, at, terms)",
    )
    .bind(messages.iter().map(|((conversation, _), _)| uuid(conversation.as_bytes())).collect::<Vec<_>>())
    .bind(messages.iter().map(|((_, seq), _)| *seq).collect::<Vec<_>>())
    .bind(messages.iter().map(|(_, message)| uuid(message.author.as_bytes())).collect::<Vec<_>>())
    .bind(messages.iter().map(|(_, message)| message.at.0).collect::<Vec<_>>())
    .bind(messages.iter().map(|(_, message)| list(&message.terms)).collect::<Vec<_>>())
    .bind(partition)
    .execute(&mut *connection)
    .await?;
    for Columns { terms, ats, seqs } in columns(messages) {
        sqlx::query(
            "INSERT INTO search_terms (term, at, seq) SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[])",
        )
        .bind(terms)
        .bind(ats)
        .bind(seqs)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
