//! Every setting of every role, in one place.
//!
//! `config/tidings.default.toml` is both the documentation of the settings and, compiled in, their defaults. Over it
//! come a file, the environment and flags (see [`layers`]); then each section checks its own values and, below,
//! what has to hold between sections. All problems are reported at once, and never a secret's value.

mod backup;
mod crypto;
mod gateway;
mod kafka;
mod layers;
mod limits;
mod log;
mod postgres;
mod problems;
mod registry;
mod roles;
mod secret;
#[cfg(test)]
mod tests;
mod values;

use std::path::Path;

use serde::Deserialize;

pub use backup::Backup;
pub use crypto::Crypto;
pub use gateway::Gateway;
pub use kafka::{Kafka, SecurityProtocol};
pub use limits::Limits;
pub use log::{Format, Log};
pub use postgres::{Postgres, Tls};
pub use problems::ConfigError;
pub use registry::Registry;
pub use roles::{Dev, Indexer, Projector, Publisher, Scheduler, Sequencer, Sessions};
pub use secret::Secret;

use problems::Problems;

/// The defaults, as text: what `tidings admin config` can print for a start.
pub const DEFAULTS: &str = include_str!("../../config/tidings.default.toml");

/// The names of the settings that are secrets. Each may also be given as a file, by the same name with `_file`.
pub const SECRETS: [&str; 7] = [
    "kafka.sasl_password",
    "postgres.url",
    "registry.password",
    "crypto.master_keys",
    "crypto.root_key",
    "crypto.token_key",
    "backup.s3_secret_key",
];

/// The whole configuration, checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub gateway: Gateway,
    pub limits: Limits,
    pub kafka: Kafka,
    pub postgres: Postgres,
    pub registry: Registry,
    pub crypto: Crypto,
    pub sequencer: Sequencer,
    pub projector: Projector,
    pub publisher: Publisher,
    pub scheduler: Scheduler,
    pub indexer: Indexer,
    pub backup: Backup,
    pub sessions: Sessions,
    pub log: Log,
    pub dev: Dev,
}

impl Config {
    /// Reads the configuration: defaults, then `file` (or the one TIDINGS_CONFIG names), then the environment, then
    /// `overrides`, which are flags as (`section.field`, value).
    ///
    /// # Errors
    /// Everything that is wrong with it: unknown settings, bad values, settings that contradict each other, files
    /// that cannot be read. A setting that only some roles need (Postgres' address, keys) is asked for by its user.
    pub fn load(file: Option<&Path>, overrides: &[(String, String)]) -> Result<Self, ConfigError> {
        // Names and values that are not UTF-8 cannot be settings of ours; `vars` would panic on them.
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::load_with(file, environment, overrides)
    }

    fn load_with(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let mut config = layers::merge(file, environment, overrides)?;
        let mut problems = Problems::default();
        config.read_secret_files(&mut problems);
        config.check(&mut problems);
        problems.into_result().map(|()| config)
    }

    fn read_secret_files(&mut self, problems: &mut Problems) {
        let Self { kafka, postgres, registry, crypto, backup, .. } = self;
        for (name, secret, file) in [
            ("kafka.sasl_password", &mut kafka.sasl_password, &kafka.sasl_password_file),
            ("postgres.url", &mut postgres.url, &postgres.url_file),
            ("registry.password", &mut registry.password, &registry.password_file),
            ("crypto.master_keys", &mut crypto.master_keys, &crypto.master_keys_file),
            ("crypto.root_key", &mut crypto.root_key, &crypto.root_key_file),
            ("crypto.token_key", &mut crypto.token_key, &crypto.token_key_file),
            ("backup.s3_secret_key", &mut backup.s3_secret_key, &backup.s3_secret_key_file),
        ] {
            if let Some(file) = file {
                secret.read_file(name, file, problems);
            }
        }
    }

    fn check(&self, problems: &mut Problems) {
        self.gateway.check(problems);
        self.limits.check(problems);
        self.kafka.check(problems);
        self.postgres.check(problems);
        self.registry.check(problems);
        self.crypto.check(problems);
        self.sequencer.check(problems);
        self.projector.check(problems);
        self.publisher.check(problems);
        self.scheduler.check(problems);
        self.indexer.check(problems);
        self.backup.check(problems);
        self.sessions.check(problems);
        self.log.check(problems);
        self.dev.check(problems);

        problems.require(
            self.gateway.max_frame_bytes >= self.limits.message_text_bytes + 1024,
            "gateway.max_frame_bytes",
            self.gateway.max_frame_bytes,
            "at least limits.message_text_bytes + 1024, or the longest message does not fit in a frame",
        );
        problems.require(
            self.sequencer.load_timeout < self.gateway.command_timeout,
            "sequencer.load_timeout_ms",
            self.sequencer.load_timeout.as_millis(),
            "less than gateway.command_timeout_ms, or the answer comes when nobody waits for it",
        );
    }
}
