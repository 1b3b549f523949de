//! One owned partition: the loop around [`Owner`] that reads commands, loads states, appends, routes, marks and commits.

mod committing;
mod delivering;
mod shared;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::aggregate::{Aggregate, Command};
use super::conversations::RECENT_SENDS_MS;
use super::owner::{Again, ChainBroken, Outcome, Owner};
use super::progress::Progress;
use crate::codec::records::Mark;
use crate::domain::Timestamp;
use crate::log::journal::{self, Head};
use crate::log::{AppendError, Appending, Fetched, ReadError, Records};

use committing::{Looked, take_term, view_head};

pub use committing::committed_head;
pub use shared::{Loaded, Options, PartitionError, Shared, Surroundings};

/// The most appends in flight in a partition: what a lost batch costs to do again.
const MAX_IN_FLIGHT: usize = 2_000;
/// The most appends to gateways and notifications that are not known to be durable: a message to a large group makes thousands.
const MAX_OUTSTANDING: usize = 10_000;
/// After a load failed, how long cold aggregates are answered `unavailable` at once.
const BREAKER: Duration = Duration::from_millis(500);
/// How often an idle owner looks whether somebody else wrote to its journal.
const LOOK: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_secs(30);
/// A signal older than this is dropped.
const SIGNAL_MAX_AGE_MS: i64 = 5_000;

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
    /// Appends in there.
    outstanding: usize,
    progress: Progress,
    committed: i64,
    /// Goes on beside the work: what is being committed, and a look at the journal's end and the view.
    committing: Option<BoxFuture<'static, Result<i64, PartitionError>>>,
    looking: Option<BoxFuture<'static, Result<Looked, PartitionError>>>,
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
        let start = match view_head(&shared, partition).await {
            Some(view) if view.epoch != head.epoch => {
                return Err(PartitionError::Epoch { view: view.epoch, committed: head.epoch });
            }
            Some(view) if view.next_offset < head.next_offset => view,
            Some(_) => head,
            None => {
                tracing::warn!(journal = A::JOURNAL, partition, "the view is away; cold aggregates are unavailable");
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
            outstanding: 0,
            progress: Progress::new(offset, head),
            committed: offset,
            committing: None,
            looking: None,
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
        let worked = self.work_until(stop).await;
        // Whatever becomes of it: one that came after the next owner's first commit would take its term back.
        if let Some(committing) = self.committing.take() {
            drop(committing.await);
        }
        worked
    }

    async fn work_until(&mut self, stop: &CancellationToken) -> Result<(), PartitionError> {
        let mut ticks = tokio::time::interval(self.shared.options.commit_interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let sessions = Arc::clone(&self.shared.router.sessions);
        let mut arrivals = sessions.new_sessions();
        loop {
            self.deliver().await?;
            let crowded = self.outstanding >= MAX_OUTSTANDING;
            let idle = self.owner.in_flight() < MAX_IN_FLIGHT && !crowded;
            let batch = self.shared.options.batch_commands;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                report = next_report(&mut self.reports), if !self.reports.is_empty() => drop(self.report(report).await?),
                committed = done(&mut self.committing) => self.committed(committed)?,
                looked = done(&mut self.looking) => self.looked(looked?).await?,
                delivered = next_delivered(&mut self.delivering), if crowded => self.delivered(delivered?)?,
                _ = ticks.tick() => self.tick()?,
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
        while !self.delivering.is_empty() {
            let delivered = next_delivered(&mut self.delivering).await?;
            self.delivered(delivered)?;
            self.deliver().await?;
        }
        self.finish_commits().await
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
                Err(_) if self.shared.codec.is_asked_for(fetched.value.as_deref().unwrap_or_default()) => {
                    return Err(PartitionError::Asked(fetched.offset));
                }
                Err(reason) => {
                    let offset = fetched.offset;
                    self.bury(fetched, reason).await?;
                    self.todo.push_back(Again::Skip(offset));
                }
            }
        }
        Ok(())
    }

    /// Decides what is to do, in order.
    async fn work(&mut self) -> Result<(), PartitionError> {
        while !self.todo.is_empty() && self.owner.in_flight() < MAX_IN_FLIGHT {
            let batch = self.todo.len().min(self.shared.options.batch_commands);
            // None: older commands have come back to the front.
            let Some(looked_up) = self.warm_batch(batch).await? else { continue };
            for _ in 0..batch {
                let Some(next) = self.todo.pop_front() else { break };
                match next {
                    Again::Skip(offset) => self.owner.skip(offset),
                    Again::Decide(command) => self.decide(command, &looked_up).await?,
                }
            }
        }
        Ok(())
    }

    async fn decide(&mut self, mut command: Command<A>, looked_up: &Lookups<A>) -> Result<(), PartitionError> {
        let exists = self.owner.state(command.aggregate).is_some();
        self.shared.surroundings.prepare(exists, &mut command).await.map_err(PartitionError::Prepare)?;
        metrics::counter!("tidings_commands_total", "topic" => A::COMMANDS).increment(1);
        let mut needed = A::lookups(self.owner.state(command.aggregate), &command.input).into_iter();
        let looked_up = needed.all(|needed| looked_up.contains(&(command.aggregate, needed)));
        if let Some(record) = self.owner.decide(command, looked_up)? {
            let value = self.shared.codec.encode(&*record)?;
            let key = record.aggregate.as_bytes();
            let appending = self.shared.producer.append_patiently(A::JOURNAL, self.partition, key, Some(&value));
            self.reports.push_back(appending.await?);
        }
        Ok(())
    }

    /// Brings into memory what the next commands need. What was looked up with it; none if older commands came back.
    async fn warm_batch(&mut self, batch: usize) -> Result<Option<Lookups<A>>, PartitionError> {
        let mut ids = HashSet::new();
        let mut lookups = HashSet::new();
        for again in self.todo.iter().take(batch) {
            let Again::Decide(command) = again else { continue };
            if !self.owner.is_hot(command.aggregate) {
                ids.insert(command.aggregate);
            }
            let needed = A::lookups(self.owner.state(command.aggregate), &command.input);
            lookups.extend(needed.into_iter().map(|needed| (command.aggregate, needed)));
        }
        let asked: Vec<_> = lookups.iter().copied().collect();
        Ok(match self.warm(&ids.into_iter().collect::<Vec<_>>(), &asked).await? {
            Warmed::Loaded => Some(lookups),
            Warmed::Not => Some(HashSet::new()),
            Warmed::Mended => None,
        })
    }

    /// Brings states into memory, and what is to be looked up of any, if the view can give them in time.
    async fn warm(&mut self, ids: &[A::Id], lookups: &[(A::Id, A::Lookup)]) -> Result<Warmed, PartitionError> {
        if ids.is_empty() && lookups.is_empty() {
            return Ok(Warmed::Loaded);
        }
        if self.broken_until.is_some_and(|until| Instant::now() < until) {
            return Ok(Warmed::Not);
        }
        let recent_since = self.now.plus(-2 * RECENT_SENDS_MS);
        let load = self.shared.surroundings.load(self.partition, ids, lookups, recent_since);
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
                return Ok(Warmed::Not);
            }
        };
        let (view, committed) = (loaded.head.epoch, self.owner.head().epoch);
        if view != committed {
            return Err(PartitionError::Epoch { view, committed });
        }
        // The projector may have applied what our own reports have not told us yet.
        let mut warmed = Warmed::Loaded;
        while loaded.head.next_offset > self.owner.head().next_offset {
            if self.reports.is_empty() {
                let before = self.owner.head().next_offset;
                self.read_hole().await?;
                // A leader that does not know yet how far it is, or a journal that lost its end.
                if self.owner.head().next_offset == before {
                    return Err(PartitionError::ViewAhead { view: loaded.head.next_offset, journal: before });
                }
            } else {
                let report = next_report(&mut self.reports).await;
                if self.report(report).await? == Chain::Mended {
                    warmed = Warmed::Mended;
                }
            }
        }
        let (view, kept) = (loaded.head.next_offset, self.owner.tail_from());
        if view < kept {
            return Err(PartitionError::ViewTooOld { view, kept });
        }
        for id in ids {
            self.owner.warm(*id, loaded.states.remove(id), view);
        }
        self.owner.recall(loaded.found, view);
        self.owner.view_reached(view, &self.held);
        Ok(warmed)
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
}

/// What was looked up.
type Lookups<A> = HashSet<(<A as Aggregate>::Id, <A as Aggregate>::Lookup)>;

/// What a try to load came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Warmed {
    Loaded,
    /// The view is away or slow.
    Not,
    /// Loaded, and meanwhile the chain was mended.
    Mended,
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

/// Waits for the oldest outstanding append. How many are durable now: one, or none where nothing had to be appended.
async fn next_delivered(delivering: &mut VecDeque<Delivering>) -> Result<usize, AppendError> {
    let Some(front) = delivering.front_mut() else { return std::future::pending().await };
    let Some(appending) = front.appending.front_mut() else { return Ok(0) };
    appending.await?;
    front.appending.pop_front();
    Ok(1)
}

/// The result of what goes on beside, if something does.
async fn done<T>(beside: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(going_on) = beside else { return std::future::pending().await };
    let result = going_on.await;
    *beside = None;
    result
}

async fn next_signals(signals: &mut Option<Records>) -> Result<Vec<Fetched>, ReadError> {
    match signals {
        Some(records) => records.next(MAX_IN_FLIGHT).await,
        None => std::future::pending().await,
    }
}
