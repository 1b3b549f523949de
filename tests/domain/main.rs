//! What conversations decide.

mod given;
mod laws;
mod messages;
mod restrictions;
mod rules;
