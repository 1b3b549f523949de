use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::problems::{ConfigError, Problems};
use super::secret::Secret;
use super::values::{millis, optional};

/// `[crypto]`: keys that wrap keys, and keys that sign tokens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crypto {
    pub master_keys: Secret,
    #[serde(deserialize_with = "optional")]
    pub master_keys_file: Option<PathBuf>,
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

/// A key that wraps data keys.
#[derive(Clone)]
pub struct MasterKey {
    pub id: String,
    pub key: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Crypto {
    /// The master keys, the newest (the one that wraps) first; at least one.
    ///
    /// # Errors
    /// When none is set.
    pub fn master_keys(&self) -> Result<Vec<MasterKey>, ConfigError> {
        let refuse = |reason: String| ConfigError::new(format!("crypto.master_keys: {reason}"));
        let mut ids = HashSet::new();
        let mut keys = Vec::new();
        // In the environment lines are hard to write, so any space or comma separates.
        let entries = self.master_keys.expose().split(|c: char| c.is_whitespace() || c == ',');
        for (number, entry) in entries.filter(|entry| !entry.is_empty()).enumerate() {
            let number = number + 1;
            let key = parse_key(entry).ok_or_else(|| {
                refuse(format!(
                    "key {number}: allowed is id:base64 of 32 bytes, the id of up to 64 letters, digits, `.`, `_`, `-`"
                ))
            })?;
            if !ids.insert(key.id.clone()) {
                return Err(refuse(format!("key {number}: the id {} is there twice", key.id)));
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(refuse(
                "not set: set TIDINGS_CRYPTO__MASTER_KEYS_FILE to a file with a line id:base64 of 32 random bytes \
                 (`echo \"k1:$(openssl rand -base64 32)\"` makes one)"
                    .to_owned(),
            ));
        }
        Ok(keys)
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

fn parse_key(entry: &str) -> Option<MasterKey> {
    let (id, encoded) = entry.split_once(':')?;
    let is_id = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if id.is_empty() || id.len() > 64 || !id.chars().all(is_id) {
        return None;
    }
    let bytes = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    Some(MasterKey { id: id.to_owned(), key: Zeroizing::new(bytes.as_slice().try_into().ok()?) })
}
