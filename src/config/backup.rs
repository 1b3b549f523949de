use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::problems::Problems;
use super::secret::Secret;
use super::values::{millis, optional};

/// `[backup]`: where backups go, and how often they are made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    #[serde(deserialize_with = "optional")]
    pub destination: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub keys_destination: Option<String>,
    #[serde(rename = "interval_ms", deserialize_with = "millis")]
    pub interval: Duration,
    #[serde(deserialize_with = "optional")]
    pub s3_endpoint: Option<String>,
    pub s3_region: String,
    pub s3_virtual_hosts: bool,
    #[serde(deserialize_with = "optional")]
    pub s3_access_key: Option<String>,
    pub s3_secret_key: Secret,
    #[serde(deserialize_with = "optional")]
    pub s3_secret_key_file: Option<PathBuf>,
}

impl Backup {
    pub(super) fn check(&self, problems: &mut Problems) {
        problems.range("backup.interval_ms", self.interval.as_millis(), 1_000..=2_592_000_000);
        problems.require(!self.s3_region.is_empty(), "backup.s3_region", "\"\"", "the name of a region");
        problems.both_or_neither(
            ("backup.s3_access_key", self.s3_access_key.is_some()),
            ("backup.s3_secret_key", self.s3_secret_key.is_set()),
        );
        if let Some(endpoint) = &self.s3_endpoint {
            // Not shown: people put passwords in addresses.
            if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
                problems.add("backup.s3_endpoint: allowed is an address that starts with http:// or https://");
            } else if endpoint.contains('@') {
                problems.add("backup.s3_endpoint: holds a user or password: use backup.s3_access_key");
            }
        }
    }
}
