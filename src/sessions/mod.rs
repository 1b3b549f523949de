//! Who is connected where: topic `sessions` as a table in memory, the same in every process that reads it.
//!
//! [`claims`] is the rule of who holds a partition of `deliveries`, [`roster`] what the records amount to (both pure), [`entry`] the
//! records themselves, [`table`] the reading.
//!
//! # Which gateways are sent to
//! By the order of records alone: a gateway is sent to from its claim until its tombstone or a claim that supersedes it. No clock
//! takes part. A process that was paused for a while finds everybody overdue before it has read on; if it stopped sending to
//! them, sockets that are alive would have a gap that nobody tells them of. A clock (ours, monotonic) only says who is *overdue*: then
//! another gateway may supersede the claim, and until it does users are sent notifications as well (a repetition is told by its event).

pub mod claims;
pub mod entry;
pub mod roster;
#[cfg(test)]
mod roster_tests;
pub mod table;

pub use claims::Claim;
pub use entry::Entry;
pub use roster::{Gateway, Gateways, SessionOf};
pub use table::{Look, SessionTable, TableError};
