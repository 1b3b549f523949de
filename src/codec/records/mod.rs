//! The structs of the schemas, by what they are for.

mod commands;
mod deliveries;
mod events;
mod journal;
mod sessions;

pub use commands::{ConversationCommand, DeadLetter, ReplyTo, UserCommand, UserKeyRewrap};
pub use deliveries::{CrowdNotification, Delivery, Mark, Marks, Notification, Reply, Signal};
pub use events::{ConversationEvent, MemberState, Receipt, UserEvent, UserKey};
pub use journal::{Checkpoint, JournalRecord, REJECTED, StreamRecord};
pub use sessions::{GatewayClaim, Presence, PresenceStatus, Session};

macro_rules! record {
    ($($name:ident),+ $(,)?) => { $(impl crate::codec::Record for $name { const NAME: &'static str = stringify!($name); })+ };
}

record!(ConversationCommand, UserCommand, JournalRecord, ConversationEvent, Receipt, UserEvent, UserKey, Session);
record!(
    MemberState,
    GatewayClaim,
    Presence,
    Delivery,
    Marks,
    Notification,
    CrowdNotification,
    Signal,
    DeadLetter,
    Checkpoint,
    UserKeyRewrap
);
