//! Cleaning up after a dead incarnation. Done twice it does no harm, so whoever dies at it is followed by the next.
//!
//! First what needs the sessions to be known (notifications, presence), then the sessions, last the incarnation itself: as long as
//! its claim stands, somebody will find it.

use std::collections::HashSet;

use futures_util::future::try_join_all;

use super::{ClaimError, Cluster};
use crate::codec::Record;
use crate::codec::records::{ConversationEvent, Delivery, Notification, Presence, PresenceStatus};
use crate::domain::{IncarnationId, Timestamp, UserId};
use crate::gateway::presence::keys;
use crate::log::{Appending, Ends, Reader, partition_of, topics};
use crate::sessions::SessionOf;
use crate::sessions::roster::Known;

const BATCH: usize = 512;

/// Cleans up after `dead`, whose partition this process has claimed; `end` is where its own reading of it starts.
///
/// # Errors
/// If Kafka is away. Clean again, or leave it to others.
pub async fn clean(cluster: &Cluster, dead: &Known, end: i64) -> Result<(), ClaimError> {
    let incarnation = dead.claim.incarnation;
    cluster.table.read_to_end_now().await?;
    let notified = notify_unacknowledged(cluster, dead, end).await?;
    let sessions = cluster.table.sessions_of(incarnation);
    end_sessions(cluster, incarnation, &sessions, dead.renewed_at).await?;
    cluster.append(&incarnation.to_string(), None)?.await?;
    tracing::warn!(%incarnation, partition = dead.claim.partition, sessions = sessions.len(), notified, "cleaned up after a dead gateway");
    Ok(())
}

/// Ends sessions that name an incarnation without a claim: written by one that did not know yet that it was over.
///
/// # Errors
/// If Kafka is away.
pub async fn clean_orphans(cluster: &Cluster) -> Result<(), ClaimError> {
    for incarnation in cluster.table.orphans() {
        let sessions = cluster.table.sessions_of(incarnation);
        end_sessions(cluster, incarnation, &sessions, Timestamp::now()).await?;
        tracing::warn!(%incarnation, sessions = sessions.len(), "ended sessions of an unknown gateway");
    }
    Ok(())
}

/// Writes what the end of sessions leaves: no presence, when the user was last seen, no session.
pub(super) async fn end_sessions(
    cluster: &Cluster,
    incarnation: IncarnationId,
    sessions: &[SessionOf],
    at: Timestamp,
) -> Result<(), ClaimError> {
    let mut appending = Vec::new();
    let mut seen = HashSet::new();
    for session in sessions {
        let partition = partition_of(session.user.to_string().as_bytes(), cluster.partitions);
        let key = keys::session(session.user, session.session);
        appending.push(cluster.producer.append(topics::PRESENCE, partition, key.as_bytes(), None)?);
        if cluster.table.gateways_of(session.user).is_empty() && seen.insert(session.user) {
            let last = Presence {
                tenant: session.tenant,
                user: session.user,
                session: None,
                incarnation,
                status: PresenceStatus::Offline,
                at,
            };
            let (key, value) = (keys::last(session.user), cluster.codec.encode(&last)?);
            appending.push(cluster.producer.append(topics::PRESENCE, partition, key.as_bytes(), Some(&value))?);
        }
        flush_if_many(&mut appending).await?;
    }
    try_join_all(appending).await?;
    let mut appending = Vec::new();
    for session in sessions {
        appending.push(cluster.append(&session.session.to_string(), None)?);
        flush_if_many(&mut appending).await?;
    }
    try_join_all(appending).await?;
    Ok(())
}

async fn flush_if_many(appending: &mut Vec<Appending>) -> Result<(), ClaimError> {
    if appending.len() >= BATCH {
        try_join_all(appending.drain(..)).await?;
    }
    Ok(())
}

/// Reads what was sent to `dead` and not acknowledged, up to `end`. How many notifications were written.
async fn notify_unacknowledged(cluster: &Cluster, dead: &Known, end: i64) -> Result<usize, ClaimError> {
    notify_between(cluster, dead.claim.partition, dead.acked_offset, end, &[dead.claim.incarnation]).await
}

/// Notifies of what stands from `start` to `end` in `partition` of `deliveries` for `dead` incarnations. How many notifications.
///
/// # Errors
/// If Kafka is away.
pub(super) async fn notify_between(
    cluster: &Cluster,
    partition: i32,
    start: i64,
    end: i64,
    dead: &[IncarnationId],
) -> Result<usize, ClaimError> {
    let reader = Reader::new(&cluster.client, topics::DELIVERIES)?;
    let Ends { low, high } = reader.ends(partition).await?;
    let (start, end) = (start.max(low), end.min(high));
    if start >= end {
        return Ok(0);
    }
    let mut records = reader.read(partition, start).await?;
    let mut notified = 0;
    while records.next_offset() < end && !records.at_end() {
        let mut appending = Vec::new();
        for fetched in records.next(BATCH).await?.into_iter().filter(|fetched| fetched.offset < end) {
            let value = fetched.value.as_deref().unwrap_or_default();
            if cluster.codec.name_of(value).is_ok_and(|name| name == Delivery::NAME) {
                // What cannot be decoded was nobody's: gateways of this version could not have shown it either.
                let Ok(delivery) = cluster.codec.decode::<Delivery>(value) else { continue };
                if dead.contains(&delivery.incarnation) {
                    appending.extend(notify(cluster, &delivery)?);
                }
            }
        }
        notified += appending.len();
        try_join_all(appending).await?;
    }
    Ok(notified)
}

/// Starts to notify the recipients of `delivery`, which was sent to a dead incarnation, who are nowhere else. Also for what a gateway
/// finds in its own partition for the one that had it before: a sequencer may not have read of the claim yet.
///
/// # Errors
/// If Kafka is full, or by a defect.
pub fn notify(cluster: &Cluster, delivery: &Delivery) -> Result<Vec<Appending>, ClaimError> {
    let mut appending = Vec::new();
    let Some(event) =
        delivery.record.as_deref().and_then(|record| cluster.codec.decode::<ConversationEvent>(record).ok())
    else {
        return Ok(appending);
    };
    let Some(sent) = event.message_sent.as_ref().filter(|_| event.r#type == "message.sent") else {
        return Ok(appending);
    };
    let is_elsewhere = |user| cluster.table.gateways_of(user).iter().any(|at| at.incarnation != delivery.incarnation);
    let offline = |user: &UserId| *user != event.actor && !is_elsewhere(*user);
    for user in delivery.users().filter(offline) {
        let notification = Notification {
            tenant: event.tenant,
            user,
            conversation: event.conversation,
            event_id: event.event_id,
            r#type: event.r#type.clone(),
            position: event.position,
            seq: sent.seq,
            actor: event.actor,
            occurred_at: event.occurred_at,
        };
        let (key, value) = (user.to_string(), cluster.codec.encode(&notification)?);
        let partition = partition_of(key.as_bytes(), cluster.partitions);
        appending.push(cluster.producer.append(topics::NOTIFICATIONS, partition, key.as_bytes(), Some(&value))?);
    }
    Ok(appending)
}
