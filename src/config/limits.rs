use std::time::Duration;

use serde::Deserialize;

use super::problems::Problems;
use super::values::millis;

/// `[limits]`: what one user may do at a time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub commands_per_second: u32,
    pub commands_burst: u32,
    pub refused_before_close: u32,
    pub message_text_bytes: usize,
    pub members_per_command: usize,
    pub watched_users: usize,
    pub reads_in_flight: usize,
    #[serde(rename = "answer_target_ms", deserialize_with = "millis")]
    pub answer_target: Duration,
    pub name_bytes: usize,
}

impl Limits {
    pub(super) fn check(&self, problems: &mut Problems) {
        problems.range("limits.commands_per_second", self.commands_per_second, 1..=1_000_000);
        problems.range("limits.commands_burst", self.commands_burst, 1..=1_000_000);
        problems.range("limits.refused_before_close", self.refused_before_close, 1..=1_000_000);
        problems.range("limits.message_text_bytes", self.message_text_bytes, 1..=1_048_576);
        // The protocol promises these two to clients.
        problems.range("limits.members_per_command", self.members_per_command, 1..=1_000);
        problems.range("limits.watched_users", self.watched_users, 1..=200);
        problems.range("limits.reads_in_flight", self.reads_in_flight, 1..=1_000);
        problems.range("limits.answer_target_ms", self.answer_target.as_millis(), 10..=60_000);
        problems.range("limits.name_bytes", self.name_bytes, 1..=4_096);
    }
}
