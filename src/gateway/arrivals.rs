//! How fast a gateway takes those who come. When a gateway ends, all its clients are at the doors of the others at once; each of them costs a
//! record in the log, a place in every sequencer's memory and a read of the views, and those who are served already must not notice.
//!
//! So many a second come in, in the order in which they came. Whoever would wait longer than it may is sent away at once, with a time to come
//! back: as if a place in a queue were kept for it at home, each behind the one who was sent away before. The queue here is short, the one at
//! home as long as it must be.
//!
//! The rate does not follow how fast catch-ups are read: who waits for those here hears pushes and can send, and who waits at home cannot.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use super::closing::{Closing, Goodbye, Reconnect};
use super::failure::Failure;

/// What comes in at once after a pause, in time at the rate.
const BURST: Duration = Duration::from_millis(100);
/// Nobody who is sent away comes back earlier.
const SOONEST: Duration = Duration::from_millis(500);
/// Or is told to wait longer, twice of it at most: by then the clients may have somewhere else to go.
const LONGEST: Duration = Duration::from_secs(60);

/// The door of a gateway.
pub struct Arrivals {
    /// Between two who come in.
    interval: Duration,
    /// Whose turn it is to wait for the time; fair, so it is the queue.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    /// When the next may come in; in the past after a pause.
    next: Instant,
    waiting: usize,
    /// When those who were sent away would all be in, one after another.
    away_until: Instant,
}

/// Who is not let in now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentAway {
    /// When to come back, in milliseconds from now.
    pub reconnect: Reconnect,
}

/// One in the queue. Leaves it when it is dropped.
struct InQueue<'a>(&'a Arrivals);

impl Arrivals {
    /// Of `per_second` at most; none is taken as one.
    pub fn new(per_second: u32) -> Self {
        let now = Instant::now();
        let state = State { next: now, waiting: 0, away_until: now };
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { interval, turn: tokio::sync::Mutex::new(()), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Comes in, after those who came before. Whoever stops waiting leaves the queue.
    ///
    /// # Errors
    /// When to come back, where it would not be in by `deadline`.
    pub async fn enter(&self, deadline: Instant) -> Result<(), SentAway> {
        let began = Instant::now();
        let queued = self.join(deadline)?;
        let entered = tokio::time::timeout_at(deadline, self.wait()).await;
        drop(queued);
        // The queue was slower than it seemed: whoever had the turn before was not run in time.
        entered.map_err(|_| self.send_away(&mut self.lock()))?;
        metrics::counter!("tidings_gateway_hellos_total").increment(1);
        metrics::histogram!("tidings_gateway_hello_wait_seconds").record(began.elapsed().as_secs_f64());
        Ok(())
    }

    /// How long `count` clients take to come in elsewhere, at the rate of this gateway.
    pub fn time_for(&self, count: usize) -> Duration {
        self.interval.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)).min(LONGEST)
    }

    /// How many wait for their turn.
    pub fn waiting(&self) -> usize {
        self.lock().waiting
    }

    fn join(&self, deadline: Instant) -> Result<InQueue<'_>, SentAway> {
        let mut state = self.lock();
        if state.turn_of_next(self.interval) > deadline {
            return Err(self.send_away(&mut state));
        }
        state.change_waiting(|waiting| waiting + 1);
        drop(state);
        Ok(InQueue(self))
    }

    async fn wait(&self) {
        let _turn = self.turn.lock().await;
        let next = self.lock().next;
        tokio::time::sleep_until(next).await;
        let earliest = Instant::now().checked_sub(BURST).unwrap_or(next);
        self.lock().next = next.max(earliest) + self.interval;
    }

    fn send_away(&self, state: &mut State) -> SentAway {
        metrics::counter!("tidings_gateway_hellos_refused_total").increment(1);
        let now = Instant::now();
        let after_queue = state.turn_of_next(self.interval).max(state.away_until) + self.interval;
        state.away_until = after_queue.min(now + LONGEST);
        let wait = state.away_until.saturating_duration_since(now).max(SOONEST);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        SentAway { reconnect: [wait_ms, wait_ms * 2] }
    }
}

impl State {
    /// When whoever comes now would be in.
    fn turn_of_next(&self, interval: Duration) -> Instant {
        let before = u32::try_from(self.waiting).unwrap_or(u32::MAX);
        self.next.max(Instant::now()) + interval.saturating_mul(before)
    }

    fn change_waiting(&mut self, change: impl FnOnce(usize) -> usize) {
        self.waiting = change(self.waiting);
        metrics::gauge!("tidings_gateway_hellos_waiting").set(self.waiting as f64);
    }
}

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        self.0.lock().change_waiting(|waiting| waiting - 1);
    }
}

impl From<SentAway> for Goodbye {
    fn from(SentAway { reconnect }: SentAway) -> Self {
        Self { closing: Closing::RateLimited, reconnect: Some(reconnect) }
    }
}

impl SentAway {
    /// For who chooses between that and its double by chance.
    pub fn at_least(self) -> Failure {
        Self::failure(self.reconnect[0])
    }

    /// For who comes back exactly then.
    pub fn by_chance(self) -> Failure {
        let [least, most] = self.reconnect;
        Self::failure(rand::rng().random_range(least..=most.max(least)))
    }

    fn failure(wait_ms: u64) -> Failure {
        Failure::unavailable("too many come at once; come back later").after(Duration::from_millis(wait_ms))
    }
}

#[cfg(test)]
mod tests;
