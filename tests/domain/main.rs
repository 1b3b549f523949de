//! What conversations decide.

mod contents;
mod given;
mod invites;
mod laws;
mod messages;
mod restrictions;
mod rules;
