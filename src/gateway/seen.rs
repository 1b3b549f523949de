//! Read your writes: what a user was told of is in every later read of that user.
//!
//! The journal offset of each reply and delivery is remembered per user; a read first waits until the views have got that far. The
//! checkpoints are asked for only while somebody waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::ports::{Journal, Reads};
use crate::domain::UserId;

const POLL: Duration = Duration::from_millis(10);
/// After a failure to ask: Postgres is away, and need not be asked a hundred times a second.
const POLL_AFTER_FAILURE: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(2);
/// How often what everybody may see by now is forgotten.
const SWEEP: Duration = Duration::from_secs(30);

type Partition = (Journal, i32);
type Applied = HashMap<Partition, i64>;

/// Which partitions a read is about.
#[derive(Clone, Copy, Debug)]
pub enum Scope {
    /// One partition.
    Partition(Journal, i32),
    /// All of them.
    All,
}

/// What users were told of.
pub struct Seen {
    /// For each user the next offset after what it saw of a partition; few, so no map.
    users: DashMap<UserId, Vec<(Partition, i64)>>,
    applied: watch::Sender<Applied>,
    waiters: AtomicUsize,
    wanted: Notify,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            users: DashMap::new(),
            applied: watch::Sender::new(Applied::new()),
            waiters: AtomicUsize::new(0),
            wanted: Notify::new(),
        }
    }
}

struct Waiter<'a>(&'a Seen);

impl<'a> Waiter<'a> {
    fn new(seen: &'a Seen) -> Self {
        seen.waiters.fetch_add(1, Ordering::Relaxed);
        seen.wanted.notify_one();
        Self(seen)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Seen {
    /// `user` is told of what stands before `next_offset`.
    pub fn note(&self, user: UserId, journal: Journal, partition: i32, next_offset: i64) {
        let mut marks = self.users.entry(user).or_default();
        match marks.iter_mut().find(|(at, _)| *at == (journal, partition)) {
            Some((_, offset)) => *offset = next_offset.max(*offset),
            None => marks.push(((journal, partition), next_offset)),
        }
    }

    /// Waits until the views have what `user` was told of.
    ///
    /// # Errors
    /// `unavailable` after two seconds.
    pub async fn settle(&self, user: UserId, scope: Scope) -> Result<(), Failure> {
        let wanted: Vec<_> = match self.users.get(&user) {
            None => return Ok(()),
            Some(marks) => marks.iter().filter(|(partition, _)| scope.contains(*partition)).copied().collect(),
        };
        let has = |applied: &Applied| wanted.iter().all(|(at, offset)| applied.get(at).is_some_and(|a| a >= offset));
        let mut applied = self.applied.subscribe();
        if has(&applied.borrow()) {
            return Ok(());
        }
        let _waiter = Waiter::new(self);
        match tokio::time::timeout(PATIENCE, applied.wait_for(has)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Failure::unavailable("the views are behind what you have seen; try again")),
        }
    }

    /// Asks for checkpoints while somebody waits for them, until `shutdown`.
    pub async fn run(self: Arc<Self>, reads: Arc<dyn Reads>, shutdown: CancellationToken) {
        let work = async {
            let mut swept = Instant::now();
            loop {
                let idle = tokio::time::timeout(SWEEP, self.wanted.notified()).await.is_err();
                if idle && self.users.is_empty() {
                    continue;
                }
                loop {
                    let pause = if self.poll(&*reads).await { POLL } else { POLL_AFTER_FAILURE };
                    if self.waiters.load(Ordering::Relaxed) == 0 {
                        break;
                    }
                    tokio::time::sleep(pause).await;
                }
                // By the clock: where somebody always waits there is no idle time.
                if swept.elapsed() >= SWEEP {
                    self.forget();
                    swept = Instant::now();
                }
            }
        };
        shutdown.run_until_cancelled(work).await;
    }

    async fn poll(&self, reads: &dyn Reads) -> bool {
        for journal in [Journal::Conversations, Journal::Users] {
            match reads.applied(journal).await {
                Ok(offsets) => self.applied.send_modify(|applied| {
                    applied.extend(offsets.into_iter().map(|(partition, offset)| ((journal, partition), offset)));
                }),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot read the checkpoints of the views"
                    );
                    return false;
                }
            }
        }
        true
    }

    /// Drops what every read sees anyway.
    fn forget(&self) {
        let applied = self.applied.borrow().clone();
        self.users.retain(|_, marks| {
            marks.retain(|(at, offset)| applied.get(at).is_none_or(|applied| applied < offset));
            !marks.is_empty()
        });
    }
}

impl Scope {
    fn contains(self, partition: Partition) -> bool {
        match self {
            Self::All => true,
            Self::Partition(journal, number) => partition == (journal, number),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::fakes::FakeReads;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_read_waits_for_what_its_user_saw_and_nobody_else_does() {
        let (seen, reads) = (Arc::new(Seen::default()), Arc::new(FakeReads::default()));
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(seen.clone().run(reads.clone(), shutdown.clone()));
        let (ada, eve) = (UserId::generate(), UserId::generate());
        seen.note(ada, Journal::Conversations, 3, 10);
        assert_eq!(seen.settle(eve, Scope::All).now_or_never(), Some(Ok(())));
        let other = Scope::Partition(Journal::Conversations, 4);
        assert_eq!(seen.settle(ada, other).now_or_never(), Some(Ok(())));

        reads.applied.insert((Journal::Conversations, 3), 9);
        let refused = seen.settle(ada, Scope::All).await.map_err(|failure| failure.code);
        assert_eq!(refused, Err(crate::domain::ErrorCode::Unavailable));

        let settling = tokio::spawn({
            let seen = seen.clone();
            async move { seen.settle(ada, Scope::Partition(Journal::Conversations, 3)).await }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!settling.is_finished());
        reads.applied.insert((Journal::Conversations, 3), 10);
        assert_eq!(settling.await.ok(), Some(Ok(())));
        shutdown.cancel();
        running.await.unwrap_or_default();
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_views_have_is_forgotten() {
        let (seen, reads) = (Arc::new(Seen::default()), Arc::new(FakeReads::default()));
        tokio::spawn(seen.clone().run(reads.clone(), CancellationToken::new()));
        seen.note(UserId::generate(), Journal::Conversations, 0, 5);
        seen.note(UserId::generate(), Journal::Users, 0, 5);
        reads.applied.insert((Journal::Conversations, 0), 5);
        tokio::time::sleep(SWEEP * 2).await;
        assert_eq!(seen.users.len(), 1);
    }
}
