//! What a client is told when something does not work.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::ports::ReadError;
use crate::domain::{ErrorCode, Rejection};

/// An error as the protocol spells it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// The stable code.
    pub code: ErrorCode,
    /// For people: what, to what, and what to do.
    pub message: String,
    /// When it may work; set only where it is known.
    pub retry_after_ms: Option<u64>,
}

impl Failure {
    /// A failure with `code`.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None }
    }

    /// A field is missing, of the wrong type or out of range.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    /// Not now; nothing was decided.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unavailable, message)
    }

    /// The same, but not to be tried again before `wait`.
    pub fn after(mut self, wait: Duration) -> Self {
        self.retry_after_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1));
        self
    }

    /// No such thing in this tenant.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// No valid token or key.
    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unauthenticated, message)
    }

    /// Over a limit of size or number.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::TooLarge, message)
    }

    /// A defect of the server. What it is goes to the log, never to the client.
    pub fn internal() -> Self {
        Self::new(ErrorCode::Internal, "the server failed at this; try again, and report it if it persists")
    }

    /// Too many in too short a time.
    pub fn rate_limited(wait: Duration) -> Self {
        Self::new(ErrorCode::RateLimited, "too many requests; slow down").after(wait)
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        let retry_after_ms = rejection.retry_after_ms.and_then(|wait_ms| u64::try_from(wait_ms).ok());
        Self { retry_after_ms, ..Self::new(rejection.code, rejection.message) }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::BadCursor => Self::bad_request("the cursor is not one of this server; start without one"),
            ReadError::TooLong => Self::too_large(
                "this takes too long to be found; name a conversation, a time (after, before) or rarer words",
            ),
            ReadError::Failed(_) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a read failed");
                Self::unavailable("the views cannot be read at the moment; try again")
            }
        }
    }
}

/// What a client reads of a [`Failure`].
#[derive(Serialize, JsonSchema)]
pub struct Error<'a> {
    /// The stable code to branch on.
    code: ErrorCode,
    /// For people.
    message: &'a str,
    /// Whether the same may be sent again as it is.
    retryable: bool,
    /// When it may work, where that is known.
    retry_after_ms: Option<u64>,
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { code, message, retry_after_ms } = self;
        Error { code: *code, message, retryable: code.retryable(), retry_after_ms: *retry_after_ms }
            .serialize(serializer)
    }
}

/// `value` as JSON. What the gateway serializes are its own structs, which cannot fail.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| {
        tracing::error!(%error, "cannot serialize");
        debug_assert!(false, "cannot serialize: {error}");
        "null".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_four_fields_of_the_protocol() {
        assert_eq!(
            json(&Failure::new(ErrorCode::NotAMember, "no")),
            r#"{"code":"not_a_member","message":"no","retryable":false,"retry_after_ms":null}"#
        );
        assert_eq!(
            json(&Failure::rate_limited(Duration::from_millis(12))),
            r#"{"code":"rate_limited","message":"too many requests; slow down","retryable":true,"retry_after_ms":12}"#
        );
    }
}
