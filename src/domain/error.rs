//! Why something is refused: the stable codes of the protocol.

use serde::{Deserialize, Serialize};

crate::string_enum! {
    /// The codes that clients branch on. Their texts never change.
    pub enum ErrorCode {
        /// A frame that cannot be read as one.
        BadFrame => "bad_frame",
        /// A field is missing, of the wrong type or out of range.
        BadRequest => "bad_request",
        /// No valid token.
        Unauthenticated => "unauthenticated",
        /// Known, but not allowed.
        Forbidden => "forbidden",
        /// The actor is not in the conversation.
        NotAMember => "not_a_member",
        /// One of the two has blocked the other.
        Blocked => "blocked",
        /// No such thing in this tenant.
        NotFound => "not_found",
        /// The state does not permit it.
        Conflict => "conflict",
        /// The client id's own time is out of the window in which duplicates are known.
        StaleClientId => "stale_client_id",
        /// Over a limit of size or number.
        TooLarge => "too_large",
        /// Too many in too short a time.
        RateLimited => "rate_limited",
        /// Not now; nothing was decided.
        Unavailable => "unavailable",
        /// A defect of the server.
        Internal => "internal",
    }
}

impl ErrorCode {
    /// Whether the same command may be sent again as it is.
    pub const fn retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Unavailable | Self::Internal)
    }
}

/// A refusal. A final one (not retryable) is recorded in the journal, so that a retry hears the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Rejection {
    /// The stable code.
    pub code: ErrorCode,
    /// For people: what, to what, and what to do. Never content of messages.
    pub message: String,
    /// When it may work, of refusals that are not final: these are never recorded.
    #[serde(skip)]
    pub retry_after_ms: Option<i64>,
}

impl Rejection {
    /// A refusal with `code`.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None }
    }
}
