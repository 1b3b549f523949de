//! How many commands a partition's owner is asked at a time. More than it can answer soon would wait, be given up and be sent again, and the
//! owner would work for nobody; so what is too much is refused at once, with when to come back.
//!
//! A limit for each partition, so that a slow one holds up no other. It adapts by additive increase and multiplicative decrease
//! (D. Chiu and R. Jain, 1989), on the shortest answer time of a window: only a queue that does not drain makes even that long (as in
//! CoDel, RFC 8289).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use super::failure::Failure;

const WINDOW: Duration = Duration::from_millis(100);
/// At the start: some thousands of commands a second, answered within milliseconds.
const FIRST: f64 = 1_000.0;
const LEAST: f64 = 16.0;
const MOST: f64 = 20_000.0;
const DECREASE: f64 = 0.8;
const INCREASE: f64 = 0.1;

/// The limits of one topic of commands.
pub struct Admission {
    lanes: Vec<Arc<Lane>>,
    target: Duration,
    topic: &'static str,
}

struct Lane {
    state: Mutex<State>,
    target: Duration,
}

struct State {
    limit: f64,
    in_flight: usize,
    window: Instant,
    /// The shortest time to an answer in this window.
    best: Option<Duration>,
    /// The limit was what held back.
    full: bool,
}

/// A command that was let in. Dropping it counts as its answer.
pub struct Admitted {
    lane: Arc<Lane>,
    since: Instant,
}

impl Admission {
    /// For `partitions` partitions of `topic`, of which each command should be answered within `target`.
    pub fn new(topic: &'static str, partitions: i32, target: Duration) -> Self {
        let lane = || {
            let state = State { limit: FIRST, in_flight: 0, window: Instant::now(), best: None, full: false };
            Arc::new(Lane { state: Mutex::new(state), target })
        };
        Self { lanes: (0..partitions).map(|_| lane()).collect(), target, topic }
    }

    /// Lets a command of `partition` in.
    ///
    /// # Errors
    /// `unavailable` with the time to wait, where too many wait already.
    pub fn enter(&self, partition: i32) -> Result<Option<Admitted>, Failure> {
        let Some(lane) = self.lane(partition) else { return Ok(None) };
        let mut state = lane.lock();
        if state.in_flight as f64 >= state.limit {
            state.full = true;
            drop(state);
            metrics::counter!("tidings_gateway_commands_refused_total", "topic" => self.topic).increment(1);
            // Spread, or all would come back at once.
            let wait = self.target.mul_f64(rand::rng().random_range(1.0..3.0));
            return Err(Failure::unavailable("too many commands wait for an answer here; try again later").after(wait));
        }
        state.in_flight += 1;
        drop(state);
        Ok(Some(Admitted { lane: Arc::clone(lane), since: Instant::now() }))
    }

    /// Whether there is room for what nobody waits for.
    pub fn has_room_to_spare(&self, partition: i32) -> bool {
        let Some(lane) = self.lane(partition) else { return true };
        let state = lane.lock();
        (state.in_flight as f64) < state.limit / 2.0
    }

    fn lane(&self, partition: i32) -> Option<&Arc<Lane>> {
        self.lanes.get(usize::try_from(partition).ok()?)
    }
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn answered(&mut self, took: Duration, target: Duration) {
        self.in_flight -= 1;
        self.best = Some(self.best.map_or(took, |best| best.min(took)));
        if self.window.elapsed() < WINDOW {
            return;
        }
        if self.best.is_some_and(|best| best > target) {
            // From what is really there: a limit far above that would come down long after the queue is too long.
            self.limit = (self.limit.min(self.in_flight as f64 + 1.0) * DECREASE).max(LEAST);
        } else if self.full {
            self.limit = (self.limit * (1.0 + INCREASE)).min(MOST);
        }
        (self.window, self.best, self.full) = (Instant::now(), None, false);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.lane.lock().answered(self.since.elapsed(), self.lane.target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_secs(1);

    /// An owner that answers `rate` commands a second, in order, is asked `offered` a second for `seconds`: how many were let in and how long
    /// the slowest of the second half took.
    async fn offered(rate: u32, offered: u32, seconds: u32) -> (usize, Duration) {
        let admission = Admission::new("test", 1, TARGET);
        let (began, mut free_at, mut let_in, mut slowest) = (Instant::now(), Instant::now(), 0, Duration::ZERO);
        let mut waiting = std::collections::VecDeque::new();
        for n in 0..offered * seconds {
            tokio::time::advance(Duration::from_secs(1) / offered).await;
            while waiting.front().is_some_and(|(due, _)| *due <= Instant::now()) {
                drop(waiting.pop_front());
            }
            if let Ok(Some(admitted)) = admission.enter(0) {
                free_at = free_at.max(Instant::now()) + Duration::from_secs(1) / rate;
                waiting.push_back((free_at, admitted));
                let_in += 1;
                if n > offered * seconds / 2 {
                    slowest = slowest.max(free_at - Instant::now());
                }
            }
        }
        assert!(began.elapsed() >= Duration::from_secs(1) * seconds - Duration::from_millis(10));
        (let_in, slowest)
    }

    #[tokio::test(start_paused = true)]
    async fn ten_times_too_much_is_answered_as_fast_as_can_be_and_soon() {
        let (let_in, slowest) = offered(500, 5_000, 20).await;
        assert!(let_in > 9_500, "the owner is kept busy: {let_in} of 10,000");
        assert!(slowest < TARGET * 3, "those let in are answered soon: {slowest:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_be_answered_is_let_in() {
        let (let_in, _) = offered(5_000, 4_500, 5).await;
        assert_eq!(let_in, 22_500);
    }

    #[tokio::test(start_paused = true)]
    async fn a_partition_that_stands_still_holds_up_no_other() {
        let admission = Admission::new("test", 2, TARGET);
        let mut stuck = Vec::new();
        let refused = loop {
            match admission.enter(0) {
                Ok(admitted) => stuck.push(admitted),
                Err(refused) => break refused,
            }
        };
        assert!(refused.retry_after_ms.is_some_and(|ms| (1_000..3_000).contains(&ms)), "{refused:?}");
        assert!(!admission.has_room_to_spare(0));
        assert!(admission.has_room_to_spare(1) && admission.enter(1).is_ok());
        drop(stuck);
        assert!(admission.enter(0).is_ok());
    }
}
