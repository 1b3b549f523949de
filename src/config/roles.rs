//! The settings of the roles behind the gateway: a few figures each.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::problems::Problems;
use super::values::millis;

/// `[sequencer]`: deciding commands.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequencer {
    pub batch_commands: usize,
    #[serde(rename = "load_timeout_ms", deserialize_with = "millis")]
    pub load_timeout: Duration,
    pub tail_limit_bytes: usize,
    pub hot_conversations: usize,
    #[serde(rename = "commit_interval_ms", deserialize_with = "millis")]
    pub commit_interval: Duration,
    pub receipts_fanout_members: usize,
    pub typing_fanout_members: usize,
}

impl Sequencer {
    pub(super) fn check(&self, problems: &mut Problems) {
        problems.range("sequencer.batch_commands", self.batch_commands, 1..=100_000);
        problems.range("sequencer.load_timeout_ms", self.load_timeout.as_millis(), 10..=60_000);
        problems.range("sequencer.tail_limit_bytes", self.tail_limit_bytes, 1_048_576..=1_099_511_627_776);
        problems.range("sequencer.hot_conversations", self.hot_conversations, 100..=100_000_000);
        problems.range("sequencer.commit_interval_ms", self.commit_interval.as_millis(), 10..=60_000);
        problems.range("sequencer.receipts_fanout_members", self.receipts_fanout_members, 0..=100_000);
        problems.range("sequencer.typing_fanout_members", self.typing_fanout_members, 0..=100_000);
    }
}

/// `[projector]`: applying the journal to the views.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Projector {
    pub batch_records: usize,
    #[serde(rename = "interval_ms", deserialize_with = "millis")]
    pub interval: Duration,
}

impl Projector {
    pub(super) fn check(&self, problems: &mut Problems) {
        problems.range("projector.batch_records", self.batch_records, 1..=100_000);
        problems.range("projector.interval_ms", self.interval.as_millis(), 0..=10_000);
    }
}

/// `[publisher]`: copying the journal to the public streams.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publisher {
    pub batch_records: usize,
    #[serde(rename = "interval_ms", deserialize_with = "millis")]
    pub interval: Duration,
}

impl Publisher {
    pub(super) fn check(&self, problems: &mut Problems) {
        problems.range("publisher.batch_records", self.batch_records, 1..=100_000);
        problems.range("publisher.interval_ms", self.interval.as_millis(), 1..=60_000);
    }
}

/// `[scheduler]`: asking for what is due.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheduler {
    pub batch_messages: usize,
    #[serde(rename = "interval_ms", deserialize_with = "millis")]
    pub interval: Duration,
}

impl Scheduler {
    pub(super) fn check(&self, problems: &mut Problems) {
        problems.range("scheduler.batch_messages", self.batch_messages, 1..=100_000);
        problems.range("scheduler.interval_ms", self.interval.as_millis(), 10..=600_000);
    }
}

/// `[indexer]`: making what is said searchable.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Indexer {
    pub batch_records: usize,
    #[serde(rename = "interval_ms", deserialize_with = "millis")]
    pub interval: Duration,
}

impl Indexer {
    pub(super) fn check(&self, problems: &mut Problems) {
        problems.range("indexer.batch_records", self.batch_records, 1..=100_000);
        problems.range("indexer.interval_ms", self.interval.as_millis(), 0..=10_000);
    }
}

/// `[sessions]`: how a gateway shows that it lives.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sessions {
    #[serde(rename = "renew_ms", deserialize_with = "millis")]
    pub renew: Duration,
    #[serde(rename = "overdue_ms", deserialize_with = "millis")]
    pub overdue: Duration,
}

impl Sessions {
    pub(super) fn check(&self, problems: &mut Problems) {
        problems.range("sessions.renew_ms", self.renew.as_millis(), 50..=60_000);
        problems.require(
            self.overdue.as_millis() >= 3 * self.renew.as_millis() && self.overdue.as_millis() <= 600_000,
            "sessions.overdue_ms",
            self.overdue.as_millis(),
            "at least 3 × sessions.renew_ms, or one late renewal ends a living gateway; at most 600000",
        );
    }
}

/// `[dev]`: the whole system on one machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dev {
    pub data: PathBuf,
    pub fresh: bool,
    pub partitions: u32,
    pub quick_kafka: bool,
}

impl Dev {
    pub(super) fn check(&self, problems: &mut Problems) {
        problems.require(!self.data.as_os_str().is_empty(), "dev.data", "\"\"", "a directory");
        problems.range("dev.partitions", self.partitions, 1..=256);
    }
}
