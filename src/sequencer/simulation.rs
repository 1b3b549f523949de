//! The owner against a hostile world: lost, late and unknown reports, zombies, crashes, takeovers, retries.
//!
//! The world is a log that appends what reaches it, networks that deliver, lose or delay, a view that lags, and committed offsets that
//! only the newest owner may move. After each run the log itself is judged: what was acknowledged is accepted exactly
//! once, at the told position, and everything accepted was delivered before its command was committed. Each rule of the shell is
//! also left out once, and the judge must notice.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::aggregate::{Aggregate, Command, Hearer, Hears, RosterChange, Stamp};
use super::owner::{Again, Owner, OwnerLimits};
use super::progress::Progress;
use crate::codec::records::{JournalRecord, ReplyTo, StreamRecord};
use crate::codec::{Codec, DecodeError, EncodeError};
use crate::domain::decision::{Decision, Done, Recorded};
use crate::domain::{CommandId, ErrorCode, IncarnationId, Rejection, TenantId, Timestamp, UserId};
use crate::log::Fetched;
use crate::log::journal::{Class, Head};

/// Counts: every third command of a key is a duplicate of the state, every seventh is refused.
struct Counter;

impl Aggregate for Counter {
    type Id = u32;
    type State = i64;
    type Input = u32;
    type Event = i64;
    type Lookup = Infallible;
    type Found = ();

    const COMMANDS: &'static str = "commands";
    const JOURNAL: &'static str = "journal";

    fn command(_: &Codec, _: &Fetched) -> Result<Command<Self>, String> {
        Err("not read from Kafka".into())
    }
    fn decide(state: Option<&i64>, input: &u32) -> Decision<i64> {
        let position = state.copied().unwrap_or_default();
        match input % 7 {
            3 if position > 0 => Decision::Done(Done { position, seq: 0, at: Timestamp(0), duplicate: true }),
            5 => Decision::Reject(Rejection::new(ErrorCode::Forbidden, "no")),
            _ => Decision::Record(Recorded {
                actor: UserId::default(),
                at: Timestamp(0),
                position: position + 1,
                event: position + 1,
            }),
        }
    }
    fn evolve(state: &mut Option<i64>, _: u32, _: TenantId, _: &Recorded<i64>) {
        // Not idempotent, so that an event applied twice shows.
        *state = Some(state.unwrap_or_default() + 1);
    }
    fn event_type(_: &i64) -> &'static str {
        "counted"
    }
    fn seq(_: &i64) -> i64 {
        0
    }
    fn last_seq(state: Option<&i64>) -> i64 {
        state.copied().unwrap_or_default()
    }
    fn records(_: &Codec, _: &Stamp<u32>, recorded: &Recorded<i64>) -> Result<Vec<StreamRecord>, EncodeError> {
        let value = Some(Bytes::copy_from_slice(&recorded.event.to_be_bytes()));
        Ok(vec![StreamRecord { stream: "events".into(), key: String::new(), value }])
    }
    fn recorded(_: &Codec, record: &JournalRecord) -> Result<Option<Recorded<i64>>, DecodeError> {
        let counted = record.rejection.is_none();
        Ok(counted.then_some(Recorded {
            actor: record.actor,
            at: record.at,
            position: record.position,
            event: record.position,
        }))
    }
    fn id(text: &str) -> Result<u32, String> {
        text.parse().map_err(|_| "not a number".into())
    }
    fn roster(_: &i64) -> Vec<Hearer> {
        Vec::new()
    }
    fn weight(_: &i64) -> usize {
        1
    }
    fn may_signal(_: &i64, _: UserId, _: Timestamp) -> bool {
        false
    }
    fn roster_change(_: &i64) -> RosterChange {
        RosterChange::default()
    }
    fn hears(_: &i64) -> Hears {
        Hears::Everyone
    }
    fn forget(_: &mut i64, _: Timestamp, _: i64) {}
    fn lookups(_: Option<&i64>, _: &u32) -> Vec<Infallible> {
        Vec::new()
    }
    fn refresh((): &mut (), _: &Recorded<i64>) {}
    fn recall(_: &mut i64, (): ()) {}
}

/// A rule of the shell that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    /// All rules hold.
    None,
    /// A report is believed whatever its offset.
    BelieveOffsets,
    /// After a broken chain the hole is not read to its end.
    SkipHole,
    /// A new owner starts at the end of the journal instead of what was committed.
    ForgetPast,
    /// Answers are told when the record is appended, not when it is accepted.
    AnswerEarly,
    /// A commit passes commands that are not decided yet.
    CommitAhead,
    /// A view that is past what the owner has read is loaded from.
    LoadFuture,
}

const KEYS: u32 = 3;

#[derive(Clone, Copy)]
enum Report {
    At(i64),
    Unknown,
}

struct Member {
    owner: Owner<Counter>,
    /// Next command to read.
    next: usize,
    again: VecDeque<Command<Counter>>,
    /// On their way to the log, in order, and whether the owner still waits for the report.
    wire: VecDeque<(Arc<JournalRecord>, u64)>,
    reports: VecDeque<(Report, u64)>,
    /// Reports of an older chain mean nothing.
    chain: u64,
    progress: Progress,
    alive: bool,
}

struct World {
    rng: StdRng,
    mutation: Mutation,
    log: Vec<JournalRecord>,
    commands: usize,
    members: Vec<Member>,
    committed: (i64, Head),
    view: Head,
    view_states: HashMap<u32, i64>,
    told: BTreeMap<i64, Vec<Result<Done, Rejection>>>,
    delivered: HashSet<i64>,
    takeovers: usize,
    violations: Vec<String>,
}

fn command(offset: usize) -> Command<Counter> {
    let mixed = (offset as u32).wrapping_mul(2_654_435_761) >> 7;
    Command {
        offset: offset as i64,
        at: Timestamp(0),
        id: CommandId::default(),
        tenant: TenantId::default(),
        aggregate: mixed % KEYS,
        actor: UserId::default(),
        reply_to: Some(ReplyTo { incarnation: IncarnationId::default(), partition: 0, reference: offset as i64 }),
        traceparent: None,
        input: mixed,
    }
}

impl World {
    fn new(seed: u64, mutation: Mutation) -> Self {
        let mut world = Self {
            rng: StdRng::seed_from_u64(seed),
            mutation,
            log: Vec::new(),
            commands: 0,
            members: Vec::new(),
            committed: (0, Head::default()),
            view: Head::default(),
            view_states: HashMap::new(),
            told: BTreeMap::new(),
            delivered: HashSet::new(),
            takeovers: 0,
            violations: Vec::new(),
        };
        world.take_over();
        world
    }

    fn take_over(&mut self) {
        self.takeovers += 1;
        let (next, head) = self.committed;
        let start = if self.view.next_offset < head.next_offset { self.view } else { head };
        let start = if self.mutation == Mutation::ForgetPast {
            let mut head = Head::default();
            for (offset, record) in self.log.iter().enumerate() {
                head.classify(offset as i64, record);
            }
            Head { cause_offset: -1, ..head }
        } else {
            start
        };
        let limits = OwnerLimits { tail_bytes: usize::MAX, hot: 2, crowd: 256 };
        let mut member = Member {
            owner: Owner::new(Codec::builtin(), 0, start, limits),
            next: next as usize,
            again: VecDeque::new(),
            wire: VecDeque::new(),
            reports: VecDeque::new(),
            chain: 0,
            progress: Progress::new(next, head),
            alive: true,
        };
        self.read_hole(&mut member);
        self.members.push(member);
    }

    fn read_hole(&mut self, member: &mut Member) {
        let end = if self.mutation == Mutation::SkipHole && member.owner.head().index > 0 {
            member.owner.head().next_offset as usize
        } else {
            self.log.len()
        };
        for offset in member.owner.head().next_offset as usize..end {
            member.owner.adopt(offset as i64, self.log[offset].clone()).expect("understood");
        }
        self.deliver(member);
    }

    fn deliver(&mut self, member: &mut Member) {
        for outcome in member.owner.take_outcomes() {
            if let Some((_, answer)) = outcome.reply {
                self.told.entry(outcome.command_offset).or_default().push(answer);
            }
            if let Some(counted) = outcome.accepted {
                self.delivered.insert(counted.offset);
            }
            member.progress.settle(outcome.command_offset, outcome.head);
        }
    }

    fn break_chain(&mut self, member: &mut Member) {
        member.chain += 1;
        for again in member.owner.give_up().into_iter().rev() {
            if let Again::Decide(command) = again {
                member.again.push_front(command);
            }
        }
        self.read_hole(member);
    }

    /// Brings the state of a command's key into memory, by the rules of loading. Whether it could.
    fn warm(&mut self, member: &mut Member, key: u32) -> bool {
        if member.owner.is_hot(key) {
            return true;
        }
        if self.view.next_offset > member.owner.head().next_offset && self.mutation != Mutation::LoadFuture {
            return false;
        }
        if self.view.next_offset < member.owner.tail_from() {
            return false;
        }
        let at = self.view.next_offset.min(member.owner.head().next_offset);
        member.owner.warm(key, self.view_states.get(&key).copied(), at);
        true
    }

    fn decide(&mut self, member: &mut Member) {
        let next = member.again.pop_front().or_else(|| (member.next < self.commands).then(|| command(member.next)));
        let Some(command) = next else { return };
        let from_log = command.offset == member.next as i64;
        if !self.warm(member, command.aggregate) && self.rng.random_bool(0.8) {
            // Usually it waits until the view fits; sometimes the load times out and the answer is `unavailable`.
            if !from_log {
                member.again.push_front(command);
            }
            if member.owner.in_flight() == 0 {
                self.read_hole(member);
            }
            return;
        }
        if from_log {
            member.next += 1;
        }
        let offset = command.offset;
        if let Some(record) = member.owner.decide(command, true).expect("encodes") {
            if self.mutation == Mutation::AnswerEarly {
                let done = Done { position: record.position, seq: 0, at: record.at, duplicate: false };
                let answer = record.rejection.clone().map_or(Ok(done), Err);
                self.told.entry(offset).or_default().push(answer);
            }
            member.wire.push_back((record, member.chain));
        }
        self.deliver(member);
    }

    fn network(&mut self, member: &mut Member) {
        let Some((record, chain)) = member.wire.pop_front() else { return };
        let lost = self.rng.random_bool(0.03);
        if !lost {
            self.log.push((*record).clone());
        }
        let report =
            if lost || self.rng.random_bool(0.03) { Report::Unknown } else { Report::At(self.log.len() as i64 - 1) };
        member.reports.push_back((report, chain));
    }

    fn report(&mut self, member: &mut Member) {
        let Some((report, chain)) = member.reports.pop_front() else { return };
        if chain != member.chain {
            return;
        }
        let fits = match report {
            Report::At(_) if self.mutation == Mutation::BelieveOffsets => {
                member.owner.reported(member.owner.head().next_offset).is_ok()
            }
            Report::At(offset) => member.owner.reported(offset).is_ok(),
            Report::Unknown => false,
        };
        if fits { self.deliver(member) } else { self.break_chain(member) }
    }

    fn commit(&mut self, member: &mut Member) {
        // Even a zombie may: what it commits was settled. (The group's coordinator refuses it all the same.)
        let undecided = match self.mutation {
            Mutation::CommitAhead => i64::MAX,
            _ => member.again.front().map_or(member.next as i64, |command| command.offset),
        };
        self.committed = member.progress.point(undecided);
        member.owner.committed(self.committed.0);
    }

    fn project(&mut self, steps: usize) {
        for _ in 0..steps {
            let Some(record) = self.log.get(self.view.next_offset as usize) else { return };
            if self.view.classify(self.view.next_offset, record) == Class::Accepted && record.rejection.is_none() {
                self.view_states.insert(record.aggregate.parse().expect("a key"), record.position);
            }
        }
    }

    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..12 => self.commands += 1,
            12..14 if self.members.len() < 6 => self.take_over(),
            14..16 => {
                let dead = self.rng.random_range(0..self.members.len());
                self.members[dead].alive = false;
            }
            16..24 => {
                let steps = self.rng.random_range(1..6);
                self.project(steps);
            }
            _ => {
                let index = self.rng.random_range(0..self.members.len());
                let mut member = self.members.swap_remove(index);
                match self.rng.random_range(0..12) {
                    // What is on the wire of the dead still arrives, late.
                    0..4 => self.network(&mut member),
                    _ if !member.alive => {}
                    4..7 => self.decide(&mut member),
                    7..10 => self.report(&mut member),
                    10 => self.commit(&mut member),
                    _ if member.owner.in_flight() == 0 => {
                        self.read_hole(&mut member);
                        let reached = self.view.next_offset.min(member.owner.head().next_offset);
                        member.owner.view_reached(reached, []);
                        member.owner.sweep(Timestamp(0));
                    }
                    _ => {}
                }
                self.members.push(member);
            }
        }
    }

    /// Lets the world calm down: one last owner does what is left, and everything is read.
    fn settle(&mut self) {
        for _ in 0..3 {
            self.take_over();
            let mut last = self.members.pop().expect("just made");
            for mut other in std::mem::take(&mut self.members) {
                while !other.wire.is_empty() {
                    self.network(&mut other);
                }
            }
            for _ in 0..self.commands * 40 + 200 {
                self.project(usize::MAX >> 1);
                self.decide(&mut last);
                self.network(&mut last);
                self.report(&mut last);
                if last.owner.in_flight() == 0 {
                    self.read_hole(&mut last);
                }
                self.commit(&mut last);
            }
            self.members.push(last);
        }
    }

    fn judge(&mut self) {
        let mut head = Head::default();
        let mut by_cause: HashMap<i64, (usize, &JournalRecord)> = HashMap::new();
        let mut positions: HashMap<&str, i64> = HashMap::new();
        let mut violations = Vec::new();
        for (offset, record) in self.log.iter().enumerate() {
            let loser = !head.accepts(record.prev);
            head.next_offset = offset as i64 + 1;
            if loser {
                continue;
            }
            (head.id, head.index) = (record.id, head.index + 1);
            if by_cause.insert(record.cause_offset, (offset, record)).is_some() {
                violations.push(format!("command {} was accepted twice", record.cause_offset));
            }
            if record.rejection.is_none() {
                let last = positions.entry(&record.aggregate).or_default();
                if record.position != *last + 1 {
                    violations.push(format!("position {} follows {last}", record.position));
                }
                *last = record.position;
            }
            if record.cause_offset < self.committed.0 && !self.delivered.contains(&(offset as i64)) {
                violations.push(format!("offset {offset} was accepted and committed, and never delivered"));
            }
        }
        for (cause, answers) in &self.told {
            for answer in answers {
                let record = by_cause.get(cause).map(|(_, record)| *record);
                let right = match (answer, record) {
                    (Ok(done), _) if done.duplicate => true,
                    (Ok(done), Some(record)) => record.rejection.is_none() && record.position == done.position,
                    (Err(rejection), _) if rejection.code == ErrorCode::Unavailable => true,
                    (Err(_), Some(record)) => record.rejection.is_some(),
                    (_, None) => false,
                };
                if !right {
                    violations.push(format!("command {cause} was told {answer:?}, and the log says {record:?}"));
                }
            }
        }
        let unanswered = (0..self.commands as i64).filter(|offset| !self.told.contains_key(offset)).count();
        if unanswered > 0 || self.committed.0 < self.commands as i64 {
            violations.push(format!(
                "{unanswered} of {} commands have no answer, committed {}",
                self.commands, self.committed.0
            ));
        }
        self.violations = violations;
    }
}

fn run(seed: u64, mutation: Mutation) -> World {
    let mut world = World::new(seed, mutation);
    for _ in 0..600 {
        world.step();
    }
    world.settle();
    world.judge();
    world
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled() {
    // More by hand: TIDINGS_SIMULATED_WORLDS=20000 cargo test --release simulation
    let worlds = std::env::var("TIDINGS_SIMULATED_WORLDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_500);
    let mut takeovers = 0;
    for seed in 0..worlds {
        let world = run(seed, Mutation::None);
        takeovers += world.takeovers;
        assert!(world.violations.is_empty(), "seed {seed}: {:#?}", world.violations);
    }
    println!("{takeovers} takeovers");
    assert!(takeovers > 6 * worlds as usize, "only {takeovers} takeovers were tried");
}

#[test]
fn every_rule_is_needed() {
    use Mutation::{AnswerEarly, BelieveOffsets, CommitAhead, ForgetPast, LoadFuture, SkipHole};
    for mutation in [BelieveOffsets, SkipHole, ForgetPast, AnswerEarly, CommitAhead, LoadFuture] {
        // A panic in a debug assertion is a violation found, too.
        let found = (0..400)
            .any(|seed| std::panic::catch_unwind(|| run(seed, mutation).violations.len()).map_or(true, |n| n > 0));
        assert!(found, "{mutation:?} breaks nothing: the simulation does not test it");
    }
}
