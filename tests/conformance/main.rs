//! `/openapi.json` and `/asyncapi.json` against the real server: every example is sent, every field is sent wrong, and whatever comes back is
//! as described. (`support/spec.rs` checks each frame and each response, here and in all other tests.)

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod documents;
mod pushes;
mod resources;
mod stage;
mod wrong;
