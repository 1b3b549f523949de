//! From `hello` to `caught_up`, and why nothing falls between.
//!
//! # What must hold
//! For every session and every accepted record of the journal that concerns its user: the record's effect is in a snapshot that the
//! session was given, or the record was pushed to it.
//!
//! # What the parts do
//! - **Gateway**: a session gets whatever is delivered to this gateway for its user since *before* its record was appended to
//!   `sessions`, at offset S. Deliveries and marks of one owner arrive in the order they were sent.
//! - **Owner** of a journal partition: takes its *term* by a commit that the consumer group fences, reads `sessions` to its end (F,
//!   `sessions_from`), and routes from the committed journal offset (`routed_from`). A mark (X, R) says: I know the sessions before X,
//!   and looked up the recipients of nothing at or after R before that. Everything it routed before R precedes the mark in our
//!   partition of `deliveries`. Before it commits offset C it makes marks with R ≥ C durable for every gateway it knows.
//! - **Book** ([`book`]): keeps the last mark of the highest term of each partition, and drops marks of lower terms. A session is *ready* when
//!   in every partition the current owner's X is above S. Then it is given a snapshot that covers the current R of every partition.
//!
//! # Why that is enough
//! *One owner.* What is before R is in the snapshot. What is at or after R is routed by an owner that knows the session: pushed.
//!
//! *A new owner, known to the gateway by its first mark.* A session with S < F is known to it from its first routing on, which starts
//! at `routed_from`. Everything before that, from the session's R on, was delivered by the owner before: at least up to `covered_to`,
//! the R of that owner's last mark. So if `routed_from` ≤ `covered_to` nothing is missing. If not, an owner in between routed and
//! committed without knowing this gateway (a zombie had told of the session instead): then all sessions are caught up again. A session
//! with S ≥ F may have been left out of what was routed first: it is caught up again too, as soon as the new owner's X is above S.
//! *Again* means: the changes since the session's last snapshot, then another `caught_up`. Clients ignore what they have.
//!
//! *A zombie* keeps sending deliveries and marks. Its deliveries only repeat (records are accepted by the journal's chain, not by who
//! delivers them). Its marks are dropped once the new term was seen. Before that they may make a session ready too early: the zombie
//! knows it, the new owner does not. The new owner's first mark then has F ≤ S, or `routed_from` above what the zombie covered, and mends
//! it. An owner that dies before its first mark has committed nothing beyond what was committed before, so the next one routes all of its
//! records again; and if it had, it did not know this gateway, which is the case above.
//!
//! *In between*: a snapshot read for one set of owners is thrown away for every session that a new owner's mark has set waiting
//! meanwhile. The cursor given is always the snapshot's, never further, so a client that connects again starts from what it surely had.
//!
//! *No owner, or Postgres away*: sessions wait. Sends and pushes go on.
//!
//! A simulation in the tests races all of this, and finds a missing event as soon as one of the rules is left out.

pub mod book;
pub mod cursor;
pub mod runner;
#[cfg(test)]
mod runner_tests;
#[cfg(test)]
mod simulation;

pub use cursor::Cursor;
pub use runner::{
    Asked, CatchUp, CatchUpSink, Caught, Changes, InboxViews, Joined, Snapshot, ViewCheckpoint, ViewsAway,
};
