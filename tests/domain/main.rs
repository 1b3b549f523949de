//! What conversations decide.

mod contents;
mod given;
mod invites;
mod laws;
mod messages;
mod reports;
mod restrictions;
mod rules;
