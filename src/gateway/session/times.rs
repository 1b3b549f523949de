//! When a session is looked at although nothing happens: its pings, and the end of its token.

use tokio::time::{Duration, Instant};

use crate::domain::Timestamp;
use crate::gateway::closing::Closing;
use crate::gateway::hub::Socket;

/// Far ahead it would overflow, and there is nothing to do earlier.
const LONG: Duration = Duration::from_secs(86_400);

/// The times of one session.
pub struct Times {
    ping_interval: Duration,
    ping_at: Instant,
}

impl Times {
    /// From now on.
    pub fn new(ping_interval: Duration) -> Self {
        Self { ping_interval, ping_at: Instant::now() + ping_interval }
    }

    /// When to [`Times::wake`]. To be asked anew after that, as a token may be refreshed.
    pub fn wake_at(&self, socket: &Socket) -> Instant {
        if socket.outbox.closing().is_some() {
            // The writer ends it; there is nothing to watch.
            return Instant::now() + LONG;
        }
        let expires_in = socket.expires_at().0.saturating_sub(Timestamp::now().0);
        let expires_in = Duration::from_millis(u64::try_from(expires_in).unwrap_or(0));
        self.ping_at.min(Instant::now() + expires_in.min(LONG))
    }

    /// Ends the session with its token, or asks for a ping.
    pub fn wake(&mut self, socket: &Socket) {
        let now = Instant::now();
        if socket.expires_at() <= Timestamp::now() {
            socket.outbox.close(Closing::TokenExpired);
        } else if self.ping_at <= now {
            self.ping_at = now + self.ping_interval;
            socket.outbox.ping();
        }
    }
}
