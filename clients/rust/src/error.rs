//! What can go wrong, told by what the caller does about it: [`Error::is_final`] says whether to come back.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

/// A refusal by the server. `code` is stable, `message` is for people.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ServerError {
    /// One of the protocol's codes, for instance `not_a_member`.
    pub code: String,
    /// What happened, in words.
    #[serde(default)]
    pub message: String,
    /// The same command may succeed later.
    #[serde(default)]
    pub retryable: bool,
    /// The least time to wait before that, in milliseconds.
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
}

/// How a connection ended. No code: the network, not the server, ended it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// The WebSocket close code.
    pub code: Option<u16>,
    /// The server's reason, or what was seen here.
    pub reason: String,
}

impl Closed {
    /// The token ran out: get a new one, then come back.
    pub const TOKEN_EXPIRED: u16 = 4040;

    /// The connection broke without a close frame.
    pub(crate) fn broken(reason: impl Into<String>) -> Self {
        Self { code: None, reason: reason.into() }
    }

    /// Codes 4500–4999 say: do not come back.
    pub fn is_final(&self) -> bool {
        self.code.is_some_and(|code| (4500..5000).contains(&code))
    }
}

impl std::fmt::Display for Closed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code {
            Some(code) => write!(out, "closed with {code} {}", self.reason),
            None => write!(out, "broken: {}", self.reason),
        }
    }
}

/// An error of this crate. It can be cloned, because one broken connection ends many calls.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The server's address cannot be used.
    #[error("bad server address {address:?}: {reason}")]
    Address {
        /// The address as given.
        address: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The connection could not be made.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where to.
        address: String,
        /// The HTTP status, when the server refused the upgrade.
        status: Option<u16>,
        /// `Retry-After` of that answer, in milliseconds.
        retry_after_ms: Option<u64>,
        /// The cause.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// `hello` was refused.
    #[error("hello was refused: {error}")]
    Refused {
        /// The refusal.
        error: ServerError,
        /// The close frame that came after it.
        closed: Option<Closed>,
    },
    /// A command was refused.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The connection ended before the answer. Whether the command was done is not known.
    #[error("the connection is {0}")]
    Closed(Closed),
    /// No new token could be had.
    #[error("cannot get a token: {0}")]
    Token(String),
    /// An answer did not have the protocol's shape.
    #[error("the answer to {what} has an unexpected shape")]
    Shape {
        /// The command.
        what: String,
        /// What was wrong with it.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// Nothing came in time.
    #[error("no {what} within {} ms", after.as_millis())]
    Timeout {
        /// What was awaited.
        what: String,
        /// For how long.
        after: Duration,
    },
    /// The client was stopped before the answer came.
    #[error("the client has stopped")]
    Stopped,
}

impl Error {
    /// The server's code, if it refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Server(error) | Self::Refused { error, .. } => Some(&error.code),
            _ => None,
        }
    }

    /// The close code, if the server closed.
    pub fn close_code(&self) -> Option<u16> {
        match self {
            Self::Closed(closed) | Self::Refused { closed: Some(closed), .. } => closed.code,
            _ => None,
        }
    }

    /// The token is too old, a new one would do.
    pub fn wants_token(&self) -> bool {
        self.close_code() == Some(Closed::TOKEN_EXPIRED)
    }

    /// Connecting again cannot help. A close code decides; without one, the refusal does.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Closed(closed) | Self::Refused { closed: Some(closed @ Closed { code: Some(_), .. }), .. } => {
                closed.is_final()
            }
            Self::Server(error) | Self::Refused { error, .. } => !error.retryable,
            Self::Connect { status, .. } => matches!(status, Some(401 | 403)),
            Self::Address { .. } | Self::Shape { .. } | Self::Stopped => true,
            Self::Token(_) | Self::Timeout { .. } => false,
        }
    }

    /// The least time to wait before the next try, where the server named one.
    pub fn retry_after(&self) -> Option<Duration> {
        let ms = match self {
            Self::Server(error) | Self::Refused { error, .. } => error.retry_after_ms,
            Self::Connect { retry_after_ms, .. } => *retry_after_ms,
            _ => None,
        };
        ms.map(Duration::from_millis)
    }

    pub(crate) fn shape(what: &str, source: serde_json::Error) -> Self {
        Self::Shape { what: what.to_owned(), source: Arc::new(source) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: u16) -> Error {
        Error::Closed(Closed { code: Some(code), reason: String::new() })
    }

    #[test]
    fn close_codes_from_4500_are_final() {
        assert!([4500, 4501, 4503, 4999].into_iter().all(|code| closed(code).is_final()));
        assert!([1000, 1006, 4000, 4001, 4008, 4040, 4499].into_iter().all(|code| !closed(code).is_final()));
        assert!(closed(4040).wants_token());
    }

    #[test]
    fn the_close_code_decides_over_the_refusal() {
        let error = |retryable| ServerError {
            code: "unauthenticated".into(),
            message: String::new(),
            retryable,
            retry_after_ms: Some(70),
        };
        let expired = Closed { code: Some(4040), reason: String::new() };
        assert!(!Error::Refused { error: error(false), closed: Some(expired) }.is_final());
        assert!(Error::Refused { error: error(false), closed: Some(Closed::broken("reset")) }.is_final());
        let busy = Error::Refused { error: error(true), closed: None };
        assert!(!busy.is_final());
        assert_eq!(busy.retry_after(), Some(Duration::from_millis(70)));
    }
}
