//! A conversation as the sequencer sees it: `decide` turns a command into at most one event,
//! `evolve` turns an event into the next state. Both are pure.

mod command;
mod decide;
mod event;
mod evolve;
mod known;
mod reactions;
mod report;
mod state;

pub use command::{
    Block, ChangeSettings, Command, CreateConversation, Draft, EditMessage, Input, MarkRead, OfMessage, Restriction,
    SendMessage, UpdateConversation, Users,
};
pub use decide::decide;
pub use event::{
    ConversationCreated, DeleteReason, Event, Forward, InThread, Invite, LeaveReason, Located, MemberJoined,
    MemberLeft, MemberRole, MessageDeleted, MessageEdited, MessageSent, Notify, OfInvite, PollRules, Reaction, Read,
    RemovedMessage, Settings, Vote,
};
pub use evolve::evolve;
pub use known::{Known, Lookup, Message, Poll, Sent, Thread};
pub use report::{Report, ReportMessage, ReportOutcome, ReportReason, Reports, Resolution, Said};
pub use state::{Conversation, Invitation, Member};

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
/// The most times one message can be edited.
pub const MAX_EDITS: usize = 100;
/// The most times one location can move.
pub const MAX_MOVES: usize = 1_000;
/// The longest that a location can move, in milliseconds.
pub const MAX_LIVE_MS: i64 = 24 * super::time::HOUR_MS;
/// The most answers of a poll.
pub const MAX_POLL_OPTIONS: i32 = 20;
/// The shortest and longest that a message can be there before it is removed, in milliseconds.
pub const EXPIRY_MS: std::ops::RangeInclusive<i64> = 1_000..=366 * 24 * super::time::HOUR_MS;
/// The most pinned messages of a conversation.
pub const MAX_PINS: usize = 100;
/// The most kinds of reactions to one message.
pub const MAX_REACTIONS: usize = 50;
/// The most users who are banned from a conversation, or may only read, at a time.
pub const MAX_RESTRICTED: usize = 10_000;
/// The most invitations of a conversation that can be used at a time, and the most in all that were not revoked.
pub const MAX_INVITES: usize = 100;
/// See [`MAX_INVITES`].
pub const MAX_INVITES_KEPT: usize = 1_000;
/// The most users who ask to be added to a conversation at a time.
pub const MAX_REQUESTS: usize = 10_000;
/// The longest that members can be made to wait between two messages, in milliseconds.
pub const MAX_SLOW_MODE_MS: i64 = 6 * super::time::HOUR_MS;
