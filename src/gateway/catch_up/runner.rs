//! Reads snapshots for the sessions that are ready, many with one query.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::book::{Cohort, MarkBook, Target};
use super::cursor::Cursor;
use crate::codec::records::Marks;
use crate::domain::{SessionId, TenantId, UserId};

/// Between two looks at the views' checkpoints, while somebody waits for them.
const POLL: Duration = Duration::from_millis(10);
/// After the views were away.
const RETRY: Duration = Duration::from_millis(250);
/// Sessions read at once; more wait for the next read. Bounds what is in memory.
const MAX_COHORT: usize = 500;

/// The views cannot be read: they are asked again.
#[derive(Debug, thiserror::Error)]
#[error("the views cannot be read")]
pub struct ViewsAway(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// How far the views are in a partition of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewCheckpoint {
    /// Of the journal.
    pub epoch: i32,
    /// First offset not applied.
    pub next_offset: i64,
    /// Index of the last accepted record applied.
    pub index: i64,
}

/// Whose changes are wanted.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The user's.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// What changed after these indexes, one a partition; none: the newest 100.
    pub since: Option<Arc<[i64]>>,
}

/// What was read at one moment.
#[derive(Debug)]
pub struct Snapshot<R> {
    /// How far the views were, one a partition.
    pub checkpoints: Vec<ViewCheckpoint>,
    /// For each that was asked, in that order.
    pub changes: Vec<Changes<R>>,
}

/// What changed for one.
#[derive(Debug)]
pub struct Changes<R> {
    /// Conversations.
    pub rows: Vec<R>,
    /// Whether these are the newest instead, because there were too many.
    pub reset: bool,
}

/// The views that an inbox is read from.
#[async_trait]
pub trait InboxViews: Send + Sync + 'static {
    /// A conversation as one of its members sees it.
    type Row: Send + 'static;
    /// How far the views are, one a partition of the journal in order. Cheap: asked every 10 ms while somebody waits.
    async fn checkpoints(&self) -> Result<Vec<ViewCheckpoint>, ViewsAway>;
    /// Changes for many, with the checkpoints, in one snapshot of the database.
    async fn inbox_changes(&self, asked: &[Asked]) -> Result<Snapshot<Self::Row>, ViewsAway>;
}

/// What could not be read.
enum Unread {
    /// Not even how far the views are: it is nothing about these sessions.
    Views(ViewsAway),
    /// The changes of these sessions.
    Changes(ViewsAway),
}

/// What a session is told.
#[derive(Debug)]
pub struct Caught<R> {
    /// One `inbox.changed` each.
    pub rows: Vec<R>,
    /// Of `caught_up`.
    pub cursor: String,
    /// Of `caught_up`: the rows are the newest, not the changes since the client's cursor.
    pub reset: bool,
}

/// Takes what sessions are told after their first `caught_up`: a new owner may have left them out of something.
pub trait CatchUpSink<R>: Send + Sync + 'static {
    /// Write `inbox.changed` for each row, then `caught_up` again. The session may be gone.
    fn caught_up_again(&self, user: UserId, session: SessionId, caught: Caught<R>);
}

/// A session that said `hello` and whose record is in `sessions`.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The user's.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// Which.
    pub session: SessionId,
    /// Where its record stands. It must have been getting pushes since before that was appended.
    pub registered_at: i64,
    /// As the client sent it.
    pub cursor: Option<String>,
}

struct Member<R> {
    tenant: TenantId,
    user: UserId,
    base: Option<Cursor>,
    /// Until the first time.
    first: Option<oneshot::Sender<Caught<R>>>,
}

struct Inner<R> {
    book: MarkBook,
    /// What could not be read together, and is read in halves; what cannot be read alone is tried again in its turn. Each
    /// session is in one at most that is still wanted.
    aside: VecDeque<Cohort>,
    members: HashMap<SessionId, Member<R>>,
}

impl<R> Inner<R> {
    /// Tells how many are not caught up.
    fn tell(&self) {
        metrics::gauge!("tidings_gateway_catch_ups_waiting").set(self.book.behind() as f64);
    }
}

/// The catching up of one gateway incarnation's sessions. A new incarnation makes a new one.
pub struct CatchUp<V: InboxViews> {
    views: V,
    sink: Arc<dyn CatchUpSink<V::Row>>,
    journal: &'static str,
    partitions: usize,
    inner: Mutex<Inner<V::Row>>,
    changed: Notify,
    put_aside: Notify,
}

impl<V: InboxViews> CatchUp<V> {
    /// For `journal`, which has so many partitions. Does nothing until [`CatchUp::run`].
    pub fn new(views: V, sink: Arc<dyn CatchUpSink<V::Row>>, journal: &'static str, partitions: usize) -> Self {
        let inner =
            Mutex::new(Inner { book: MarkBook::new(partitions), aside: VecDeque::new(), members: HashMap::new() });
        Self { views, sink, journal, partitions, inner, changed: Notify::new(), put_aside: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<V::Row>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the session is told first; none if it was unregistered before. Later ones go to the sink, until it is unregistered.
    pub async fn catch_up(&self, joined: Joined) -> Option<Caught<V::Row>> {
        let (first, caught) = oneshot::channel();
        {
            let mut inner = self.lock();
            let base = joined.cursor.as_deref().and_then(|text| Cursor::decode(text, self.partitions));
            let member = Member { tenant: joined.tenant, user: joined.user, base, first: Some(first) };
            inner.members.insert(joined.session, member);
            inner.book.register(joined.session, joined.registered_at);
            inner.tell();
        }
        self.changed.notify_one();
        let began = Instant::now();
        let caught = caught.await.ok()?;
        metrics::histogram!("tidings_gateway_catch_up_seconds").record(began.elapsed().as_secs_f64());
        Some(caught)
    }

    /// The session is over. To be called for each that was caught up, and for each whose `catch_up` was dropped.
    pub fn unregister(&self, session: SessionId) {
        let mut inner = self.lock();
        inner.members.remove(&session);
        inner.book.unregister(session);
        inner.tell();
    }

    /// What owners have seen. To be called after all deliveries before it were pushed; marks for other incarnations are not for us.
    pub fn marks(&self, marks: &Marks) {
        if marks.journal != self.journal {
            return;
        }
        let again: usize = {
            let mut inner = self.lock();
            let again = marks.marks.iter().map(|mark| inner.book.mark(mark)).sum();
            inner.tell();
            again
        };
        if again > 0 {
            tracing::info!(sessions = again, "a partition has a new owner; sessions are caught up again");
        }
        self.changed.notify_one();
    }

    /// How many sessions wait for owners that know them.
    pub fn waiting(&self) -> usize {
        self.lock().book.waiting()
    }

    /// Catches sessions up until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        self.lock().tell();
        shutdown.run_until_cancelled(self.work()).await;
    }

    async fn work(&self) {
        tokio::join!(self.read_ready(), self.read_aside());
    }

    async fn read_ready(&self) {
        loop {
            let cohort = self.lock().book.ready(MAX_COHORT);
            match cohort {
                Some(cohort) => match self.read(&cohort).await {
                    Ok(()) => {}
                    Err(error) => self.put_aside(cohort, &error),
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// Beside the others: one session whose changes cannot be read (too many, say, for the time of a statement) holds up nobody
    /// for longer than it takes to find it among those that were read with it.
    async fn read_aside(&self) {
        loop {
            let cohort = self.lock().aside.pop_front();
            let Some(cohort) = cohort else {
                self.put_aside.notified().await;
                continue;
            };
            if let Err(error) = self.read(&cohort).await {
                self.put_aside(cohort, &error);
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    fn put_aside(&self, cohort: Cohort, error: &ViewsAway) {
        let sessions = cohort.sessions.len();
        let error = error as &dyn std::error::Error;
        tracing::warn!(error, sessions, first = ?cohort.sessions.first(), "sessions cannot be caught up together; they are tried in halves, beside others");
        let mut inner = self.lock();
        let Cohort { number, sessions, target } = cohort;
        let halves = sessions.chunks(sessions.len().div_ceil(2).max(1));
        inner.aside.extend(halves.map(|half| Cohort { number, sessions: half.to_vec(), target: target.clone() }));
        drop(inner);
        self.put_aside.notify_one();
    }

    /// Waits until the views cover the cohort's target, reads, and tells. Gives up when nobody wants it any more.
    ///
    /// # Errors
    /// If the views can be asked how far they are, but not for these changes.
    async fn read(&self, cohort: &Cohort) -> Result<(), ViewsAway> {
        let mut is_away = false;
        while self.lock().book.is_wanted(cohort) {
            let pause = match self.try_read(cohort).await {
                Ok(true) => return Ok(()),
                Ok(false) => POLL,
                Err(Unread::Changes(error)) => return Err(error),
                Err(Unread::Views(error)) => {
                    if !std::mem::replace(&mut is_away, true) {
                        tracing::warn!(%error, sessions = cohort.sessions.len(), "sessions wait for the views to be caught up");
                    }
                    RETRY
                }
            };
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// Whether the cohort is done with.
    async fn try_read(&self, cohort: &Cohort) -> Result<bool, Unread> {
        let checkpoints = self.views.checkpoints().await.map_err(Unread::Views)?;
        if !covers(&checkpoints, &cohort.target) {
            return Ok(false);
        }
        let epoch = cohort.target.first().map_or(0, |target| target.epoch);
        let (sessions, asked, resets) = self.asked(cohort, epoch);
        let snapshot = self.views.inbox_changes(&asked).await.map_err(Unread::Changes)?;
        // The snapshot counts, not the look before it; and a switch of the views' version may go back.
        if !covers(&snapshot.checkpoints, &cohort.target) || snapshot.changes.len() != sessions.len() {
            return Ok(false);
        }
        let indexes = snapshot.checkpoints.iter().map(|checkpoint| checkpoint.index).collect();
        let cursor = Cursor { epoch, indexes };
        let text = cursor.encode();
        metrics::histogram!("tidings_gateway_catch_up_batch_sessions").record(sessions.len() as f64);
        for ((session, changes), reset) in sessions.into_iter().zip(snapshot.changes).zip(resets) {
            let caught = Caught { rows: changes.rows, cursor: text.clone(), reset: changes.reset || reset };
            self.tell(session, cohort, &cursor, caught);
        }
        Ok(true)
    }

    /// Those of the cohort that still want it, what they ask, and whether they start anew.
    fn asked(&self, cohort: &Cohort, epoch: i32) -> (Vec<SessionId>, Vec<Asked>, Vec<bool>) {
        let inner = self.lock();
        let (mut sessions, mut asked, mut resets) = (Vec::new(), Vec::new(), Vec::new());
        for session in &cohort.sessions {
            let Some(member) = inner.members.get(session) else { continue };
            // Indexes of another epoch count something else.
            let since = member.base.as_ref().filter(|base| base.epoch == epoch).map(|base| Arc::clone(&base.indexes));
            sessions.push(*session);
            resets.push(since.is_none());
            asked.push(Asked { tenant: member.tenant, user: member.user, since });
        }
        (sessions, asked, resets)
    }

    fn tell(&self, session: SessionId, cohort: &Cohort, cursor: &Cursor, caught: Caught<V::Row>) {
        let mut inner = self.lock();
        if !inner.book.caught_up(session, cohort) {
            return;
        }
        inner.tell();
        let Some(member) = inner.members.get_mut(&session) else { return };
        member.base = Some(cursor.clone());
        let user = member.user;
        match member.first.take() {
            // Whoever waited is gone if this fails, and unregisters.
            Some(first) => drop(first.send(caught)),
            None => {
                drop(inner);
                self.sink.caught_up_again(user, session, caught);
            }
        }
    }
}

fn covers(checkpoints: &[ViewCheckpoint], target: &[Target]) -> bool {
    checkpoints.len() == target.len()
        && checkpoints
            .iter()
            .zip(target)
            .all(|(at, target)| at.epoch == target.epoch && at.next_offset >= target.next_offset)
}
