//! What single commands name: sends and messages.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use crate::domain::conversation::{InThread, Known, Lookup, Message, Poll, PollRules, Sent, Thread};
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
        Lookup::Message(_) | Lookup::Part(..) | Lookup::Thread(..) | Lookup::Reports(..) => None,
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
    thread: Option<i64>,
    thread_seq: Option<i64>,
    forwarded: bool,
    live_until: Option<i64>,
    expires_at: Option<i64>,
    poll: Option<sqlx::types::Json<PollRules>>,
    closed: bool,
    /// By emoji.
    reactions: sqlx::types::Json<BTreeMap<String, i64>>,
    reactor: Option<String>,
    reacted: Vec<String>,
    voted: Vec<i32>,
}

/// Messages that are there, and what single users reacted to them with and voted for.
pub(super) async fn messages(
    snapshot: &mut Transaction<'_, Postgres>,
    lookups: &[(ConversationId, Lookup)],
    found: &mut HashMap<ConversationId, Known>,
) -> Result<(), StoreError> {
    let messages = lookups.iter().filter_map(|(conversation, lookup)| match lookup {
        Lookup::Send(..) | Lookup::Reports(..) => None,
        // With the message that the thread is of.
        Lookup::Message(seq) | Lookup::Thread(seq, _) => Some((conversation.to_string(), *seq, None)),
        Lookup::Part(seq, user) => Some((conversation.to_string(), *seq, Some(user.to_string()))),
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
            thread: row.thread.zip(row.thread_seq).map(|(thread, thread_seq)| InThread { thread, thread_seq }),
            forwarded: row.forwarded,
            live_until: row.live_until.map(Timestamp),
            expires_at: row.expires_at.map(Timestamp),
            poll: row.poll.map(|rules| Poll { rules: rules.0, closed: row.closed }),
            votes: HashMap::new(),
            reactions: row.reactions.0,
            reacted: HashMap::new(),
            complete: false,
            touched: 0,
        };
        // One row a reactor.
        let message = found.entry(id).or_default().messages.entry(row.seq).or_insert(message);
        if let Some(reactor) = reactor {
            message.reacted.insert(reactor, row.reacted.into_iter().collect());
            message.votes.insert(reactor, row.voted);
        }
    }
    Ok(())
}

/// Threads, and how far single users have read them. One that is empty is found too, as what is under way may be its first message.
pub(super) async fn threads(
    snapshot: &mut Transaction<'_, Postgres>,
    lookups: &[(ConversationId, Lookup)],
    found: &mut HashMap<ConversationId, Known>,
) -> Result<(), StoreError> {
    let threads = lookups.iter().filter_map(|(conversation, lookup)| match lookup {
        Lookup::Thread(thread, user) => Some((conversation.to_string(), *thread, user.to_string())),
        _ => None,
    });
    let (named, (roots, readers)): (Vec<_>, (Vec<_>, Vec<_>)) =
        threads.map(|(c, root, user)| (c, (root, user))).unzip();
    if named.is_empty() {
        return Ok(());
    }
    let rows: Vec<(String, i64, String, i64, i64)> = sqlx::query_as(
        "SELECT n.conversation, n.thread, n.user_id, COALESCE(t.last_thread_seq, 0), COALESCE(p.read_thread_seq, 0)
         FROM unnest($1::text[], $2::bigint[], $3::text[]) AS n (conversation, thread, user_id)
         LEFT JOIN threads t USING (conversation, thread) LEFT JOIN thread_pointers p USING (conversation, thread, user_id)",
    )
    .bind(named)
    .bind(roots)
    .bind(readers)
    .fetch_all(&mut **snapshot)
    .await?;
    for (conversation, root, reader, last, read) in rows {
        let id: ConversationId = conversation.parse().map_err(damaged("threads.conversation"))?;
        let thread = found.entry(id).or_default().threads.entry(root).or_insert(Thread { last, ..Thread::default() });
        thread.readers.insert(reader.parse().map_err(damaged("thread_pointers.user_id"))?, read);
    }
    Ok(())
}
