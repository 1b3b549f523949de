//! A conversation as the sequencer sees it: `decide` turns a command into at most one event,
//! `evolve` turns an event into the next state. Both are pure.

mod command;
mod decide;
mod event;
mod evolve;
mod state;

pub use command::{Command, CreateConversation, Input, MarkRead, SendMessage, Users};
pub use decide::decide;
pub use event::{ConversationCreated, Event, LeaveReason, MemberJoined, MemberLeft, MemberRole, MessageSent, Read};
pub use evolve::evolve;
pub use state::{Conversation, Member, Sent};

/// An event of a conversation with its numbers.
pub type Recorded = super::decision::Recorded<Event>;
/// What was decided on a conversation.
pub type Decision = super::decision::Decision<Event>;

/// How old a client id may be when its command arrives, in milliseconds.
pub const CLIENT_ID_MAX_AGE_MS: i64 = 24 * super::time::HOUR_MS;
/// How far ahead of the broker's clock a client id may be, in milliseconds.
pub const CLIENT_ID_MAX_AHEAD_MS: i64 = 5 * super::time::MINUTE_MS;
/// The most members a conversation can have.
pub const MAX_MEMBERS: usize = 100_000;
/// The most users one command may name.
pub const MAX_USERS_A_COMMAND: usize = 1_000;
