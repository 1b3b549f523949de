//! What single commands name: sends and messages.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use crate::domain::conversation::{Known, Lookup, Message, Sent};
use crate::domain::{ConversationId, Timestamp, UserId};
use crate::store::StoreError;
use crate::store::reads::damaged;

/// Of `client_ids`.
pub(super) type SendColumns = (String, Uuid, String, i64, i64, i64);

/// A send, by who sent what.
pub(super) fn send(
    (_, client_id, sender, seq, position, at): SendColumns,
) -> Result<((UserId, Uuid), Sent), StoreError> {
    let sender = sender.parse().map_err(damaged("client_ids.sender"))?;
    Ok(((sender, client_id), Sent { seq, position, at: Timestamp(at) }))
}

/// Sends by their client ids.
pub(super) async fn sends(
    snapshot: &mut Transaction<'_, Postgres>,
    lookups: &[(ConversationId, Lookup)],
    found: &mut HashMap<ConversationId, Known>,
) -> Result<(), StoreError> {
    let sends = lookups.iter().filter_map(|(conversation, lookup)| match lookup {
        Lookup::Send(user, id) => Some((conversation.to_string(), *id, user.to_string())),
        Lookup::Message(_) | Lookup::Reactions(..) => None,
    });
    let (named, (ids, senders)): (Vec<_>, (Vec<_>, Vec<_>)) = sends.map(|(c, id, user)| (c, (id, user))).unzip();
    if named.is_empty() {
        return Ok(());
    }
    let rows: Vec<SendColumns> = sqlx::query_as(
        "SELECT i.conversation, i.client_id, i.sender, i.seq, i.position, i.at
         FROM unnest($1::text[], $2::uuid[], $3::text[]) AS s (conversation, client_id, sender)
         JOIN client_ids i USING (conversation, client_id, sender)",
    )
    .bind(named)
    .bind(ids)
    .bind(senders)
    .fetch_all(&mut **snapshot)
    .await?;
    for row in rows {
        let id: ConversationId = row.0.parse().map_err(damaged("client_ids.conversation"))?;
        found.entry(id).or_default().sent.extend([send(row)?]);
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct MessageColumns {
    conversation: String,
    seq: i64,
    position: i64,
    sender: String,
    client_id: Uuid,
    at: i64,
    mentions: Vec<String>,
    edits: Vec<i64>,
    fingerprint: Option<Vec<u8>>,
    /// By emoji.
    reactions: sqlx::types::Json<BTreeMap<String, i64>>,
    reactor: Option<String>,
    reacted: Vec<String>,
}

/// Messages that are there, and what single users reacted to them with.
pub(super) async fn messages(
    snapshot: &mut Transaction<'_, Postgres>,
    lookups: &[(ConversationId, Lookup)],
    found: &mut HashMap<ConversationId, Known>,
) -> Result<(), StoreError> {
    let messages = lookups.iter().filter_map(|(conversation, lookup)| match lookup {
        Lookup::Send(..) => None,
        Lookup::Message(seq) => Some((conversation.to_string(), *seq, None)),
        Lookup::Reactions(seq, user) => Some((conversation.to_string(), *seq, Some(user.to_string()))),
    });
    let (named, (seqs, reactors)): (Vec<_>, (Vec<_>, Vec<_>)) = messages.map(|(c, seq, user)| (c, (seq, user))).unzip();
    if named.is_empty() {
        return Ok(());
    }
    let rows: Vec<MessageColumns> = sqlx::query_as(include_str!("../queries/message_facts.sql"))
        .bind(named)
        .bind(seqs)
        .bind(reactors)
        .fetch_all(&mut **snapshot)
        .await?;
    for row in rows {
        let id: ConversationId = row.conversation.parse().map_err(damaged("messages.conversation"))?;
        let reactor: Option<UserId> =
            row.reactor.map(|user| user.parse()).transpose().map_err(damaged("reactions.user_id"))?;
        let message = Message {
            sender: row.sender.parse().map_err(damaged("messages.sender"))?,
            position: row.position,
            client_id: row.client_id,
            at: Timestamp(row.at),
            mentions: row.mentions,
            edits: row.edits,
            fingerprint: row.fingerprint.map(Bytes::from),
            reactions: row.reactions.0,
            reacted: HashMap::new(),
            complete: false,
            touched: 0,
        };
        // One row a reactor.
        let message = found.entry(id).or_default().messages.entry(row.seq).or_insert(message);
        if let Some(reactor) = reactor {
            message.reacted.insert(reactor, row.reacted.into_iter().collect());
        }
    }
    Ok(())
}
