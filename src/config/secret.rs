//! Text that must not reach a log: redacted in `Debug`, wiped from memory when dropped.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

use super::problems::Problems;

/// A secret setting. Empty means not set.
#[derive(Clone, Debug)]
pub struct Secret(SecretString);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    pub fn is_set(&self) -> bool {
        !self.0.expose_secret().is_empty()
    }

    /// The secret itself: for the call that needs it, not to be kept or printed.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Takes the secret from its `_file` setting, as containers are given them.
    pub(super) fn read_file(&mut self, name: &str, file: &Path, problems: &mut Problems) {
        if self.is_set() {
            problems.add(format!("{name} and {name}_file are both set: set one"));
            return;
        }
        match std::fs::read_to_string(file) {
            // Editors end a file with a newline that is no part of the secret.
            Ok(text) if !text.trim().is_empty() => *self = Self::new(text.trim()),
            Ok(_) => problems.add(format!("{name}_file = {}: the file is empty", file.display())),
            Err(error) => problems.add(format!("{name}_file = {}: cannot be read: {error}", file.display())),
        }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}
