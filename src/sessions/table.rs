//! Topic `sessions` in memory, kept up by a task that reads it from its beginning and then tails it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::entry::{Entry, EntryError};
use super::roster::{Gateway, Gateways, Known, Roster, SessionOf};
use crate::codec::Codec;
use crate::domain::{IncarnationId, UserId};
use crate::log::{Ends, Fetched, ReadError, Reader, Records, topics};

/// How long nothing is heard of a gateway, which renews its claim every [`RENEWAL`], until it is overdue.
pub const OVERDUE: Duration = Duration::from_secs(10);
/// How often a gateway renews its claim.
pub const RENEWAL: Duration = Duration::from_secs(2);
/// The topic is an order of claims: it has one partition.
pub const PARTITION: i32 = 0;
/// Records folded under one lock.
const BATCH: usize = 256;
/// Before reading is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// Why the table does not know, or no more, who is where.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Kafka is away, or the topic was trimmed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What the topic holds is not ours, or of a newer version.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The reading ended; the log says why.
    #[error("`sessions` is not read any more")]
    Ended,
}

struct State {
    roster: Roster,
    lost: HashMap<IncarnationId, CancellationToken>,
}

/// The table, while it is looked at.
pub struct Look<'a> {
    roster: &'a Roster,
    overdue: Duration,
    now: Instant,
}

impl Look<'_> {
    /// As [`SessionTable::gateways_of`].
    pub fn gateways_of(&self, user: UserId) -> Gateways {
        self.roster.gateways_of(user)
    }

    /// As [`SessionTable::is_overdue`].
    pub fn is_overdue(&self, incarnation: IncarnationId) -> bool {
        self.roster.is_overdue(incarnation, self.overdue, self.now)
    }
}

/// Who is connected where. Look-ups are short reads under a lock that is never held across an await.
pub struct SessionTable {
    state: RwLock<State>,
    reader: Reader,
    overdue: Duration,
    /// First offset not read: published after the records before it count.
    offset: watch::Sender<i64>,
    arrivals: watch::Sender<u64>,
    gateways: watch::Sender<u64>,
    ended: CancellationToken,
}

impl SessionTable {
    /// Reads `sessions` to its end, then keeps reading in the background until `shutdown`.
    ///
    /// # Errors
    /// If the topic cannot be read or understood.
    pub async fn start(
        client: &ClientConfig,
        codec: &'static Codec,
        shutdown: CancellationToken,
    ) -> Result<Arc<Self>, TableError> {
        Self::start_with(client, codec, OVERDUE, shutdown).await
    }

    /// As [`SessionTable::start`], with another patience than [`OVERDUE`].
    ///
    /// # Errors
    /// If the topic cannot be read or understood.
    pub async fn start_with(
        client: &ClientConfig,
        codec: &'static Codec,
        overdue: Duration,
        shutdown: CancellationToken,
    ) -> Result<Arc<Self>, TableError> {
        let reader = Reader::new(client, topics::SESSIONS)?;
        let Ends { low, high } = reader.ends(PARTITION).await?;
        let mut records = reader.read(PARTITION, low).await?;
        let table = Arc::new(Self {
            state: RwLock::new(State { roster: Roster::default(), lost: HashMap::new() }),
            reader,
            overdue,
            offset: watch::Sender::new(low),
            arrivals: watch::Sender::new(0),
            gateways: watch::Sender::new(0),
            ended: CancellationToken::new(),
        });
        while !records.at_end() && records.next_offset() < high {
            let fetched = records.next(BATCH).await?;
            table.fold(codec, &fetched, records.next_offset())?;
        }
        // Compaction may have taken the last records, so that none ever comes from the end.
        table.offset.send_if_modified(|offset| std::mem::replace(offset, high.max(*offset)) < high);
        let task = Arc::clone(&table);
        tokio::spawn(async move {
            tokio::select! {
                () = task.tail(codec, records) => {}
                () = shutdown.cancelled() => {}
            }
            task.ended.cancel();
        });
        Ok(table)
    }

    /// Returns when it can read no more.
    async fn tail(&self, codec: &'static Codec, mut records: Records) {
        loop {
            let failed = match records.next(BATCH).await {
                Ok(fetched) => match self.fold(codec, &fetched, records.next_offset()) {
                    Ok(()) => continue,
                    Err(error) => return tracing::error!(%error, "reading the sessions stops"),
                },
                Err(error) => error,
            };
            tracing::warn!(error = %failed, "reading the sessions again");
            records = loop {
                tokio::time::sleep(RETRY).await;
                match self.reader.read(PARTITION, self.offset()).await {
                    Ok(records) => break records,
                    Err(error @ ReadError::OutOfRange { .. }) => {
                        return tracing::error!(%error, "reading the sessions stops");
                    }
                    Err(_) => {}
                }
            };
        }
    }

    fn fold(&self, codec: &Codec, fetched: &[Fetched], next_offset: i64) -> Result<(), EntryError> {
        let entries = decode(codec, fetched)?;
        let (mut arrived, mut holders) = (false, false);
        {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            for (record, entry) in fetched.iter().zip(entries) {
                let Some(entry) = entry else { continue };
                let folded = state.roster.fold(record.offset, record.timestamp, entry, now);
                arrived |= folded.arrived.is_some();
                holders |= folded.holders;
                for token in folded.lost.iter().filter_map(|lost| state.lost.remove(lost)) {
                    token.cancel();
                }
            }
        }
        self.offset.send_if_modified(|offset| std::mem::replace(offset, next_offset.max(*offset)) < next_offset);
        if arrived {
            self.arrivals.send_modify(|count| *count += 1);
        }
        if holders {
            self.gateways.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    fn roster<T>(&self, look: impl FnOnce(&Roster) -> T) -> T {
        let state: RwLockReadGuard<'_, State> = self.state.read().unwrap_or_else(PoisonError::into_inner);
        look(&state.roster)
    }

    /// First offset of `sessions` that is not read.
    ///
    /// For marks: take this *before* the recipients of anything at or after the mark's `reached_offset` are looked up. What is looked up
    /// later knows at least every session before it.
    pub fn offset(&self) -> i64 {
        *self.offset.borrow()
    }

    /// Waits until everything before `offset` is read.
    ///
    /// # Errors
    /// If reading has ended.
    pub async fn wait_for(&self, offset: i64) -> Result<(), TableError> {
        let mut read = self.offset.subscribe();
        tokio::select! {
            biased;
            waited = read.wait_for(|read| *read >= offset) => waited.map(drop).map_err(|_| TableError::Ended),
            () = self.ended.cancelled() => Err(TableError::Ended),
        }
    }

    /// Waits until everything is read that the topic holds now. Gives the offset reached.
    ///
    /// # Errors
    /// If the broker does not say what it holds, or reading has ended.
    pub async fn read_to_end_now(&self) -> Result<i64, TableError> {
        let Ends { high, .. } = self.reader.ends(PARTITION).await?;
        self.wait_for(high).await?;
        Ok(self.offset())
    }

    /// The gateways that are sent what is for `user`, each once; none if the user is offline. The overdue are among them.
    pub fn gateways_of(&self, user: UserId) -> Gateways {
        self.roster(|roster| roster.gateways_of(user))
    }

    /// Many look-ups under one lock. Keep them to some thousands: nothing new is read meanwhile.
    pub fn look<T>(&self, look: impl FnOnce(&Look<'_>) -> T) -> T {
        self.roster(|roster| look(&Look { roster, overdue: self.overdue, now: Instant::now() }))
    }

    /// All gateways that hold their partition, the overdue too: what marks are sent to.
    pub fn live_gateways(&self) -> Vec<Gateway> {
        self.roster(|roster| {
            let holding = roster.holding();
            holding.map(|k| Gateway { incarnation: k.claim.incarnation, partition: k.claim.partition }).collect()
        })
    }

    /// Whether nothing was heard of the gateway lately: notify its users as well as sending to it.
    pub fn is_overdue(&self, incarnation: IncarnationId) -> bool {
        self.roster(|roster| roster.is_overdue(incarnation, self.overdue, Instant::now()))
    }

    /// Whether the gateway holds its partition, overdue or not. Sessions of one that does not are dead.
    pub fn holds(&self, incarnation: IncarnationId) -> bool {
        self.roster(|roster| roster.holds(incarnation))
    }

    /// Who holds `partition` of `deliveries`, and whether it is overdue.
    pub fn holder(&self, partition: i32) -> Option<(Known, bool)> {
        self.roster(|roster| {
            let known = *roster.holder(partition)?;
            Some((known, roster.is_overdue(known.claim.incarnation, self.overdue, Instant::now())))
        })
    }

    /// The highest generation that was seen for `partition` of `deliveries`, 0 for none.
    pub fn generation(&self, partition: i32) -> i64 {
        self.roster(|roster| roster.generation(partition))
    }

    /// Those who held `partition`, hold it no more, and were not cleaned up after.
    pub fn superseded(&self, partition: i32) -> Vec<Known> {
        self.roster(|roster| roster.superseded(partition))
    }

    /// Sessions of a gateway, also of a dead one. Looks at all sessions: for cleaning up only.
    pub fn sessions_of(&self, incarnation: IncarnationId) -> Vec<SessionOf> {
        self.roster(|roster| roster.sessions_of(incarnation))
    }

    /// Incarnations that sessions name but that have no claim.
    pub fn orphans(&self) -> Vec<IncarnationId> {
        self.roster(Roster::orphans)
    }

    /// How many sessions are known, of the dead too.
    pub fn sessions(&self) -> usize {
        self.roster(Roster::len)
    }

    /// Changes when sessions have arrived, several at a time: gateways wait for marks that know them.
    pub fn new_sessions(&self) -> watch::Receiver<u64> {
        self.arrivals.subscribe()
    }

    /// Changes when a gateway came or went.
    pub fn gateway_changes(&self) -> watch::Receiver<u64> {
        self.gateways.subscribe()
    }

    /// Cancelled when a record says that `incarnation` is superseded or released, be it for a moment only. Ask before it claims.
    pub fn watch_lost(&self, incarnation: IncarnationId) -> CancellationToken {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.lost.entry(incarnation).or_default().clone()
    }

    /// Ends a watch that nobody waits for any more.
    pub fn forget_lost(&self, incarnation: IncarnationId) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).lost.remove(&incarnation);
    }

    /// Cancelled when the table is not kept up any more.
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }
}

fn decode(codec: &Codec, fetched: &[Fetched]) -> Result<Vec<Option<Entry>>, EntryError> {
    fetched.iter().map(|record| Entry::decode(codec, record)).collect()
}
