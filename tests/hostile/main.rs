//! Clients that mean harm, against the real program: each is bounded, and nobody else notices.

#[path = "../support/mod.rs"]
mod support;

mod crowds;
mod dawdlers;
mod guesses;
mod identities;
mod raw;
mod requests;
mod secrets;
mod sockets;

use support::{Role, Stack};

/// Another gateway of the installation, with settings of its own.
async fn gateway(stack: &Stack, settings: &[(&str, &str)]) -> Role {
    Role::start("gateway", &with(stack, settings)).await
}

/// The installation's settings, and others.
fn with(stack: &Stack, settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let settings = settings.iter().map(|(name, value)| (format!("TIDINGS_{name}"), (*value).to_owned()));
    stack.env.iter().cloned().chain(settings).collect()
}
