use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use super::problems::{ConfigError, Problems};

/// `[log]`: what is logged, and how it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub format: Format,
    pub level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Text,
    Json,
}

impl Log {
    /// The filter that `log.level` describes.
    ///
    /// # Errors
    /// When it is not one (never, once loaded).
    pub fn filter(&self) -> Result<EnvFilter, ConfigError> {
        EnvFilter::try_new(&self.level).map_err(|error| {
            ConfigError::new(format!(
                "log.level = {:?}: {error}; allowed is error, warn, info, debug, trace, \
                 or directives such as info,tidings::sequencer=debug",
                self.level
            ))
        })
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        if let Err(error) = self.filter() {
            problems.extend(error);
        }
    }
}
