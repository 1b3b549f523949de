//! What is wrong with a configuration: collected, so that one start shows everything there is to correct.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;

/// Why a configuration was refused: one line for each problem, which names the setting, its value (never a secret's)
/// and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl ConfigError {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self(vec![problem.into()])
    }
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        self.0.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for ConfigError {}

#[derive(Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    pub fn add(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    pub fn extend(&mut self, error: ConfigError) {
        self.0.extend(error.0);
    }

    /// Refuses `value` of the setting `name` unless `holds`.
    pub fn require(&mut self, holds: bool, name: &str, value: impl Display, allowed: &str) {
        if !holds {
            self.add(format!("{name} = {value}: allowed is {allowed}"));
        }
    }

    pub fn range<T: PartialOrd + Display>(&mut self, name: &str, value: T, allowed: RangeInclusive<T>) {
        let text = format!("{} to {}", allowed.start(), allowed.end());
        self.require(allowed.contains(&value), name, value, &text);
    }

    /// Two settings that only mean something together.
    pub fn both_or_neither(&mut self, (a, a_is_set): (&str, bool), (b, b_is_set): (&str, bool)) {
        if a_is_set != b_is_set {
            let (set, unset) = if a_is_set { (a, b) } else { (b, a) };
            self.add(format!("{set} is set but {unset} is not: set both, or neither"));
        }
    }

    pub fn into_result(self) -> Result<(), ConfigError> {
        if self.0.is_empty() { Ok(()) } else { Err(ConfigError(self.0)) }
    }
}
