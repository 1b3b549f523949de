use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::problems::{ConfigError, Problems};
use super::secret::Secret;
use super::values::{millis, optional};
use crate::crypto::{KeyLineError, LocalMasterKeys};

/// `[crypto]`: keys that wrap keys, and keys that sign tokens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crypto {
    pub master_keys: Secret,
    #[serde(deserialize_with = "optional")]
    pub master_keys_file: Option<PathBuf>,
    pub root_key: Secret,
    #[serde(deserialize_with = "optional")]
    pub root_key_file: Option<PathBuf>,
    pub token_key: Secret,
    #[serde(deserialize_with = "optional")]
    pub token_key_file: Option<PathBuf>,
    #[serde(deserialize_with = "optional")]
    pub token_previous_keys_file: Option<PathBuf>,
    #[serde(rename = "token_ttl_ms", deserialize_with = "millis")]
    pub token_ttl: Duration,
    #[serde(rename = "token_max_ttl_ms", deserialize_with = "millis")]
    pub token_max_ttl: Duration,
}

impl Crypto {
    /// What wraps data keys, and is the root of names and ids.
    ///
    /// # Errors
    /// When none is set, or one is malformed.
    pub fn master_keys(&self) -> Result<LocalMasterKeys, ConfigError> {
        let keys = self.master_keys.expose();
        // In the environment lines are hard to write, so any space or comma separates.
        let lines: Vec<_> =
            keys.split(|c: char| c.is_whitespace() || c == ',').filter(|entry| !entry.is_empty()).collect();
        let keys = LocalMasterKeys::parse(&lines.join("\n")).map_err(|error| {
            let how = "not set: set TIDINGS_CRYPTO__MASTER_KEYS_FILE to a file with a line id:base64 of 32 random bytes \
                       (`echo \"k1:$(openssl rand -base64 32)\"` makes one)";
            let reason = if error == KeyLineError::None { how.to_owned() } else { error.to_string() };
            ConfigError::new(format!("crypto.master_keys: {reason}"))
        })?;
        if !self.root_key.is_set() {
            return Ok(keys);
        }
        keys.with_root(self.root_key.expose()).map_err(|error| ConfigError::new(format!("crypto.root_key: {error}")))
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        if self.master_keys.is_set()
            && let Err(error) = self.master_keys()
        {
            problems.extend(error);
        }
        if self.token_key.is_set() && !self.token_key.expose().contains("-----BEGIN PRIVATE KEY-----") {
            problems.add("crypto.token_key: allowed is an Ed25519 key in PKCS#8 PEM (`openssl genpkey -algorithm ed25519` makes one)");
        }
        problems.range("crypto.token_ttl_ms", self.token_ttl.as_millis(), 1_000..=31_536_000_000);
        problems.range("crypto.token_max_ttl_ms", self.token_max_ttl.as_millis(), 1_000..=31_536_000_000);
        problems.require(
            self.token_ttl <= self.token_max_ttl,
            "crypto.token_ttl_ms",
            self.token_ttl.as_millis(),
            "at most crypto.token_max_ttl_ms",
        );
    }
}
