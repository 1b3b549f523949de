//! Free ports on loopback.

use std::net::{Ipv4Addr, TcpListener};

use super::error::DevError;

/// Tries before giving up; each one takes microseconds.
const TRIES: usize = 200;
const LOWEST: u16 = 15_000;

/// A port that nobody listens on now, not given out twice in one process at nearly the same time.
///
/// It lies below the range from which the system takes ports for outgoing connections. Otherwise a client that keeps trying to
/// reach a stopped part can be given that very port as its own, connect to itself, and keep the part from coming back.
pub(crate) fn free_port() -> Result<u16, DevError> {
    let highest = outgoing_range_start().filter(|start| *start > LOWEST + 1_000).unwrap_or(32_768);
    for _ in 0..TRIES {
        let port = rand::random_range(LOWEST..highest);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(DevError::Surroundings(format!(
        "no free port on 127.0.0.1 between {LOWEST} and {highest} was found in {TRIES} tries"
    )))
}

fn outgoing_range_start() -> Option<u16> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    range.split_whitespace().next()?.parse().ok()
}
