//! The real things behind [`super::ports`].

mod keys;

pub use keys::Keys;
