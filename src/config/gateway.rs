use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::problems::Problems;
use super::values::{millis, optional};

/// `[gateway]`: the sockets and their life.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    pub listen: SocketAddr,
    pub max_connections: usize,
    pub max_frame_bytes: usize,
    pub outbox_bytes: usize,
    pub outbox_total_bytes: usize,
    #[serde(rename = "hello_timeout_ms", deserialize_with = "millis")]
    pub hello_timeout: Duration,
    pub hellos_per_second: u32,
    #[serde(rename = "ping_interval_ms", deserialize_with = "millis")]
    pub ping_interval: Duration,
    #[serde(rename = "command_timeout_ms", deserialize_with = "millis")]
    pub command_timeout: Duration,
    #[serde(rename = "drain_ms", deserialize_with = "millis")]
    pub drain: Duration,
    #[serde(rename = "drain_notice_ms", deserialize_with = "millis")]
    pub drain_notice: Duration,
    #[serde(deserialize_with = "optional")]
    pub tls_certificate: Option<PathBuf>,
    #[serde(deserialize_with = "optional")]
    pub tls_key: Option<PathBuf>,
    pub read_buffer_bytes: usize,
    #[serde(rename = "header_timeout_ms", deserialize_with = "millis")]
    pub header_timeout: Duration,
    #[serde(rename = "body_timeout_ms", deserialize_with = "millis")]
    pub body_timeout: Duration,
    pub max_body_bytes: usize,
}

impl Gateway {
    /// Certificate chain and private key, when TLS is on.
    pub fn tls(&self) -> Option<(PathBuf, PathBuf)> {
        Some((self.tls_certificate.clone()?, self.tls_key.clone()?))
    }

    /// The time without a frame after which a socket is closed.
    pub fn idle_timeout(&self) -> Duration {
        self.ping_interval * 2
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        // The most that this many file descriptors and semaphore permits can be.
        problems.range("gateway.max_connections", self.max_connections, 1..=10_000_000);
        problems.range("gateway.hellos_per_second", self.hellos_per_second, 1..=1_000_000);
        problems.range("gateway.max_frame_bytes", self.max_frame_bytes, 2_048..=16_777_216);
        problems.range("gateway.read_buffer_bytes", self.read_buffer_bytes, 512..=1_048_576);
        problems.range("gateway.max_body_bytes", self.max_body_bytes, 2_048..=1_073_741_824);
        problems.require(
            self.outbox_bytes >= self.max_frame_bytes,
            "gateway.outbox_bytes",
            self.outbox_bytes,
            "at least gateway.max_frame_bytes, or one large frame closes the socket",
        );
        problems.require(
            self.outbox_total_bytes >= self.outbox_bytes,
            "gateway.outbox_total_bytes",
            self.outbox_total_bytes,
            "at least gateway.outbox_bytes",
        );
        for (name, value) in [
            ("gateway.hello_timeout_ms", self.hello_timeout),
            ("gateway.ping_interval_ms", self.ping_interval),
            ("gateway.command_timeout_ms", self.command_timeout),
            ("gateway.header_timeout_ms", self.header_timeout),
            ("gateway.body_timeout_ms", self.body_timeout),
        ] {
            problems.range(name, value.as_millis(), 100..=600_000);
        }
        problems.range("gateway.drain_ms", self.drain.as_millis(), 0..=600_000);
        problems.range("gateway.drain_notice_ms", self.drain_notice.as_millis(), 0..=60_000);
        problems.both_or_neither(
            ("gateway.tls_certificate", self.tls_certificate.is_some()),
            ("gateway.tls_key", self.tls_key.is_some()),
        );
    }
}
