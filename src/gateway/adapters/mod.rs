//! The real things behind [`super::ports`].

mod catching_up;
mod index;
mod keys;
mod presences;
mod reports;
pub(crate) mod views;

pub use catching_up::{CatchingUp, Resender};
pub use index::Index;
pub use keys::Keys;
pub use presences::{PresencePusher, Present};
pub use views::Views;
