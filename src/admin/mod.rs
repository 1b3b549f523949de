//! What people do to an installation from the command line.

pub mod audit;
pub mod backup;
pub mod dead_letters;
pub mod dev;
mod progress;
pub mod rebuild;
pub mod rotate;
pub mod tenants;
