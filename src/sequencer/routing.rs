//! From what counts to the gateways: one delivery a gateway with the recipients inside, notifications for those offline.

use std::sync::Arc;

use bytes::Bytes;

use super::aggregate::Aggregate;
use super::owner::{Answer, Audience, Outcome};
use crate::codec::Codec;
use crate::codec::records::{Delivery, JournalRecord, Mark, Marks, Notification, Reply, Signal};
use crate::domain::{ConversationId, UserId};
use crate::log::{AppendError, Appending, Producer, partition_of, topics};
use crate::sessions::{Gateway, SessionTable};

/// Why something could not be sent on. The owner starts again from what is committed.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// A defect.
    #[error(transparent)]
    Encode(#[from] crate::codec::EncodeError),
    /// Kafka is away or full.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Sends on what counts.
#[derive(Clone)]
pub struct Router {
    /// Of the installation.
    pub codec: &'static Codec,
    /// For deliveries and notifications.
    pub producer: Producer,
    /// Who is where.
    pub sessions: Arc<SessionTable>,
    /// Partitions of `notifications`.
    pub partitions: i32,
}

/// The recipients at one gateway.
struct Stop {
    gateway: Gateway,
    /// Silent for a while: it may live, so it is sent to, and may not, so its users are notified as well.
    overdue: bool,
    recipients: Vec<u8>,
}

impl Router {
    /// Sends `outcome` to the gateways concerned. What comes back resolves when it is durable.
    ///
    /// # Errors
    /// See [`RouteError`].
    pub async fn route<A: Aggregate>(
        &self,
        partition: i32,
        outcome: &Outcome<A>,
    ) -> Result<Vec<Appending>, RouteError> {
        let mut stops = Vec::new();
        let mut offline = Vec::new();
        if let Audience::Known(roster, also) = &outcome.audience {
            for user in roster.iter().chain(also.iter().filter(|user| !roster.contains(user))) {
                if !self.board(&mut stops, *user) {
                    offline.push(*user);
                }
            }
        }
        let reply_to =
            outcome.reply.as_ref().map(|(to, _)| Gateway { incarnation: to.incarnation, partition: to.partition });
        if let Some(gateway) = reply_to.filter(|g| !stops.iter().any(|stop| stop.gateway.incarnation == g.incarnation))
        {
            stops.push(Stop { gateway, overdue: false, recipients: Vec::new() });
        }
        let record = outcome.accepted.as_ref().and_then(|counted| counted.record.records.first()?.value.clone());
        let next_offset = outcome.accepted.as_ref().map_or(outcome.head.next_offset, |counted| counted.offset + 1);
        let mut appending = Vec::with_capacity(stops.len() + offline.len());
        for stop in stops {
            let reply = match &outcome.reply {
                Some((to, answer)) if to.incarnation == stop.gateway.incarnation => {
                    let aggregate = outcome.aggregate.map(|id| id.to_string()).unwrap_or_default();
                    Some(reply(to.reference, aggregate, answer))
                }
                _ => None,
            };
            let delivery = Delivery {
                incarnation: stop.gateway.incarnation,
                journal: A::JOURNAL.to_owned(),
                partition,
                next_offset,
                record: record.clone().filter(|_| !stop.recipients.is_empty()),
                recipients: Bytes::from(stop.recipients),
                reply,
            };
            let (value, key) = (self.codec.encode(&delivery)?, delivery.incarnation.as_bytes());
            let to = (topics::DELIVERIES, stop.gateway.partition);
            appending.push(self.producer.append_patiently(to.0, to.1, key, Some(&value)).await?);
        }
        if let Some(counted) = outcome.accepted.as_ref().filter(|counted| counted.record.seq > 0) {
            for user in offline.into_iter().filter(|user| *user != counted.record.actor) {
                appending.extend(self.notify(user, &counted.record).await?);
            }
        }
        Ok(appending)
    }

    /// Sends a signal to the members' gateways but not back to its actor. Nobody waits for it, and it is the first thing to be dropped.
    ///
    /// # Errors
    /// A defect only.
    pub fn signal(&self, signal: &Signal, members: &[UserId]) -> Result<(), RouteError> {
        let mut stops = Vec::new();
        for user in members.iter().filter(|user| **user != signal.actor) {
            self.board(&mut stops, *user);
        }
        let record = self.codec.encode(signal)?;
        for stop in stops {
            let delivery = Delivery {
                incarnation: stop.gateway.incarnation,
                journal: String::new(),
                partition: 0,
                next_offset: 0,
                record: Some(record.clone()),
                recipients: Bytes::from(stop.recipients),
                reply: None,
            };
            let (value, key) = (self.codec.encode(&delivery)?, delivery.incarnation.as_bytes());
            drop(self.producer.append(topics::DELIVERIES, stop.gateway.partition, key, Some(&value)));
        }
        Ok(())
    }

    /// Tells every live gateway how far this owner is.
    ///
    /// # Errors
    /// See [`RouteError`].
    pub fn mark(&self, journal: &str, mark: Mark) -> Result<Vec<Appending>, RouteError> {
        let mut appending = Vec::new();
        for gateway in self.sessions.live_gateways() {
            let marks = Marks { incarnation: gateway.incarnation, journal: journal.to_owned(), marks: vec![mark] };
            let value = self.codec.encode(&marks)?;
            let key = gateway.incarnation.as_bytes();
            appending.push(self.producer.append(topics::DELIVERIES, gateway.partition, key, Some(&value))?);
        }
        Ok(appending)
    }

    /// Whether `user` is anywhere that is surely alive.
    fn board(&self, stops: &mut Vec<Stop>, user: UserId) -> bool {
        let mut reached = false;
        for gateway in self.sessions.gateways_of(user) {
            let index =
                stops.iter().position(|stop| stop.gateway.incarnation == gateway.incarnation).unwrap_or_else(|| {
                    let overdue = self.sessions.is_overdue(gateway.incarnation);
                    stops.push(Stop { gateway, overdue, recipients: Vec::new() });
                    stops.len() - 1
                });
            stops[index].recipients.extend_from_slice(user.as_bytes());
            reached |= !stops[index].overdue;
        }
        reached
    }

    async fn notify(&self, user: UserId, record: &JournalRecord) -> Result<Option<Appending>, RouteError> {
        let Ok(conversation) = record.aggregate.parse::<ConversationId>() else { return Ok(None) };
        let notification = Notification {
            tenant: record.tenant,
            user,
            conversation,
            event_id: record.id,
            r#type: record.r#type.clone(),
            position: record.position,
            seq: record.seq,
            actor: record.actor,
            occurred_at: record.at,
        };
        let key = user.to_string();
        let value = self.codec.encode(&notification)?;
        let partition = partition_of(key.as_bytes(), self.partitions);
        let key = key.as_bytes();
        Ok(Some(self.producer.append_patiently(topics::NOTIFICATIONS, partition, key, Some(&value)).await?))
    }
}

fn reply(reference: i64, aggregate: String, answer: &Answer) -> Reply {
    match answer {
        Ok(done) => Reply {
            reference,
            code: None,
            message: String::new(),
            aggregate,
            position: done.position,
            seq: done.seq,
            at: done.at,
            duplicate: done.duplicate,
            retry_after_ms: None,
        },
        Err(rejection) => Reply {
            reference,
            code: Some(rejection.code.as_str().to_owned()),
            message: rejection.message.clone(),
            aggregate,
            position: 0,
            seq: 0,
            at: crate::domain::Timestamp(0),
            duplicate: false,
            retry_after_ms: rejection.retry_after_ms,
        },
    }
}
