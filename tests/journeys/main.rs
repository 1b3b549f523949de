//! Stories of people, through real sockets of the real binary over a real Kafka and Postgres.

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod blocking;
mod catch_up;
mod chat;
mod contents;
mod conversations;
mod crowds;
mod duplicates;
mod entrances;
mod groups;
mod http;
mod messages;
mod moderation;
mod presence;
mod search;
mod stream;
