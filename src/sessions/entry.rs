//! The records of topic `sessions`.

use std::str::FromStr;

use crate::codec::records::{GatewayClaim, Session};
use crate::codec::{Codec, DecodeError};
use crate::domain::{IncarnationId, SessionId};
use crate::log::Fetched;

/// A record.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A socket said `hello`.
    Began(Session),
    /// A session is over.
    Ended(SessionId),
    /// A gateway claims, or says that it still does.
    Claimed(GatewayClaim),
    /// A gateway incarnation is over and cleaned up after.
    Released(IncarnationId),
}

/// Why a record cannot be understood. Its reader stops: it would send to the wrong gateways.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// The value.
    #[error("`sessions` cannot be decoded at offset {offset}")]
    Value {
        /// There.
        offset: i64,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// The key of a tombstone.
    #[error("`sessions` has a tombstone at offset {offset} whose key is neither a session nor a gateway incarnation")]
    Key {
        /// There.
        offset: i64,
    },
}

impl Entry {
    /// What `fetched` says; none if it is of a type that this version does not know.
    ///
    /// # Errors
    /// See [`EntryError`].
    pub fn decode(codec: &Codec, fetched: &Fetched) -> Result<Option<Self>, EntryError> {
        let offset = fetched.offset;
        let Some(value) = &fetched.value else {
            let key = fetched.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default();
            let ended = SessionId::from_str(key).map(Self::Ended);
            let entry = ended.or_else(|_| IncarnationId::from_str(key).map(Self::Released));
            return entry.map(Some).map_err(|_| EntryError::Key { offset });
        };
        let damaged = |source| EntryError::Value { offset, source };
        match codec.name_of(value).map_err(damaged)?.as_str() {
            "Session" => codec.decode(value).map(Self::Began).map(Some).map_err(damaged),
            "GatewayClaim" => codec.decode(value).map(Self::Claimed).map(Some).map_err(damaged),
            _ => Ok(None),
        }
    }
}
