//! Who shows what.

pub mod keys;
