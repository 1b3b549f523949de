//! Tidings: an event-sourced messaging backend on Kafka and Postgres.
//!
//! `docs/ARCHITECTURE.md` follows one message through these modules.

pub mod codec;
pub mod config;
pub mod domain;
