//! The sequencer: commands in, numbered events out.

pub mod aggregate;
pub mod conversations;
pub mod owner;
pub mod progress;
#[cfg(test)]
mod simulation;
