//! The gateway: sockets and HTTP in, commands out; deliveries in, pushes out. It holds no state of conversations.
//!
//! A client: [`arrivals`] lets it in, [`session`] registers and catches it up; [`socket`] or [`stream`] carries it.
//! A frame: [`socket`] reads it, [`frames`] takes its envelope, [`rate`] lets it pass, [`commands`] checks its `data` and either reads the
//! views or asks the owner ([`edge::Edge::ask_conversation`]); the reply comes back through [`deliveries`] to [`pending`].
//! A push: [`deliveries`] opens and serializes an event once, [`hub`] finds the sockets, [`outbox`] holds what each has to write.
//! Being one of many: [`claim`] holds this gateway's partition of deliveries, [`catch_up`] says when a session has missed nothing,
//! [`presence`] who is there. Everything that comes from elsewhere stands in [`ports`].

pub mod adapters;
mod admission;
pub mod arrivals;
pub mod auth;
pub mod catch_up;
pub mod claim;
pub mod closing;
pub mod commands;
pub mod deliveries;
pub mod edge;
pub mod failure;
#[cfg(test)]
pub(crate) mod fakes;
pub mod frames;
pub mod http;
pub mod hub;
pub mod listener;
pub mod outbox;
pub mod paging;
pub mod pending;
pub mod ports;
pub mod presence;
pub mod rate;
pub mod search;
pub mod seen;
pub mod session;
pub mod shapes;
pub mod socket;
pub mod spec;
pub mod stream;
pub mod tls;
pub mod typing;

pub use deliveries::Deliveries;
pub use edge::{Edge, Identity, Options, Ports};
