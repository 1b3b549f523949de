//! When to try again: exponential with full jitter, so that clients that fell together do not come back together.

use std::time::Duration;

/// The delays of consecutive failures. Reset only when things truly work again, not when a connection opens: a server
/// that accepts and drops would otherwise be hammered.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// The first delay is at most `base`, none is above `cap` (unless the server asks for more).
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// Things work again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next delay. `window` is the server's own wish (`bye.reconnect_after_ms`, `retry_after_ms`): the delay is
    /// never below its minimum. `luck` is uniform in `0.0..1.0`.
    pub fn next(&mut self, window: Option<(Duration, Duration)>, luck: f64) -> Duration {
        let luck = luck.clamp(0.0, 1.0);
        let ceiling = self.base.saturating_mul(2u32.saturating_pow(self.failures)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        let jitter = ceiling.mul_f64(luck);
        match window {
            Some((least, most)) => jitter.max(least + most.saturating_sub(least).mul_f64(luck)),
            None => jitter,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: Duration = Duration::from_millis(500);
    const CAP: Duration = Duration::from_secs(30);

    #[test]
    fn doubles_to_the_cap_and_starts_over() {
        let mut backoff = Backoff::new(BASE, CAP);
        let delays: Vec<u128> = (0..8).map(|_| backoff.next(None, 1.0).as_millis()).collect();
        assert_eq!(delays, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        backoff.reset();
        assert_eq!(backoff.next(None, 1.0), BASE);
    }

    proptest! {
        #[test]
        fn stays_within_its_bounds(failures in 0u32..200, luck in 0.0f64..1.0, least in 0u64..60_000, extra in 0u64..60_000) {
            let mut backoff = Backoff::new(BASE, CAP);
            backoff.failures = failures;
            prop_assert!(backoff.clone().next(None, luck) <= CAP);
            let (least, most) = (Duration::from_millis(least), Duration::from_millis(least + extra));
            let delay = backoff.next(Some((least, most)), luck);
            prop_assert!(delay >= least && delay <= most.max(CAP));
        }
    }
}
