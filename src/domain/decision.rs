//! What `decide` answers, for every aggregate alike.

use super::{Rejection, Timestamp, UserId};

/// What `decide` found. A command makes at most one event.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision<E> {
    /// Something happens: append it.
    Record(Recorded<E>),
    /// It is so already: answer without a record.
    Done(Done),
    /// No, and a retry must hear the same: append the refusal.
    Reject(Rejection),
}

/// An event with its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded<E> {
    /// Who did it.
    pub actor: UserId,
    /// The broker's time of the command, never going back within an aggregate.
    pub at: Timestamp,
    /// Number in the timeline: 1, 2, 3 …; 0 for what is not of the timeline (receipts).
    pub position: i64,
    /// What happened.
    pub event: E,
}

/// What an `ok` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Of the event, or the aggregate's newest.
    pub position: i64,
    /// Of the message; 0 for everything else.
    pub seq: i64,
    /// Of the event.
    pub at: Timestamp,
    /// Whether nothing new happened.
    pub duplicate: bool,
}
