//! The JSON shapes of the protocol, from records and from rows alike. The one place that knows them.

mod channel;
mod content;
mod conversation;
mod event;
mod message;
mod passing;
mod report;

use serde::Serializer;

use super::failure::Failure;
use super::ports::{Keyring, OpenError, Place, Sealed};
use crate::crypto::Field;
use crate::domain::{CommandId, ConversationId, TenantId, Timestamp};

pub use channel::Channel;
pub use content::{Contact, Content, Point, Question};
pub use conversation::Conversation;
pub use event::{DurableEvent, data};
pub use message::{Location, Message, PresentMessage};
pub use passing::{Hidden, Pointer, Presence, Typing, hidden, presence, privacy, receipt, signal, thread_read};

pub use report::ReportedMessage;

#[cfg(test)]
mod tests;

/// What an id takes in JSON, with its quotes and comma.
const ID_BYTES: usize = 33;
/// What a message or an event takes beside what is of any length.
const FRAME_BYTES: usize = 256;

/// RFC 3339 UTC with milliseconds.
pub fn rfc3339<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// The same, or null.
pub fn rfc3339_option<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => rfc3339(at, serializer),
        None => serializer.serialize_none(),
    }
}

/// Opens sealed fields of one tenant.
#[derive(Clone, Copy)]
pub struct Opener<'a> {
    keyring: &'a dyn Keyring,
    tenant: TenantId,
}

impl<'a> Opener<'a> {
    /// For content of `tenant`.
    pub fn new(keyring: &'a dyn Keyring, tenant: TenantId) -> Self {
        Self { keyring, tenant }
    }

    fn place(&self, conversation: ConversationId, command: CommandId) -> Place {
        Place { tenant: self.tenant, conversation, command }
    }

    /// Opens what is sealed under the conversation's key.
    fn shown(
        &self,
        conversation: ConversationId,
        field: Field,
        sealed: Option<Sealed>,
    ) -> Result<Option<String>, OpenError> {
        let open =
            |sealed: Sealed| self.keyring.open_shown(self.place(conversation, sealed.causation), field, &sealed.bytes);
        sealed.map(open).transpose()
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::KeyMissing => Self::unavailable("a key is not here yet; try again"),
            OpenError::Broken => Self::internal(),
        }
    }
}
