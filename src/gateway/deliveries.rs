//! From this gateway's partition of `deliveries` to its sockets, in order.
//!
//! An event is decoded, opened and serialized once, however many sockets it goes to. A key that has not arrived yet holds up its
//! own conversation only, and for [`KEY_PATIENCE`] at most; then the event is passed over loudly, and the sockets it was for are closed,
//! so that they fetch it. It is never shown as deleted. The same for a record that cannot be decoded.

mod own;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::closing::Closing;
use super::edge::Edge;
use super::failure::json;
use super::outbox::Worth;
use super::ports::{EventRow, Journal, OpenError};
use super::shapes::{self, Opener};
use crate::codec::records::{ConversationEvent, Delivery, Marks, MemberState, Receipt, Signal, UserEvent};
use crate::codec::{DecodeError, Record};
use crate::domain::{ConversationId, IncarnationId, SessionId, TenantId, Timestamp, UserId};
use crate::log::{Fetched, ReadError, Records, topics};

/// How long an event waits for its author's key.
const KEY_PATIENCE: Duration = Duration::from_secs(3);
/// How often it looks.
const KEY_POLL: Duration = Duration::from_millis(20);
const BATCH_RECORDS: usize = 512;
/// After so much, some ten thousand pushes, others have a turn. Not sooner: what comes together is written to a socket at once.
const TAKEN_BYTES: usize = 131_072;

/// Why deliveries end. Every socket was closed: what was missed is fetched after the next `hello`.
#[derive(Debug, thiserror::Error)]
pub enum DeliveriesError {
    /// The partition cannot be read on.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record that says not even whom it is for.
    #[error("`deliveries` cannot be decoded at offset {offset}")]
    Undecodable {
        /// There.
        offset: i64,
        /// Why.
        #[source]
        source: DecodeError,
    },
}

/// An event that waits for a key, or behind one that does.
struct Held {
    event: ConversationEvent,
    users: Vec<UserId>,
    since: Instant,
}

#[derive(Default)]
struct Parked {
    conversations: HashMap<ConversationId, VecDeque<Held>>,
    /// `caught_up` must not overtake a push, so marks wait too.
    marks: Vec<Marks>,
}

/// Takes what no socket here is for: a delivery to whom had this partition before, or to users who have just gone. They are notified.
pub type Strays = Arc<dyn Fn(&Delivery) + Send + Sync>;

/// Writes deliveries to sockets and replies to those who wait.
pub struct Deliveries {
    edge: Arc<Edge>,
    strays: Strays,
    incarnation: IncarnationId,
    parked: Mutex<Parked>,
    done_offset: Arc<AtomicI64>,
}

impl Deliveries {
    /// For the sockets of `edge`, while it is `incarnation`. Deliveries before `done_offset` are done with; that goes with the claim.
    pub fn new(edge: Arc<Edge>, incarnation: IncarnationId, done_offset: Arc<AtomicI64>, strays: Strays) -> Self {
        Self { edge, strays, incarnation, parked: Mutex::default(), done_offset }
    }

    /// Reads `records` until `shutdown`.
    ///
    /// # Errors
    /// See [`DeliveriesError`]; every socket is closed before it returns one.
    pub async fn run(&self, mut records: Records, shutdown: CancellationToken) -> Result<(), DeliveriesError> {
        let result = shutdown.run_until_cancelled(self.read(&mut records)).await;
        if let Some(Err(error)) = result {
            self.edge.lose();
            return Err(error);
        }
        Ok(())
    }

    async fn read(&self, records: &mut Records) -> Result<(), DeliveriesError> {
        let mut look = tokio::time::interval(KEY_POLL);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let waiting = !self.is_settled();
            tokio::select! {
                batch = records.next(BATCH_RECORDS) => {
                    let mut taken = 0;
                    for fetched in batch? {
                        self.take(&fetched)?;
                        taken += fetched.value.map_or(0, |value| value.len());
                        if taken > TAKEN_BYTES {
                            taken = 0;
                            tokio::task::yield_now().await;
                        }
                    }
                }
                _ = look.tick(), if waiting => self.retry(Instant::now()),
            }
            if self.is_settled() {
                self.done_offset.store(records.next_offset(), Ordering::Release);
            }
            // A batch has no other await, and sockets want to write.
            tokio::task::yield_now().await;
        }
    }

    fn is_settled(&self) -> bool {
        self.lock().conversations.is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Parked> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, fetched: &Fetched) -> Result<(), DeliveriesError> {
        let Some(value) = &fetched.value else { return Ok(()) };
        let undecodable = |source| DeliveriesError::Undecodable { offset: fetched.offset, source };
        let codec = self.edge.codec;
        if codec.name_of(value).map_err(undecodable)? == Marks::NAME {
            self.marks(codec.decode(value).map_err(undecodable)?);
        } else {
            self.handle(codec.decode(value).map_err(undecodable)?);
        }
        Ok(())
    }

    fn marks(&self, marks: Marks) {
        if marks.incarnation != self.incarnation {
            return;
        }
        let mut parked = self.lock();
        if parked.conversations.is_empty() {
            drop(parked);
            self.edge.ports.catch_up.marks(marks);
        } else {
            parked.marks.push(marks);
        }
    }

    /// Writes `delivery` to the sockets it is for, and its reply to whoever waits.
    pub fn handle(&self, delivery: Delivery) {
        // Meant for one who had this partition before.
        if delivery.incarnation != self.incarnation {
            (self.strays)(&delivery);
            return;
        }
        let edge = &self.edge;
        let asker = delivery.reply.as_ref().and_then(|reply| edge.pending.user(reply.reference));
        let users: Vec<_> = delivery.users().collect();
        if let Some(journal) = journal(&delivery.journal) {
            for user in users.iter().copied().chain(asker) {
                edge.seen.note(user, journal, delivery.partition, delivery.next_offset);
            }
        }
        let gone: Vec<u8> =
            users.iter().filter(|user| !edge.hub.has(**user)).flat_map(|user| *user.as_bytes()).collect();
        if !gone.is_empty() {
            let (record, recipients) = (delivery.record.clone(), gone.into());
            (self.strays)(&Delivery { record, recipients, reply: None, journal: String::new(), ..delivery });
        }
        if let Some(reply) = delivery.reply {
            edge.pending.complete(reply);
        }
        if let Some(record) = &delivery.record
            && let Err(error) = self.record(record, &users)
        {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                journal = delivery.journal,
                partition = delivery.partition,
                next_offset = delivery.next_offset,
                sockets_of = users.len(),
                "a delivery cannot be decoded; its sockets are closed so that they fetch what it held"
            );
            self.give_up(&users);
        }
    }

    fn record(&self, record: &Bytes, users: &[UserId]) -> Result<(), DecodeError> {
        let codec = self.edge.codec;
        match codec.name_of(record)?.as_str() {
            ConversationEvent::NAME => self.event(codec.decode(record)?, users),
            Receipt::NAME => self.receipt(&codec.decode(record)?, users),
            MemberState::NAME => own::changed(&self.edge, &codec.decode(record)?),
            UserEvent::NAME => own::of_user(&self.edge, &codec.decode(record)?),
            Signal::NAME => self.signal(&codec.decode(record)?, users),
            // A newer sequencer knows more than this gateway; it is nothing with a position, so nobody sees a gap.
            unknown => tracing::debug!(unknown, "a delivery of an unknown record"),
        }
        Ok(())
    }

    fn receipt(&self, receipt: &Receipt, users: &[UserId]) {
        let frame = shapes::receipt(receipt);
        for user in users {
            // One's own devices count on it: nothing else tells them.
            let worth = if *user == receipt.user { Worth::Durable } else { Worth::Passing };
            self.edge.hub.push(receipt.tenant, *user, &frame, worth, None);
        }
    }

    fn signal(&self, signal: &Signal, users: &[UserId]) {
        if let Some(frame) = shapes::signal(signal) {
            self.push(signal.tenant, users, &frame, Worth::Passing, Some(signal.session));
        }
    }

    fn push(&self, tenant: TenantId, users: &[UserId], frame: &Utf8Bytes, worth: Worth, except: Option<SessionId>) {
        let written: usize = users.iter().map(|user| self.edge.hub.push(tenant, *user, frame, worth, except)).sum();
        metrics::counter!("tidings_gateway_frames_total", "direction" => "out").increment(written as u64);
    }

    fn event(&self, event: ConversationEvent, users: &[UserId]) {
        if users.is_empty() {
            return;
        }
        let mut parked = self.lock();
        let waiting = parked.conversations.get_mut(&event.conversation);
        // Order within the conversation.
        if waiting.is_none() && self.try_event(&event, users) {
            return;
        }
        let held = Held { users: users.to_vec(), since: Instant::now(), event };
        match waiting {
            Some(waiting) => waiting.push_back(held),
            None => {
                parked.conversations.insert(held.event.conversation, [held].into());
            }
        }
    }

    /// Whether the event is done with: pushed, or given up for good. False if its key is not here.
    fn try_event(&self, event: &ConversationEvent, users: &[UserId]) -> bool {
        let opener = Opener::new(&*self.edge.ports.keyring, event.tenant);
        match opener.event(event.conversation, EventRow::from(event)) {
            Ok(shape) => {
                self.push(event.tenant, users, &json(&shape).into(), Worth::Durable, None);
                let lag_ms = Timestamp::now().0 - event.occurred_at.0;
                metrics::histogram!("tidings_gateway_delivery_lag_seconds").record(lag_ms.max(0) as f64 / 1_000.0);
                true
            }
            Err(OpenError::KeyMissing) => false,
            Err(error @ OpenError::Broken) => {
                self.pass_over(event, users, &error);
                true
            }
        }
    }

    /// Tries again what waits for keys.
    fn retry(&self, now: Instant) {
        let mut parked = self.lock();
        parked.conversations.retain(|_, waiting| {
            while let Some(held) = waiting.front() {
                if !self.try_event(&held.event, &held.users) {
                    if now.saturating_duration_since(held.since) < KEY_PATIENCE {
                        break;
                    }
                    self.pass_over(&held.event, &held.users, &OpenError::KeyMissing);
                }
                waiting.pop_front();
            }
            !waiting.is_empty()
        });
        if parked.conversations.is_empty() {
            let marks = std::mem::take(&mut parked.marks);
            drop(parked);
            marks.into_iter().for_each(|marks| self.edge.ports.catch_up.marks(marks));
        }
    }

    fn pass_over(&self, event: &ConversationEvent, users: &[UserId], error: &OpenError) {
        tracing::error!(
            %error,
            conversation = %event.conversation,
            position = event.position,
            author = %event.actor,
            "an event cannot be shown; its sockets are closed so that they fetch it"
        );
        self.give_up(users);
    }

    fn give_up(&self, users: &[UserId]) {
        metrics::counter!("tidings_gateway_deliveries_passed_over_total").increment(1);
        for user in users {
            self.edge.hub.close_user(*user, Closing::Draining);
        }
    }
}

fn journal(topic: &str) -> Option<Journal> {
    match topic {
        topics::CONVERSATION_JOURNAL => Some(Journal::Conversations),
        topics::USER_JOURNAL => Some(Journal::Users),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
