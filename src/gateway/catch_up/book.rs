//! What the owners of the partitions have said, and which sessions may be caught up. Pure; the reasons stand in the parent module.

use std::collections::{BTreeSet, HashMap};

use crate::codec::records::Mark;
use crate::domain::SessionId;

/// The owner of a partition, as of its last mark.
#[derive(Clone, Copy, Debug)]
struct Owner {
    epoch: i32,
    term: i64,
    /// It knows the sessions before this.
    sessions_offset: i64,
    /// What it has routed, from the journal offset where it began, to here, is in our partition of `deliveries`.
    covered_to: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not known to every owner, or not known to be.
    Waiting,
    /// Its snapshot is being read.
    Reading(u64),
    CaughtUp,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: i64,
    state: State,
}

/// Sessions that may be caught up together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cohort {
    /// Names this one.
    pub number: u64,
    /// Which.
    pub sessions: Vec<SessionId>,
    /// The journal offset per partition that the snapshot must cover.
    pub target: Vec<Target>,
}

/// A place in a journal partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Of the journal.
    pub epoch: i32,
    /// The first offset that need not be covered.
    pub next_offset: i64,
}

/// The marks of one journal and the sessions of one gateway incarnation.
#[derive(Debug)]
pub struct MarkBook {
    owners: Vec<Option<Owner>>,
    sessions: HashMap<SessionId, Entry>,
    waiting: BTreeSet<(i64, SessionId)>,
    /// Sessions that are not caught up: those that wait and those that are being read.
    behind: usize,
    cohorts: u64,
}

impl MarkBook {
    /// For a journal of so many partitions.
    pub fn new(partitions: usize) -> Self {
        Self {
            owners: vec![None; partitions],
            sessions: HashMap::new(),
            waiting: BTreeSet::new(),
            behind: 0,
            cohorts: 0,
        }
    }

    /// A session whose record stands at `offset` of `sessions`. It must get pushes since before that record was appended.
    pub fn register(&mut self, session: SessionId, offset: i64) {
        self.unregister(session);
        self.sessions.insert(session, Entry { offset, state: State::Waiting });
        self.waiting.insert((offset, session));
        self.behind += 1;
    }

    /// The session is over.
    pub fn unregister(&mut self, session: SessionId) {
        if let Some(entry) = self.sessions.remove(&session) {
            self.waiting.remove(&(entry.offset, session));
            self.behind -= usize::from(entry.state != State::CaughtUp);
        }
    }

    /// Takes a mark in, after all deliveries that stand before it were pushed. How many sessions must be caught up again.
    pub fn mark(&mut self, mark: &Mark) -> usize {
        let Some(slot) = usize::try_from(mark.partition).ok().and_then(|at| self.owners.get_mut(at)) else { return 0 };
        let new = Owner {
            epoch: mark.epoch,
            term: mark.term,
            sessions_offset: mark.sessions_offset,
            covered_to: mark.reached_offset,
        };
        let Some(before) = slot.replace(new) else { return 0 };
        match (mark.epoch, mark.term).cmp(&(before.epoch, before.term)) {
            std::cmp::Ordering::Less => {
                *slot = Some(before);
                0
            }
            std::cmp::Ordering::Equal => {
                *slot = Some(Owner {
                    sessions_offset: before.sessions_offset.max(new.sessions_offset),
                    covered_to: before.covered_to.max(new.covered_to),
                    ..before
                });
                0
            }
            std::cmp::Ordering::Greater => {
                let hole = mark.epoch != before.epoch || mark.routed_from > before.covered_to;
                self.again(if hole { i64::MIN } else { mark.sessions_from })
            }
        }
    }

    /// Sessions from `offset` on wait again.
    fn again(&mut self, offset: i64) -> usize {
        let mut again = 0;
        for (session, entry) in self.sessions.iter_mut().filter(|(_, entry)| entry.offset >= offset) {
            if entry.state != State::Waiting {
                self.behind += usize::from(entry.state == State::CaughtUp);
                entry.state = State::Waiting;
                self.waiting.insert((entry.offset, *session));
                again += 1;
            }
        }
        again
    }

    /// At most `max` sessions that every owner knows. They are being read from now on.
    pub fn ready(&mut self, max: usize) -> Option<Cohort> {
        let known = self.owners.iter().map(|owner| owner.map_or(i64::MIN, |owner| owner.sessions_offset)).min()?;
        let sessions: Vec<_> =
            self.waiting.iter().take_while(|(offset, _)| *offset < known).take(max).map(|(_, s)| *s).collect();
        if sessions.is_empty() {
            return None;
        }
        self.cohorts += 1;
        for session in &sessions {
            if let Some(entry) = self.sessions.get_mut(session) {
                entry.state = State::Reading(self.cohorts);
                self.waiting.remove(&(entry.offset, *session));
            }
        }
        let owners = self.owners.iter().flatten();
        let target = owners.map(|owner| Target { epoch: owner.epoch, next_offset: owner.covered_to }).collect();
        Some(Cohort { number: self.cohorts, sessions, target })
    }

    /// Whether anybody still wants what is read for `cohort`.
    pub fn is_wanted(&self, cohort: &Cohort) -> bool {
        cohort.sessions.iter().any(|session| self.is_reading(*session, cohort.number))
    }

    /// Whether `session` is caught up by what was read for `cohort`; if not, it is over, or must be read again.
    pub fn caught_up(&mut self, session: SessionId, cohort: &Cohort) -> bool {
        let is_reading = self.is_reading(session, cohort.number);
        if let Some(entry) = self.sessions.get_mut(&session).filter(|_| is_reading) {
            entry.state = State::CaughtUp;
            self.behind -= 1;
        }
        is_reading
    }

    fn is_reading(&self, session: SessionId, cohort: u64) -> bool {
        self.sessions.get(&session).is_some_and(|entry| entry.state == State::Reading(cohort))
    }

    /// How many sessions are not caught up.
    pub fn behind(&self) -> usize {
        self.behind
    }

    /// How many sessions wait for owners.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u8) -> SessionId {
        SessionId::from_bytes([number; 16])
    }

    fn mark(partition: i32, term: i64, sessions: i64, reached: i64) -> Mark {
        Mark {
            partition,
            epoch: 0,
            term,
            sessions_from: sessions,
            routed_from: reached,
            sessions_offset: sessions,
            reached_offset: reached,
        }
    }

    #[test]
    fn a_session_waits_until_every_partition_has_an_owner_that_knows_it() {
        let mut book = MarkBook::new(2);
        book.register(session(1), 10);
        book.mark(&mark(0, 1, 11, 100));
        assert_eq!(book.ready(9), None, "partition 1 has no owner");
        book.mark(&mark(1, 1, 10, 200));
        assert_eq!(book.ready(9), None, "the owner of partition 1 does not know it");
        book.mark(&mark(1, 1, 11, 205));
        let cohort = book.ready(9).expect("everybody knows it");
        assert_eq!(cohort.sessions, [session(1)]);
        assert_eq!(cohort.target.iter().map(|t| t.next_offset).collect::<Vec<_>>(), [100, 205]);
        assert_eq!(book.ready(9), None, "it is being read already");
        assert_eq!(book.behind(), 1);
        assert!(book.caught_up(session(1), &cohort));
        assert!(!book.caught_up(session(1), &cohort));
        assert_eq!(book.behind(), 0);
    }

    #[test]
    fn a_new_owner_that_began_without_a_session_makes_it_wait_again() {
        let mut book = MarkBook::new(1);
        book.register(session(1), 10);
        book.register(session(2), 20);
        book.mark(&mark(0, 1, 21, 100));
        let cohort = book.ready(9).expect("known");
        assert!(book.caught_up(session(1), &cohort));
        assert_eq!(book.mark(&mark(0, 2, 15, 90)), 1, "only the second");
        assert!(!book.caught_up(session(2), &cohort), "what was read is not enough any more");
        assert!(!book.is_wanted(&cohort));
        assert_eq!(book.behind(), 1, "one of the two");
        assert_eq!(book.mark(&mark(0, 1, 99, 999)), 0, "a zombie");
        assert_eq!(book.ready(9), None);
        book.mark(&mark(0, 2, 21, 95));
        assert_eq!(book.ready(9).map(|c| c.sessions), Some(vec![session(2)]));
    }

    #[test]
    fn a_new_owner_that_begins_after_what_is_covered_makes_all_wait_again() {
        let mut book = MarkBook::new(1);
        book.register(session(1), 10);
        book.mark(&mark(0, 1, 11, 100));
        let cohort = book.ready(9).expect("known");
        assert!(book.caught_up(session(1), &cohort));
        assert_eq!(book.mark(&mark(0, 2, 50, 101)), 1);
        assert_eq!(book.ready(9).map(|c| c.target[0].next_offset), Some(101));
    }

    #[test]
    fn marks_of_other_partitions_are_nothing() {
        let mut book = MarkBook::new(1);
        assert_eq!(book.mark(&mark(-1, 1, 1, 1)) + book.mark(&mark(7, 1, 1, 1)), 0);
        assert_eq!(book.ready(9), None);
    }
}
