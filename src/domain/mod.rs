//! What the system decides, without any I/O: ids, commands, events, `decide` and `evolve`.
//!
//! Everything here is pure and deterministic. The shell around it (`sequencer`) feeds in the
//! broker's append time and whatever else is not a function of the state and the command.

pub mod conversation;
pub mod decision;
pub mod error;
pub mod ids;
pub mod policy;
pub mod text;
pub mod time;
pub mod user;

pub use error::{ErrorCode, Rejection};
pub use ids::{
    CommandId, ConversationId, DeviceId, EventId, Id, IncarnationId, InviteId, LinkId, SessionId, TenantId, UserId,
};
pub use time::Timestamp;
