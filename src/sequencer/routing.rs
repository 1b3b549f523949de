//! From what counts to the gateways: one delivery a gateway with the recipients inside (more than one where they are very many), and
//! notifications for those offline: one each, or one for all of a crowd.

use std::sync::Arc;

use bytes::Bytes;
use roaring::RoaringBitmap;

use super::aggregate::{Aggregate, Hearer};
use super::journey::{Journey, Offline};
use super::owner::{Answer, Audience, Outcome};
use crate::codec::records::{CrowdNotification, Delivery, JournalRecord, Mark, Marks, Notification, Reply, Signal};
use crate::codec::{Codec, Record};
use crate::domain::{ConversationId, IncarnationId};
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
        let mut journey = Journey::default();
        if let Audience::Known(roster, also) = &outcome.audience {
            journey.board(&self.sessions, roster, also);
        }
        if let Some((to, _)) = &outcome.reply {
            journey.pass(Gateway { incarnation: to.incarnation, partition: to.partition });
        }
        let mut appending = Vec::with_capacity(journey.stops.len());
        for stop in journey.stops {
            let gateway = stop.gateway;
            let reply = outcome.reply.as_ref().filter(|(to, _)| to.incarnation == gateway.incarnation);
            let mut reply = reply.map(|(to, answer)| {
                let aggregate = outcome.aggregate.map(|id| id.to_string()).unwrap_or_default();
                reply_of(to.reference, aggregate, answer)
            });
            for recipients in stop.parts() {
                let delivery = delivery_of(partition, outcome, gateway.incarnation, recipients, reply.take());
                let (value, key) = (self.codec.encode(&delivery)?, delivery.incarnation.as_bytes());
                let to = (topics::DELIVERIES, gateway.partition);
                appending.push(self.producer.append_patiently(to.0, to.1, key, Some(&value)).await?);
            }
        }
        if let Some(counted) = outcome.accepted.as_ref().filter(|counted| counted.record.seq > 0) {
            appending.extend(self.notify(&counted.record, journey.offline).await?);
        }
        Ok(appending)
    }

    /// Sends a signal to the members' gateways but not back to its actor. Nobody waits for it, and it is the first thing to be dropped.
    ///
    /// # Errors
    /// A defect only.
    pub fn signal(&self, signal: &Signal, members: &[Hearer]) -> Result<(), RouteError> {
        let mut journey = Journey::default();
        let others: Vec<_> = members.iter().filter(|member| member.user != signal.actor).copied().collect();
        journey.board(&self.sessions, &others, &[]);
        let record = self.codec.encode(signal)?;
        for stop in journey.stops {
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

    /// Has those notified whom nothing has reached.
    async fn notify(&self, record: &JournalRecord, offline: Offline) -> Result<Vec<Appending>, RouteError> {
        let Ok(conversation) = record.aggregate.parse::<ConversationId>() else { return Ok(Vec::new()) };
        let mut appending = Vec::new();
        if let Some(reached) = offline.reached {
            let notification = CrowdNotification {
                tenant: record.tenant,
                conversation,
                event_id: record.id,
                r#type: record.r#type.clone(),
                position: record.position,
                seq: record.seq,
                actor: record.actor,
                occurred_at: record.at,
                reached: bytes_of(&reached),
            };
            appending.push(self.append_notification(&record.aggregate, &notification).await?);
        }
        for user in offline.each.into_iter().filter(|user| *user != record.actor) {
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
            appending.push(self.append_notification(&user.to_string(), &notification).await?);
        }
        Ok(appending)
    }

    async fn append_notification(&self, key: &str, notification: &impl Record) -> Result<Appending, RouteError> {
        let value = self.codec.encode(notification)?;
        let (partition, key) = (partition_of(key.as_bytes(), self.partitions), key.as_bytes());
        Ok(self.producer.append_patiently(topics::NOTIFICATIONS, partition, key, Some(&value)).await?)
    }
}

/// In the portable format of Roaring bitmaps. Source: github.com/RoaringBitmap/RoaringFormatSpec.
fn bytes_of(slots: &RoaringBitmap) -> Bytes {
    let mut bytes = Vec::with_capacity(slots.serialized_size());
    // Writing to memory cannot fail.
    let _ = slots.serialize_into(&mut bytes);
    bytes.into()
}

fn delivery_of<A: Aggregate>(
    partition: i32,
    outcome: &Outcome<A>,
    incarnation: IncarnationId,
    recipients: Bytes,
    reply: Option<Reply>,
) -> Delivery {
    let record = outcome.accepted.as_ref().and_then(|counted| counted.record.records.first()?.value.clone());
    Delivery {
        incarnation,
        journal: A::JOURNAL.to_owned(),
        partition,
        next_offset: outcome.accepted.as_ref().map_or(outcome.head.next_offset, |counted| counted.offset + 1),
        record: record.filter(|_| !recipients.is_empty()),
        recipients,
        reply,
    }
}

fn reply_of(reference: i64, aggregate: String, answer: &Answer) -> Reply {
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
