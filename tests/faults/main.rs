//! Roles die, freeze and restart in the middle of a conversation; views are rebuilt; commands cannot be decoded.

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod dead_letters;
mod drain;
mod gaps;
mod late;
mod overload;
mod rebuild;
mod restarts;
mod storm;
mod takeover;
