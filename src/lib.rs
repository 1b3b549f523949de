//! Tidings: an event-sourced messaging backend on Kafka and Postgres.
//!
//! `docs/ARCHITECTURE.md` follows one message through these modules.

pub mod admin;
pub mod assemble;
pub mod backup;
pub mod chat;
pub mod cli;
pub mod codec;
pub mod config;
pub mod crypto;
pub mod dev;
pub mod domain;
pub mod gateway;
pub mod indexer;
pub mod log;
pub mod projector;
pub mod publisher;
pub mod registry;
pub mod scheduler;
pub mod search;
pub mod sequencer;
pub mod sessions;
pub mod store;

#[cfg(test)]
#[path = "../tests/fuzz/mod.rs"]
mod fuzz;
