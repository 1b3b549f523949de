//! One owned partition: the loop around [`Owner`] that reads commands, loads states, appends, routes, marks and commits.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::aggregate::{Aggregate, Command};
use super::conversations::RECENT_SENDS_MS;
use super::owner::{Again, ChainBroken, Outcome, Owner, OwnerLimits};
use super::progress::Progress;
use super::routing::{RouteError, Router};
use crate::codec::records::{DeadLetter, Mark, Signal};
use crate::codec::{Codec, EncodeError};
use crate::domain::{EventId, Timestamp, UserId};
use crate::log::journal::{self, Head, JournalError};
use crate::log::{AppendError, Appending, Fetched, Ownership, Producer, ReadError, Reader, Records, topics};

/// What the view knows, in one snapshot.
pub struct Loaded<A: Aggregate> {
    /// The view's checkpoint of the partition.
    pub head: Head,
    /// The aggregates that exist.
    pub states: HashMap<A::Id, A::State>,
}

/// What the sequencer needs from outside the log.
#[async_trait]
pub trait Surroundings<A: Aggregate>: Send + Sync {
    /// Loads aggregates, with the client ids made since `recent_since` and those looked up by name, in one snapshot.
    async fn load(
        &self,
        partition: i32,
        ids: &[A::Id],
        sends: &[(UserId, A::Id, Uuid)],
        recent_since: Timestamp,
    ) -> anyhow::Result<Loaded<A>>;
    /// The view's checkpoint of the partition.
    async fn view_head(&self, partition: i32) -> anyhow::Result<Head>;
    /// Adds to a command what `decide` needs and chance or keys must make. `exists`: whether the aggregate does.
    async fn prepare(&self, exists: bool, command: &mut Command<A>) -> anyhow::Result<()>;
}

/// What all partitions of a sequencer share.
pub struct Shared<A: Aggregate> {
    /// Of the installation.
    pub codec: &'static Codec,
    /// For the journal.
    pub producer: Producer,
    /// Where outcomes go.
    pub router: Router,
    /// Views and keys.
    pub surroundings: Arc<dyn Surroundings<A>>,
    /// Whose partitions are whose.
    pub ownership: Ownership,
    /// Of the commands topic.
    pub commands: Reader,
    /// Of the journal.
    pub journal: Reader,
    /// Of the signals topic, if the aggregate has one.
    pub signals: Option<Reader>,
    /// What an owner may keep and how often it does what.
    pub options: Options,
}

/// What an owner may keep and how often it does what.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Partitions of the journal.
    pub partitions: i32,
    /// The most commands decided at a time.
    pub batch_commands: usize,
    /// How long a load may take before its commands are answered `unavailable`.
    pub load_timeout: Duration,
    /// How often marks are sent and offsets committed.
    pub commit_interval: Duration,
    /// See [`OwnerLimits`].
    pub limits: OwnerLimits,
}

/// The most appends in flight in a partition: what a lost batch costs to do again.
const MAX_IN_FLIGHT: usize = 2_000;
/// After a load failed, how long cold aggregates are answered `unavailable` at once.
const BREAKER: Duration = Duration::from_millis(500);
/// How often an idle owner looks whether somebody else wrote to its journal.
const LOOK: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_secs(30);
/// A signal older than this is dropped.
const SIGNAL_MAX_AGE_MS: i64 = 5_000;
/// Typing is not shown in larger conversations.
const SIGNAL_MAX_MEMBERS: usize = 256;

/// Why an owner stops. It is started again from what is committed, as long as the partition is this process'.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The journal cannot be understood.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record of the journal cannot be understood.
    #[error("journal record at offset {offset} cannot be understood: {reason}")]
    Record {
        /// Where.
        offset: i64,
        /// Why.
        reason: String,
    },
    /// Kafka is away or full.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A defect.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Deliveries cannot be sent.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The group refuses: somebody else owns the partition.
    #[error("cannot commit")]
    Commit(#[source] rdkafka::error::KafkaError),
    /// What was committed cannot be read.
    #[error("the committed metadata of partition {0} cannot be read")]
    Metadata(i32),
    /// The view is older than what the owner still has; it must read more of the journal.
    #[error("the view is at offset {view}, before {kept}, the first that is kept in memory")]
    ViewTooOld {
        /// Its checkpoint.
        view: i64,
        /// First offset of the tail.
        kept: i64,
    },
    /// Keys cannot be made.
    #[error("cannot prepare a command")]
    Prepare(#[source] anyhow::Error),
    /// The table of sessions cannot be read.
    #[error("cannot read the sessions")]
    Sessions(#[source] anyhow::Error),
}

/// Committed with the offset: how far the journal was, and which owner it was.
#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    term: i64,
    epoch: i32,
    next_offset: i64,
    id: EventId,
    offset: i64,
    index: i64,
    cause_offset: i64,
}

impl Metadata {
    fn new(term: i64, head: Head) -> Self {
        let Head { epoch, next_offset, id, offset, index, cause_offset } = head;
        Self { term, epoch, next_offset, id, offset, index, cause_offset }
    }

    fn head(&self) -> Head {
        let Self { epoch, next_offset, id, offset, index, cause_offset, .. } = *self;
        Head { epoch, next_offset, id, offset, index, cause_offset }
    }
}

/// How far the journal was when an owner committed with this metadata.
pub fn committed_head(metadata: &str) -> Option<Head> {
    serde_json::from_str::<Metadata>(metadata).ok().map(|metadata| metadata.head())
}

struct Delivering {
    command_offset: i64,
    head: Head,
    appending: VecDeque<Appending>,
}

/// An owned partition.
pub struct Partition<A: Aggregate> {
    shared: Arc<Shared<A>>,
    partition: i32,
    owner: Owner<A>,
    commands: Records,
    signals: Option<Records>,
    /// Read and not decided.
    todo: VecDeque<Again<A>>,
    /// Reports of the chain in flight, oldest first.
    reports: VecDeque<Appending>,
    /// Settled, and its audience not known yet: their states could not be loaded.
    held: VecDeque<Outcome<A>>,
    /// Sent, and not known to be durable.
    delivering: VecDeque<Delivering>,
    progress: Progress,
    committed: i64,
    mark: Mark,
    broken_until: Option<Instant>,
    looked: Instant,
    swept: Instant,
    /// The newest append time of a command.
    now: Timestamp,
}

impl<A: Aggregate> Partition<A> {
    /// Takes the partition over: fences the last owner's commits, reads the sessions to their end, and the journal from the lower of what
    /// was committed and the view's checkpoint.
    ///
    /// # Errors
    /// See [`PartitionError`].
    pub async fn open(shared: Arc<Shared<A>>, partition: i32) -> Result<Self, PartitionError> {
        let (offset, head, term) = take_term(&shared, partition).await?;
        shared.router.sessions.read_to_end_now().await.map_err(|error| PartitionError::Sessions(error.into()))?;
        let sessions_from = shared.router.sessions.offset();
        let start = match shared.surroundings.view_head(partition).await {
            Ok(view) if view.next_offset < head.next_offset => view,
            Ok(_) => head,
            Err(error) => {
                tracing::warn!(journal = A::JOURNAL, partition, %error, "the view is away; cold aggregates are unavailable");
                head
            }
        };
        // Checks that the journal is the one that was committed for.
        drop(journal::JournalReader::open(&shared.journal, shared.codec, A::JOURNAL, partition, start).await?);
        let commands = shared.commands.read(partition, offset).await?;
        let signals = match &shared.signals {
            Some(reader) => Some(reader.read(partition, reader.ends(partition).await?.high).await?),
            None => None,
        };
        let routed_from = head.next_offset;
        let mark = Mark {
            partition,
            epoch: head.epoch,
            term,
            sessions_from,
            routed_from,
            sessions_offset: sessions_from,
            reached_offset: routed_from,
        };
        let owner = Owner::new(shared.codec, partition, start, shared.options.limits);
        let now = Instant::now();
        let mut this = Self {
            shared,
            partition,
            owner,
            commands,
            signals,
            todo: VecDeque::new(),
            reports: VecDeque::new(),
            held: VecDeque::new(),
            delivering: VecDeque::new(),
            progress: Progress::new(offset, head),
            committed: offset,
            mark,
            broken_until: None,
            looked: now,
            swept: now,
            now: Timestamp::default(),
        };
        this.read_hole().await?;
        // What was committed is delivered; it was read only for the tail.
        let settled = this.owner.take_outcomes().into_iter();
        this.held =
            settled.filter(|o| o.accepted.as_ref().is_some_and(|counted| counted.offset >= routed_from)).collect();
        tracing::info!(journal = A::JOURNAL, partition, term, redelivered = this.held.len(), "partition taken over");
        Ok(this)
    }

    /// Works until `stop`, then finishes what has begun.
    ///
    /// # Errors
    /// See [`PartitionError`].
    pub async fn run(mut self, stop: &CancellationToken) -> Result<(), PartitionError> {
        let mut ticks = tokio::time::interval(self.shared.options.commit_interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let sessions = Arc::clone(&self.shared.router.sessions);
        let mut arrivals = sessions.new_sessions();
        loop {
            self.deliver().await?;
            let idle = self.owner.in_flight() < MAX_IN_FLIGHT;
            let batch = self.shared.options.batch_commands;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                report = next_report(&mut self.reports), if !self.reports.is_empty() => drop(self.report(report).await?),
                _ = ticks.tick() => self.tick().await?,
                Ok(()) = arrivals.changed() => drop(self.send_marks()?),
                fetched = self.commands.next(batch), if idle => self.take(fetched?).await?,
                fetched = next_signals(&mut self.signals), if self.signals.is_some() => self.signal(fetched?).await?,
            }
            self.work().await?;
        }
        self.drain().await
    }

    async fn drain(&mut self) -> Result<(), PartitionError> {
        while !self.reports.is_empty() {
            let report = next_report(&mut self.reports).await;
            self.report(report).await?;
            self.deliver().await?;
        }
        while let Some(delivering) = self.delivering.front_mut() {
            for appending in delivering.appending.drain(..) {
                appending.await?;
            }
            self.settle_delivered()?;
        }
        self.commit().await
    }

    /// Decodes commands. One that cannot be becomes a dead letter, and the partition moves on.
    async fn take(&mut self, fetched: Vec<Fetched>) -> Result<(), PartitionError> {
        for fetched in fetched {
            self.now = self.now.max(fetched.timestamp);
            let command = A::command(self.shared.codec, &fetched).and_then(|command| {
                let key = command.aggregate.to_string();
                let home = crate::log::partition_of(key.as_bytes(), self.shared.options.partitions);
                if home == self.partition { Ok(command) } else { Err(format!("the key belongs into partition {home}")) }
            });
            match command {
                Ok(command) => self.todo.push_back(Again::Decide(command)),
                Err(reason) => {
                    let offset = fetched.offset;
                    self.bury(fetched, reason).await?;
                    self.todo.push_back(Again::Skip(offset));
                }
            }
        }
        Ok(())
    }

    async fn bury(&self, fetched: Fetched, reason: String) -> Result<(), PartitionError> {
        tracing::warn!(
            topic = A::COMMANDS,
            partition = self.partition,
            offset = fetched.offset,
            reason,
            "command is a dead letter"
        );
        metrics::counter!("tidings_dead_letters_total", "topic" => A::COMMANDS).increment(1);
        let key = format!("{}/{}/{}", A::COMMANDS, self.partition, fetched.offset);
        let (topic, at) = (A::COMMANDS.to_owned(), fetched.timestamp);
        let Fetched { partition, offset, key: was_key, value, .. } = fetched;
        let letter = DeadLetter { topic, partition, offset, reason, key: was_key, value, at };
        let value = self.shared.codec.encode(&letter)?;
        self.shared.producer.append(topics::DEAD_LETTERS, 0, key.as_bytes(), Some(&value))?.await?;
        Ok(())
    }

    /// Decides what is to do, in order.
    async fn work(&mut self) -> Result<(), PartitionError> {
        while !self.todo.is_empty() && self.owner.in_flight() < MAX_IN_FLIGHT {
            let batch = self.todo.len().min(self.shared.options.batch_commands);
            if self.warm_batch(batch).await? == Chain::Mended {
                // Older commands have come back to the front.
                continue;
            }
            for _ in 0..batch {
                let Some(next) = self.todo.pop_front() else { break };
                match next {
                    Again::Skip(offset) => self.owner.skip(offset),
                    Again::Decide(command) => self.decide(command).await?,
                }
            }
        }
        Ok(())
    }

    async fn decide(&mut self, mut command: Command<A>) -> Result<(), PartitionError> {
        let exists = self.owner.state(command.aggregate).is_some();
        self.shared.surroundings.prepare(exists, &mut command).await.map_err(PartitionError::Prepare)?;
        metrics::counter!("tidings_commands_total", "topic" => A::COMMANDS).increment(1);
        if let Some(record) = self.owner.decide(command)? {
            let value = self.shared.codec.encode(&*record)?;
            let key = record.aggregate.as_bytes();
            self.reports.push_back(self.shared.producer.append(A::JOURNAL, self.partition, key, Some(&value))?);
        }
        Ok(())
    }

    async fn warm_batch(&mut self, batch: usize) -> Result<Chain, PartitionError> {
        let mut ids = HashSet::new();
        let mut sends = Vec::new();
        for again in self.todo.iter().take(batch) {
            let Again::Decide(command) = again else { continue };
            if !self.owner.is_hot(command.aggregate) {
                ids.insert(command.aggregate);
            }
            if let Some((user, client_id)) = A::old_send(self.owner.state(command.aggregate), &command.input) {
                ids.insert(command.aggregate);
                sends.push((user, command.aggregate, client_id));
            }
        }
        self.warm(&ids.into_iter().collect::<Vec<_>>(), &sends).await
    }

    /// Brings states into memory, if the view can give them in time.
    async fn warm(&mut self, ids: &[A::Id], sends: &[(UserId, A::Id, Uuid)]) -> Result<Chain, PartitionError> {
        if ids.is_empty() || self.broken_until.is_some_and(|until| Instant::now() < until) {
            return Ok(Chain::Whole);
        }
        let recent_since = self.now.plus(-2 * RECENT_SENDS_MS);
        let load = self.shared.surroundings.load(self.partition, ids, sends, recent_since);
        let mut loaded = match tokio::time::timeout(self.shared.options.load_timeout, load).await {
            Ok(Ok(loaded)) => loaded,
            failed => {
                let error = failed.map_or_else(
                    |_| "it took too long".to_owned(),
                    |f| f.map_or_else(|e| e.to_string(), |_| String::new()),
                );
                tracing::warn!(
                    journal = A::JOURNAL,
                    partition = self.partition,
                    aggregates = ids.len(),
                    error,
                    "cannot load from the view"
                );
                self.broken_until = Some(Instant::now() + BREAKER);
                return Ok(Chain::Whole);
            }
        };
        // The projector may have applied what our own reports have not told us yet.
        let mut chain = Chain::Whole;
        while loaded.head.next_offset > self.owner.head().next_offset {
            if self.reports.is_empty() {
                self.read_hole().await?;
            } else {
                let report = next_report(&mut self.reports).await;
                if self.report(report).await? == Chain::Mended {
                    chain = Chain::Mended;
                }
            }
        }
        let (view, kept) = (loaded.head.next_offset, self.owner.tail_from());
        if view < kept {
            return Err(PartitionError::ViewTooOld { view, kept });
        }
        for id in ids {
            let state = loaded.states.remove(id);
            if !self.owner.is_hot(*id) {
                self.owner.warm(*id, state, view);
            } else if let (Some(known), Some(loaded)) = (self.owner.state_mut(*id), state) {
                A::recall(known, loaded);
            }
        }
        self.owner.view_reached(view);
        Ok(chain)
    }

    async fn report(&mut self, report: Result<i64, AppendError>) -> Result<Chain, PartitionError> {
        let outcome = match &report {
            Ok(offset) => self.owner.reported(*offset),
            Err(_) => Err(ChainBroken),
        };
        if outcome == Err(ChainBroken) {
            let report = report.map_err(|error| error.to_string());
            tracing::warn!(
                journal = A::JOURNAL,
                partition = self.partition,
                ?report,
                "the chain is broken; reading what others wrote"
            );
            self.mend().await?;
            return Ok(Chain::Mended);
        }
        while let Some(Some(Ok(appended))) = self.reports.front_mut().map(FutureExt::now_or_never) {
            self.reports.pop_front();
            if self.owner.reported(appended.offset).is_err() {
                self.mend().await?;
                return Ok(Chain::Mended);
            }
        }
        Ok(Chain::Whole)
    }

    async fn mend(&mut self) -> Result<(), PartitionError> {
        metrics::counter!("tidings_journal_chain_breaks_total", "journal" => A::JOURNAL).increment(1);
        self.reports.clear();
        for again in self.owner.give_up().into_iter().rev() {
            self.todo.push_front(again);
        }
        self.read_hole().await
    }

    /// Reads the journal from the head to its present end, and adopts what counts. Nothing may be in flight.
    async fn read_hole(&mut self) -> Result<(), PartitionError> {
        let end = self.shared.journal.ends(self.partition).await?.high;
        if end <= self.owner.head().next_offset {
            return Ok(());
        }
        let mut records = self.shared.journal.read(self.partition, self.owner.head().next_offset).await?;
        while self.owner.head().next_offset < end {
            for fetched in records.next(MAX_IN_FLIGHT).await? {
                let record = journal::decode(self.shared.codec, A::JOURNAL, &fetched)?;
                let understood = self.owner.adopt(fetched.offset, record);
                understood.map_err(|reason| PartitionError::Record { offset: fetched.offset, reason })?;
            }
        }
        Ok(())
    }

    /// Sends on what is settled, in order.
    async fn deliver(&mut self) -> Result<(), PartitionError> {
        self.held.extend(self.owner.take_outcomes());
        while let Some(outcome) = self.held.front() {
            if matches!(outcome.audience, super::owner::Audience::Unknown) && !self.find_audience().await? {
                break;
            }
            let Some(outcome) = self.held.pop_front() else { break };
            let appending = self.shared.router.route(self.partition, &outcome)?.into();
            self.delivering.push_back(Delivering {
                command_offset: outcome.command_offset,
                head: outcome.head,
                appending,
            });
        }
        self.settle_delivered()
    }

    /// Finds who hears of the oldest held outcome. Whether it could.
    async fn find_audience(&mut self) -> Result<bool, PartitionError> {
        let Some((id, recorded)) = self.held.front().and_then(|outcome| {
            let recorded = outcome.accepted.as_ref().and_then(|counted| counted.recorded.clone());
            Some((outcome.aggregate?, recorded))
        }) else {
            return Ok(true);
        };
        if !self.owner.is_hot(id) {
            let ids: HashSet<A::Id> = self.held.iter().filter_map(|outcome| outcome.aggregate).collect();
            let cold: Vec<_> = ids.into_iter().filter(|id| !self.owner.is_hot(*id)).collect();
            self.warm(&cold, &[]).await?;
        }
        let audience = self.owner.audience(id, recorded.as_deref());
        let found = audience.is_some();
        if let (Some(audience), Some(outcome)) = (audience, self.held.front_mut()) {
            outcome.audience = audience;
        }
        Ok(found)
    }

    fn settle_delivered(&mut self) -> Result<(), PartitionError> {
        while let Some(delivering) = self.delivering.front_mut() {
            while let Some(result) = delivering.appending.front_mut().and_then(FutureExt::now_or_never) {
                result?;
                delivering.appending.pop_front();
            }
            if !delivering.appending.is_empty() {
                break;
            }
            self.progress.settle(delivering.command_offset, delivering.head);
            self.delivering.pop_front();
        }
        Ok(())
    }

    async fn tick(&mut self) -> Result<(), PartitionError> {
        self.settle_delivered()?;
        if self.owner.in_flight() == 0 && self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.read_hole().await?;
            if let Ok(view) = self.shared.surroundings.view_head(self.partition).await {
                self.owner.view_reached(view.next_offset.min(self.owner.head().next_offset));
            }
        }
        if self.swept.elapsed() >= SWEEP {
            self.swept = Instant::now();
            self.owner.sweep(self.now.plus(-2 * RECENT_SENDS_MS));
        }
        self.commit().await
    }

    fn send_marks(&mut self) -> Result<Vec<Appending>, PartitionError> {
        // What was adopted a moment ago is not routed yet, and must not be marked as reached.
        self.held.extend(self.owner.take_outcomes());
        let held = self.held.iter().find_map(|outcome| outcome.accepted.as_ref().map(|counted| counted.offset));
        self.mark.sessions_offset = self.shared.router.sessions.offset();
        self.mark.reached_offset = held.unwrap_or(self.owner.head().next_offset);
        if self.shared.signals.is_none() {
            // Only what sockets hear of is waited for.
            return Ok(Vec::new());
        }
        Ok(self.shared.router.mark(A::JOURNAL, self.mark)?)
    }

    /// Marks first, so that no gateway believes less to be covered than what the next owner starts from.
    async fn commit(&mut self) -> Result<(), PartitionError> {
        for appending in self.send_marks()? {
            appending.await?;
        }
        let undecided = match self.todo.front() {
            Some(Again::Decide(command)) => command.offset,
            Some(Again::Skip(offset)) => *offset,
            None => self.commands.next_offset(),
        };
        let (offset, head) = self.progress.point(undecided);
        if offset > self.committed {
            commit(&self.shared, self.partition, offset, &Metadata::new(self.mark.term, head)).await?;
            self.committed = offset;
            self.owner.committed(offset);
        }
        Ok(())
    }

    async fn signal(&mut self, fetched: Vec<Fetched>) -> Result<(), PartitionError> {
        let fresh = Timestamp::now().plus(-SIGNAL_MAX_AGE_MS);
        let decode = |f: Fetched| self.shared.codec.decode::<Signal>(f.value.as_deref().unwrap_or_default()).ok();
        let signals: Vec<_> = fetched.into_iter().filter_map(decode).filter(|signal| signal.at >= fresh).collect();
        let parsed: Vec<_> =
            signals.iter().filter_map(|s| Some((A::id(&s.conversation.to_string()).ok()?, s))).collect();
        let cold: Vec<_> = parsed.iter().map(|(id, _)| *id).filter(|id| !self.owner.is_hot(*id)).collect();
        self.warm(&cold, &[]).await?;
        for (id, signal) in parsed {
            if let Some(roster) =
                self.owner.roster(id).filter(|r| r.len() <= SIGNAL_MAX_MEMBERS && r.contains(&signal.actor))
            {
                self.shared.router.signal(signal, &roster)?;
            }
        }
        Ok(())
    }
}

/// Whether the chain in flight is still the one that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chain {
    Whole,
    Mended,
}

async fn next_report(reports: &mut VecDeque<Appending>) -> Result<i64, AppendError> {
    let Some(report) = reports.front_mut() else { return std::future::pending().await };
    let report = report.await;
    reports.pop_front();
    report.map(|appended| appended.offset)
}

async fn next_signals(signals: &mut Option<Records>) -> Result<Vec<Fetched>, ReadError> {
    match signals {
        Some(records) => records.next(MAX_IN_FLIGHT).await,
        None => std::future::pending().await,
    }
}

async fn commit<A: Aggregate>(
    shared: &Shared<A>,
    partition: i32,
    offset: i64,
    metadata: &Metadata,
) -> Result<(), PartitionError> {
    let metadata = serde_json::to_string(metadata).map_err(|_| PartitionError::Metadata(partition))?;
    let commits = HashMap::from([(partition, (offset, metadata))]);
    shared.ownership.commit(commits).await.map_err(PartitionError::Commit)
}

/// What the last owner committed, and a term higher than its own, committed too: from then on its commits are refused by the group, and
/// its marks by the gateways.
async fn take_term<A: Aggregate>(shared: &Shared<A>, partition: i32) -> Result<(i64, Head, i64), PartitionError> {
    let committed = shared.ownership.committed(partition).await.map_err(PartitionError::Commit)?;
    let (offset, head, term) = match committed.offset {
        Some(offset) => {
            let metadata: Metadata =
                serde_json::from_str(&committed.metadata).map_err(|_| PartitionError::Metadata(partition))?;
            (offset, metadata.head(), metadata.term + 1)
        }
        None => (shared.commands.ends(partition).await?.low, Head::default(), 1),
    };
    commit(shared, partition, offset, &Metadata::new(term, head)).await?;
    Ok((offset, head, term))
}
