use std::path::PathBuf;

use serde::Deserialize;

use super::problems::Problems;
use super::secret::Secret;
use super::values::optional;

/// `[registry]`: an outside schema registry, if there is one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    #[serde(deserialize_with = "optional")]
    pub url: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub username: Option<String>,
    pub password: Secret,
    #[serde(deserialize_with = "optional")]
    pub password_file: Option<PathBuf>,
}

impl Registry {
    pub(super) fn check(&self, problems: &mut Problems) {
        if let Some(url) = &self.url {
            // Not shown: people put passwords in addresses.
            if !url.starts_with("http://") && !url.starts_with("https://") {
                problems.add("registry.url: allowed is an address that starts with http:// or https://");
            } else if url.contains('@') {
                problems.add("registry.url: holds a user or password: use registry.username and registry.password");
            }
        }
        problems.both_or_neither(
            ("registry.username", self.username.is_some()),
            ("registry.password", self.password.is_set()),
        );
        if self.username.is_some() && self.url.is_none() {
            problems.add("registry.username is set but registry.url is not: set both, or neither");
        }
    }
}
