//! Free ports on loopback.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use super::error::DevError;

/// Tries before giving up; each one takes microseconds.
const TRIES: usize = 200;
const LOWEST: u16 = 15_000;

/// What this process gave out. A part takes seconds until it listens, and until then its port looks free.
static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port that nobody listens on now, never given out twice in one process.
///
/// It lies below the range from which the system takes ports for outgoing connections. Otherwise a client that keeps trying to
/// reach a stopped part can be given that very port as its own, connect to itself, and keep the part from coming back.
pub(crate) fn free_port() -> Result<u16, DevError> {
    let highest = outgoing_range_start().filter(|start| *start > LOWEST + 1_000).unwrap_or(32_768);
    for _ in 0..TRIES {
        let port = rand::random_range(LOWEST..highest);
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && given.get_or_insert_default().insert(port) {
            return Ok(port);
        }
    }
    Err(DevError::Surroundings(format!(
        "no free port on 127.0.0.1 between {LOWEST} and {highest} was found in {TRIES} tries"
    )))
}

/// Whether nobody listens on `port` now. Then it is not given out by [`free_port`].
pub(crate) fn take_port(port: u16) -> bool {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    if free {
        given.get_or_insert_default().insert(port);
    }
    free
}

fn outgoing_range_start() -> Option<u16> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    range.split_whitespace().next()?.parse().ok()
}
