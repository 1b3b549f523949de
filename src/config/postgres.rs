use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::problems::{ConfigError, Problems};
use super::secret::Secret;
use super::values::{millis, optional};

/// `[postgres]`: where the views are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    pub url: Secret,
    #[serde(deserialize_with = "optional")]
    pub url_file: Option<PathBuf>,
    pub max_connections: u32,
    pub tls: Tls,
    #[serde(deserialize_with = "optional")]
    pub tls_root: Option<PathBuf>,
    #[serde(rename = "statement_timeout_ms", deserialize_with = "millis")]
    pub statement_timeout: Duration,
}

/// How far a connection to Postgres is protected; the words are libpq's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Postgres {
    /// The options of a connection, statement timeout included.
    ///
    /// # Errors
    /// When `postgres.url` is not set. (That it is well formed was checked when it was loaded.)
    pub fn connect_options(&self) -> Result<PgConnectOptions, ConfigError> {
        if !self.url.is_set() {
            return Err(ConfigError::new(
                "postgres.url is not set: set TIDINGS_POSTGRES__URL to postgres://user:password@host:port/database",
            ));
        }
        let mode = match self.tls {
            Tls::Disable => PgSslMode::Disable,
            Tls::Prefer => PgSslMode::Prefer,
            Tls::Require => PgSslMode::Require,
            Tls::VerifyCa => PgSslMode::VerifyCa,
            Tls::VerifyFull => PgSslMode::VerifyFull,
        };
        let timeout_ms = self.statement_timeout.as_millis();
        let mut options = self
            .parse_url()?
            .application_name("tidings")
            .ssl_mode(mode)
            .options([("statement_timeout", timeout_ms.to_string())])
            // Statements hold what users wrote; failures are logged by who handles them.
            .disable_statement_logging();
        if let Some(root) = &self.tls_root {
            options = options.ssl_root_cert(root);
        }
        Ok(options)
    }

    fn parse_url(&self) -> Result<PgConnectOptions, ConfigError> {
        let url = self.url.expose();
        let refuse = |reason: &str| Err(ConfigError::new(format!("postgres.url: {reason}")));
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return refuse("must start with postgres://");
        }
        // Two places to say it would let one quietly weaken the other.
        if url.contains("sslmode=") || url.contains("ssl-mode=") || url.contains("sslrootcert=") {
            return refuse("has TLS parameters: use postgres.tls and postgres.tls_root");
        }
        // The cause is not shown: it may quote the address, password and all.
        PgConnectOptions::from_str(url).or_else(|_| {
            refuse("allowed is postgres://user:password@host:port/database; encode @ : / in a password as %40 %3A %2F")
        })
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        if self.url.is_set()
            && let Err(error) = self.parse_url()
        {
            problems.extend(error);
        }
        problems.range("postgres.max_connections", self.max_connections, 1..=10_000);
        let timeout_ms = self.statement_timeout.as_millis();
        problems.range("postgres.statement_timeout_ms", timeout_ms, 100..=3_600_000);
        if self.tls == Tls::Disable && self.tls_root.is_some() {
            problems.add("postgres.tls = disable: does not use postgres.tls_root; unset it or use verify-full");
        }
    }
}
