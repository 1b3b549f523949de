//! How much one socket (or one user over HTTP) may ask for: a token bucket, and what happens to who does not care.

use std::time::Duration;

use tokio::time::Instant;

/// How long refusals are counted together.
const REFUSALS_WINDOW: Duration = Duration::from_secs(10);

/// Limits of one source of commands.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Commands a second in the long run.
    pub per_second: u32,
    /// Commands at once.
    pub burst: u32,
    /// More refusals than this in 10 s end the patience.
    pub refused_before_close: u32,
}

/// What to do with one more command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Take it.
    Take,
    /// Refuse it; after this time there is room for one.
    Refuse(Duration),
    /// It was told often enough: close.
    Close,
}

/// A token bucket.
#[derive(Debug)]
pub struct Bucket {
    tokens: f64,
    filled_at: Instant,
    refused: u32,
    refused_since: Instant,
}

impl Bucket {
    /// A full one.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { tokens: f64::from(rate.burst), filled_at: now, refused: 0, refused_since: now }
    }

    /// One more command at `now`.
    pub fn take(&mut self, rate: Rate, now: Instant) -> Verdict {
        let per_second = f64::from(rate.per_second.max(1));
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = elapsed.mul_add(per_second, self.tokens).min(f64::from(rate.burst));
        self.filled_at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Verdict::Take;
        }
        if now.saturating_duration_since(self.refused_since) > REFUSALS_WINDOW {
            self.refused = 0;
            self.refused_since = now;
        }
        self.refused += 1;
        if self.refused > rate.refused_before_close {
            return Verdict::Close;
        }
        Verdict::Refuse(Duration::from_secs_f64((1.0 - self.tokens) / per_second))
    }

    /// Whether nothing would change if this were a new one.
    pub fn is_idle(&self, rate: Rate, now: Instant) -> bool {
        let idle = now.saturating_duration_since(self.filled_at);
        idle > REFUSALS_WINDOW && idle.as_secs_f64() * f64::from(rate.per_second) >= f64::from(rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 100, burst: 200, refused_before_close: 1_000 };

    #[test]
    fn a_burst_is_taken_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(RATE, start);
        let taken = (0..300).filter(|_| bucket.take(RATE, start) == Verdict::Take).count();
        assert_eq!(taken, 200);
        let later = start + Duration::from_secs(1);
        let taken = (0..300).filter(|_| bucket.take(RATE, later) == Verdict::Take).count();
        assert_eq!(taken, 100);
    }

    #[test]
    fn a_refusal_says_when_there_is_room() {
        let start = Instant::now();
        let mut bucket = Bucket::new(RATE, start);
        let refused = (0..201).map(|_| bucket.take(RATE, start)).last();
        let Some(Verdict::Refuse(wait)) = refused else { panic!("{refused:?}") };
        assert_eq!(wait, Duration::from_millis(10));
        assert_eq!(bucket.take(RATE, start + wait), Verdict::Take);
    }

    #[test]
    fn a_flood_is_closed_and_a_trickle_over_the_limit_is_not() {
        let start = Instant::now();
        let mut flood = Bucket::new(RATE, start);
        let taken_or_refused = (0..10_000).take_while(|_| flood.take(RATE, start) != Verdict::Close).count();
        assert_eq!(taken_or_refused, 1_200);
        let mut trickle = Bucket::new(RATE, start);
        // 150 a second for a minute: 50 too many each second, 500 in a window.
        let closed = (0..9_000u32).any(|n| {
            let now = start + Duration::from_secs_f64(f64::from(n) / 150.0);
            trickle.take(RATE, now) == Verdict::Close
        });
        assert!(!closed);
    }
}
