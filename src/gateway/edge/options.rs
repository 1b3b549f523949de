//! Limits and times of the edge.

use std::time::Duration;

use crate::config;
use crate::domain::conversation::MAX_USERS_A_COMMAND;
use crate::gateway::rate::Rate;

/// Limits and times of the edge.
#[derive(Clone, Debug)]
pub struct Options {
    /// Partitions of every topic of conversations and users.
    pub partitions: i32,
    /// The most sockets at a time; further upgrades are `unavailable`. The listener counts connections only until they are upgraded.
    pub max_sockets: usize,
    /// The largest frame a client may send.
    pub max_frame_bytes: usize,
    /// What may wait for one socket.
    pub outbox_bytes: usize,
    /// The most bytes all sockets together may have waiting, before each may have less.
    pub outbox_total_bytes: usize,
    /// Resident for every socket, so small.
    pub read_buffer_bytes: usize,
    /// The largest body of an HTTP request.
    pub max_body_bytes: usize,
    /// From the upgrade to `hello`; half of it at most is waited for one's turn then.
    pub hello_timeout: Duration,
    /// How many clients are taken a second; more wait, and then come back later.
    pub hellos_per_second: u32,
    /// Between the server's pings; a socket that is silent for two of them is closed.
    pub ping_interval: Duration,
    /// How long a command waits for its reply.
    pub command_timeout: Duration,
    /// Of each socket, and of each user over HTTP.
    pub rate: Rate,
    /// Reads of one socket at a time; the others wait.
    pub reads_in_flight: usize,
    /// Frames of one socket without a reply; more are refused as `rate_limited`.
    pub frames_in_flight: usize,
    /// The most bytes of a message's text.
    pub message_text_bytes: usize,
    /// In which commands should be answered; where they are not, fewer are let in.
    pub answer_target: Duration,
    /// The most bytes of a conversation's name.
    pub name_bytes: usize,
    /// The most users one command may name.
    pub members_per_command: usize,
    /// The most users one socket may watch.
    pub watched_users: usize,
    /// The most members of whom `receipts` says who has read.
    pub receipts_listed_members: usize,
    /// How long an access token is good if its tenant does not say.
    pub token_ttl: Duration,
    /// The longest that a tenant may say.
    pub token_max_ttl: Duration,
}

impl Options {
    /// The defaults, for an installation with `partitions` a topic.
    pub const fn new(partitions: i32) -> Self {
        Self {
            partitions,
            max_sockets: 100_000,
            max_frame_bytes: 65_536,
            outbox_bytes: 1_048_576,
            outbox_total_bytes: 536_870_912,
            read_buffer_bytes: 2_048,
            max_body_bytes: 1_048_576,
            hello_timeout: Duration::from_secs(10),
            hellos_per_second: 3_000,
            ping_interval: Duration::from_secs(30),
            command_timeout: Duration::from_secs(10),
            rate: Rate { per_second: 100, burst: 200, refused_before_close: 1_000 },
            reads_in_flight: 8,
            frames_in_flight: 1_000,
            answer_target: Duration::from_secs(1),
            message_text_bytes: 20_000,
            name_bytes: 256,
            members_per_command: MAX_USERS_A_COMMAND,
            watched_users: 200,
            receipts_listed_members: 50,
            token_ttl: Duration::from_hours(24),
            token_max_ttl: Duration::from_hours(30 * 24),
        }
    }

    /// As configured, for an installation with `partitions` a topic.
    pub fn configured(config: &config::Config, partitions: i32) -> Self {
        let config::Config { gateway, limits, crypto, sequencer, .. } = config;
        Self {
            max_sockets: gateway.max_connections,
            max_frame_bytes: gateway.max_frame_bytes,
            outbox_bytes: gateway.outbox_bytes,
            outbox_total_bytes: gateway.outbox_total_bytes,
            read_buffer_bytes: gateway.read_buffer_bytes,
            max_body_bytes: gateway.max_body_bytes,
            hello_timeout: gateway.hello_timeout,
            hellos_per_second: gateway.hellos_per_second,
            ping_interval: gateway.ping_interval,
            command_timeout: gateway.command_timeout,
            rate: Rate {
                per_second: limits.commands_per_second,
                burst: limits.commands_burst,
                refused_before_close: limits.refused_before_close,
            },
            reads_in_flight: limits.reads_in_flight,
            answer_target: limits.answer_target,
            message_text_bytes: limits.message_text_bytes,
            name_bytes: limits.name_bytes,
            members_per_command: limits.members_per_command,
            watched_users: limits.watched_users,
            receipts_listed_members: sequencer.receipts_fanout_members,
            token_ttl: crypto.token_ttl,
            token_max_ttl: crypto.token_max_ttl,
            ..Self::new(partitions)
        }
    }
}
