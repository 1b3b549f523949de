//! What conversations decide.

mod contents;
mod given;
mod laws;
mod messages;
mod restrictions;
mod rules;
