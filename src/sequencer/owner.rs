//! The owner of a journal partition, without any I/O: what to append, when it counts, and what to do when somebody else wrote.
//!
//! The guarantee is optimistic concurrency on the log itself. Records are appended chained to each other without waiting; one is
//! acknowledged only when its `prev` is the head and its offset is exactly the next after the last classified one. On anything
//! else the owner gives its chain up, reads the hole, adopts what was accepted there (whoever wrote it), drops the state that was
//! built on losers, and decides again what has no record and is not before the greatest accepted cause. `simulation.rs` shows
//! that leaving out any of these rules loses or doubles an event.

mod audience;
mod memory;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::aggregate::{Aggregate, Command, Hearer, Stamp};
use crate::codec::records::{JournalRecord, REJECTED, ReplyTo};
use crate::codec::{Codec, EncodeError};
use crate::domain::decision::{Decision, Done, Recorded};
use crate::domain::{ErrorCode, EventId, Rejection};
use crate::log::journal::{Class, Head};

pub use audience::Audience;

#[cfg(test)]
mod tests;

/// What is told to who waits.
pub type Answer = Result<Done, Rejection>;

/// An event that counts, or an answer: to be delivered, in this order.
#[derive(Debug)]
pub struct Outcome<A: Aggregate> {
    /// The command's offset; committed when this is delivered.
    pub command_offset: i64,
    /// Who waits, and the answer.
    pub reply: Option<(ReplyTo, Answer)>,
    /// What counts, if it is a record.
    pub accepted: Option<Counted<A>>,
    /// Who hears of it.
    pub audience: Audience,
    /// How far the journal was classified when this was settled.
    pub head: Head,
    /// Of which aggregate; none for what could not be decoded.
    pub aggregate: Option<A::Id>,
}

/// A record that counts.
#[derive(Debug)]
pub struct Counted<A: Aggregate> {
    /// Offset in the journal.
    pub offset: i64,
    /// The record.
    pub record: Arc<JournalRecord>,
    /// Its event; none for refusals and unknown types.
    pub recorded: Option<Arc<Recorded<A::Event>>>,
}

enum Flight<A: Aggregate> {
    Append {
        command: Command<A>,
        record: Arc<JournalRecord>,
        recorded: Option<Arc<Recorded<A::Event>>>,
        audience: Audience,
    },
    /// Without a record: it still waits for those before it, as it may rest on them.
    Answer { command: Command<A>, answer: Answer },
    /// Dealt with elsewhere: a dead letter.
    Skip { command_offset: i64 },
}

/// What is to be done again after a chain was given up.
#[derive(Debug)]
pub enum Again<A: Aggregate> {
    /// [`Owner::decide`] it.
    Decide(Command<A>),
    /// [`Owner::skip`] it.
    Skip(i64),
}

struct Hot<A: Aggregate> {
    state: Option<A::State>,
    roster: Option<Arc<[Hearer]>>,
    touched: u64,
    flights: u32,
}

struct Tail<A: Aggregate> {
    offset: i64,
    aggregate: A::Id,
    record: Arc<JournalRecord>,
    recorded: Option<Arc<Recorded<A::Event>>>,
    bytes: usize,
}

/// What an owner may keep.
#[derive(Clone, Copy, Debug)]
pub struct OwnerLimits {
    /// Bytes of accepted records that the view lacks; past it everything is `unavailable`.
    pub tail_bytes: usize,
    /// Aggregates in memory, large ones counted as often as they take the memory of a small one.
    pub hot: usize,
    /// With more members than this, a receipt is told to its own user only.
    pub crowd: usize,
}

/// The report does not fit the chain: call [`Owner::give_up`], read the hole, [`Owner::adopt`] it, then decide again.
#[derive(Debug, PartialEq, Eq)]
pub struct ChainBroken;

/// The state of a partition's owner.
pub struct Owner<A: Aggregate> {
    codec: &'static Codec,
    partition: i32,
    limits: OwnerLimits,
    head: Head,
    /// The end of the chain with what is in flight.
    chain: (EventId, i64),
    flights: VecDeque<Flight<A>>,
    hot: HashMap<A::Id, Hot<A>>,
    clock: u64,
    /// Accepted, and maybe not in the view: a loaded state is brought up to date with them.
    tail: VecDeque<Tail<A>>,
    tail_bytes: usize,
    /// First journal offset that the tail would hold.
    tail_from: i64,
    /// Causes of adopted records: their commands are answered by those.
    adopted: HashSet<i64>,
    outcomes: VecDeque<Outcome<A>>,
}

impl<A: Aggregate> Owner<A> {
    /// An owner that has classified everything before `head`.
    pub fn new(codec: &'static Codec, partition: i32, head: Head, limits: OwnerLimits) -> Self {
        Self {
            codec,
            partition,
            limits,
            head,
            chain: (head.id, head.index),
            flights: VecDeque::new(),
            hot: HashMap::new(),
            clock: 0,
            tail: VecDeque::new(),
            tail_bytes: 0,
            tail_from: head.next_offset,
            adopted: HashSet::new(),
            outcomes: VecDeque::new(),
        }
    }

    /// How far the journal is classified.
    pub fn head(&self) -> Head {
        self.head
    }

    /// First journal offset of the tail: a view older than this is too old to load from.
    pub fn tail_from(&self) -> i64 {
        self.tail_from
    }

    /// Appends and answers not settled yet.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// What is settled, oldest first.
    pub fn take_outcomes(&mut self) -> VecDeque<Outcome<A>> {
        std::mem::take(&mut self.outcomes)
    }

    /// Decides a command. What it returns must be appended, in this order, and its report given to [`Owner::reported`].
    ///
    /// `looked_up`: whether the view was asked for [`Aggregate::lookups`] of it. Without that a late retry would be taken for new, and a message
    /// for removed.
    ///
    /// # Errors
    /// If the event does not fit its schema, which is a defect.
    pub fn decide(&mut self, command: Command<A>, looked_up: bool) -> Result<Option<Arc<JournalRecord>>, EncodeError> {
        if command.offset <= self.head.cause_offset {
            // Never decided again. Its record has answered it, or there is none and nothing is promised.
            if !self.adopted.contains(&command.offset) {
                self.answer(command, Err(unavailable("the command was overtaken by a change of servers")));
            }
            return Ok(None);
        }
        if self.tail_bytes > self.limits.tail_bytes {
            self.answer(command, Err(unavailable("the views are too far behind")));
            return Ok(None);
        }
        self.clock += 1;
        let Some(hot) = self.hot.get_mut(&command.aggregate) else {
            self.answer(command, Err(unavailable("the state could not be loaded in time")));
            return Ok(None);
        };
        hot.touched = self.clock;
        if !looked_up && !A::lookups(hot.state.as_ref(), &command.input).is_empty() {
            self.answer(command, Err(unavailable("what it names could not be looked up in time")));
            return Ok(None);
        }
        match A::decide(hot.state.as_ref(), &command.input) {
            Decision::Done(done) => self.answer(command, Ok(done)),
            Decision::Reject(rejection) if rejection.code.retryable() => self.answer(command, Err(rejection)),
            Decision::Reject(rejection) => return Ok(Some(self.refuse(command, rejection))),
            Decision::Record(recorded) => return self.record(command, recorded).map(Some),
        }
        Ok(None)
    }

    /// The command at this offset needs nothing more (it became a dead letter); it is settled in its turn.
    pub fn skip(&mut self, command_offset: i64) {
        self.flights.push_back(Flight::Skip { command_offset });
        self.settle_answers();
    }

    fn answer(&mut self, command: Command<A>, answer: Answer) {
        self.flights.push_back(Flight::Answer { command, answer });
        self.settle_answers();
    }

    fn link(&self, command: &Command<A>) -> JournalRecord {
        JournalRecord {
            id: EventId::generate(),
            prev: self.chain.0,
            index: self.chain.1 + 1,
            cause_epoch: self.head.epoch,
            cause_offset: command.offset,
            tenant: command.tenant,
            aggregate: command.aggregate.to_string(),
            r#type: REJECTED.to_owned(),
            position: 0,
            seq: 0,
            last_seq: 0,
            at: command.at,
            actor: command.actor,
            causation: command.id,
            reply_to: command.reply_to,
            traceparent: command.traceparent.clone(),
            rejection: None,
            records: Vec::new(),
        }
    }

    fn refuse(&mut self, command: Command<A>, rejection: Rejection) -> Arc<JournalRecord> {
        let mut record = self.link(&command);
        record.last_seq = A::last_seq(self.state(command.aggregate));
        record.rejection = Some(rejection);
        self.fly(command, record, None, Audience::Known(Arc::default(), Vec::new()))
    }

    fn record(&mut self, command: Command<A>, recorded: Recorded<A::Event>) -> Result<Arc<JournalRecord>, EncodeError> {
        let mut record = self.link(&command);
        record.last_seq = A::last_seq(self.state(command.aggregate)).max(A::seq(&recorded.event));
        let stamp = Stamp {
            event_id: record.id,
            tenant: command.tenant,
            aggregate: command.aggregate,
            causation: command.id,
            traceparent: command.traceparent.clone(),
            epoch: self.head.epoch,
            partition: self.partition,
            index: record.index,
            last_seq: record.last_seq,
        };
        record.records = A::records(self.codec, &stamp, &recorded)?;
        record.r#type = A::event_type(&recorded.event).to_owned();
        record.position = recorded.position;
        record.seq = A::seq(&recorded.event);
        record.at = recorded.at;
        let mut audience = Audience::Unknown;
        if let Some(hot) = self.hot.get_mut(&command.aggregate) {
            A::evolve(&mut hot.state, command.aggregate, command.tenant, &recorded);
            hot.evolved(&recorded.event);
            audience = hot.audience(&recorded, self.limits.crowd);
        }
        Ok(self.fly(command, record, Some(Arc::new(recorded)), audience))
    }

    fn fly(
        &mut self,
        command: Command<A>,
        record: JournalRecord,
        recorded: Option<Arc<Recorded<A::Event>>>,
        audience: Audience,
    ) -> Arc<JournalRecord> {
        let record = Arc::new(record);
        self.chain = (record.id, record.index);
        if let Some(hot) = self.hot.get_mut(&command.aggregate) {
            hot.flights += 1;
        }
        self.flights.push_back(Flight::Append { command, record: Arc::clone(&record), recorded, audience });
        record
    }

    /// The oldest append in flight was reported at `offset`.
    ///
    /// # Errors
    /// [`ChainBroken`] if that is not where it counts; nothing is settled then.
    pub fn reported(&mut self, offset: i64) -> Result<(), ChainBroken> {
        let Some(Flight::Append { record, .. }) = self.flights.front() else { return Err(ChainBroken) };
        if offset != self.head.next_offset || !self.head.accepts(record.prev) {
            return Err(ChainBroken);
        }
        if let Some(Flight::Append { command, record, recorded, audience }) = self.flights.pop_front() {
            self.head.classify(offset, &record);
            if let Some(hot) = self.hot.get_mut(&command.aggregate) {
                hot.flights -= 1;
            }
            self.count(offset, command.aggregate, record, recorded, audience);
        }
        self.settle_answers();
        Ok(())
    }

    fn settle_answers(&mut self) {
        while !matches!(self.flights.front(), None | Some(Flight::Append { .. })) {
            let (command_offset, reply, aggregate) = match self.flights.pop_front() {
                Some(Flight::Answer { command, answer }) => {
                    (command.offset, command.reply_to.map(|to| (to, answer)), Some(command.aggregate))
                }
                Some(Flight::Skip { command_offset }) => (command_offset, None, None),
                Some(Flight::Append { .. }) | None => return,
            };
            let audience = Audience::Known(Arc::default(), Vec::new());
            self.outcomes.push_back(Outcome {
                command_offset,
                reply,
                accepted: None,
                audience,
                head: self.head,
                aggregate,
            });
        }
    }

    fn count(
        &mut self,
        offset: i64,
        aggregate: A::Id,
        record: Arc<JournalRecord>,
        recorded: Option<Arc<Recorded<A::Event>>>,
        audience: Audience,
    ) {
        let bytes = 512 + record.records.iter().map(|r| r.value.as_ref().map_or(0, bytes::Bytes::len)).sum::<usize>();
        self.tail_bytes += bytes;
        self.tail.push_back(Tail { offset, aggregate, record: Arc::clone(&record), recorded: recorded.clone(), bytes });
        self.outcomes.push_back(Outcome {
            command_offset: record.cause_offset,
            reply: record.reply_to.map(|to| (to, answer_of(&record))),
            accepted: Some(Counted { offset, record, recorded }),
            audience,
            head: self.head,
            aggregate: Some(aggregate),
        });
    }

    /// Gives up everything in flight: its reports mean nothing any more. Returns the commands, oldest first, to be decided again after
    /// the hole was read to the end of the journal.
    pub fn give_up(&mut self) -> Vec<Again<A>> {
        let flights = std::mem::take(&mut self.flights);
        let mut again = Vec::with_capacity(flights.len());
        for flight in flights {
            match flight {
                Flight::Append { command, .. } => {
                    // Its state rests on what may be a loser.
                    self.hot.remove(&command.aggregate);
                    again.push(Again::Decide(command));
                }
                Flight::Answer { command, .. } => again.push(Again::Decide(command)),
                Flight::Skip { command_offset } => again.push(Again::Skip(command_offset)),
            }
        }
        self.chain = (self.head.id, self.head.index);
        again
    }

    /// Takes the record at `offset`, read from the journal while nothing is in flight.
    ///
    /// # Errors
    /// If it counts and cannot be understood.
    pub fn adopt(&mut self, offset: i64, record: JournalRecord) -> Result<Class, String> {
        debug_assert!(self.flights.is_empty(), "only a hole is adopted");
        let class = self.head.classify(offset, &record);
        self.chain = (self.head.id, self.head.index);
        if class == Class::Accepted {
            let id = A::id(&record.aggregate)?;
            let recorded = A::recorded(self.codec, &record).map_err(|error| error.to_string())?.map(Arc::new);
            match (&recorded, self.hot.get_mut(&id)) {
                (Some(recorded), Some(hot)) => {
                    A::evolve(&mut hot.state, id, record.tenant, recorded);
                    hot.evolved(&recorded.event);
                }
                // A type that this program does not know has changed the state in a way it cannot follow.
                (None, Some(_)) if record.rejection.is_none() => drop(self.hot.remove(&id)),
                _ => {}
            }
            self.adopted.insert(record.cause_offset);
            self.count(offset, id, Arc::new(record), recorded, Audience::Unknown);
        }
        Ok(class)
    }

    /// Commands before `offset` never come back.
    pub fn committed(&mut self, offset: i64) {
        self.adopted.retain(|cause| *cause >= offset);
    }
}

fn unavailable(why: &str) -> Rejection {
    Rejection::new(ErrorCode::Unavailable, format!("{why}; send it again"))
}

/// What a record answers its command: the same whoever reads it, and whenever.
fn answer_of(record: &JournalRecord) -> Answer {
    match &record.rejection {
        Some(rejection) => Err(rejection.clone()),
        None => Ok(Done { position: record.position, seq: record.seq, at: record.at, duplicate: false }),
    }
}
