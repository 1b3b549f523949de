//! Backups of what cannot be made again: the public streams, how far they are, tenants and API keys; and, apart from what they open,
//! the wrapped data keys. Views are made again from the streams, journals begin anew in a higher epoch.
//!
//! A backup is a [`Manifest`] and the objects that it names. The first of a chain is full, each further one holds what was written
//! since the one before; all of a chain are restored in order, tombstones included. The data keys are the exception: every
//! backup writes them whole and removes the copy before, so that a key that was destroyed is in no backup any more.
//!
//! All streams of a journal are cut at one index: the checkpoint that was read first. What a transaction of a publisher wrote is in
//! the backup as a whole or not at all, and nothing in it rests on something that is not.

pub mod container;
pub mod destination;
mod empty;
mod kafka;
mod keys;
pub mod manifest;
pub mod restore;
pub mod save;
mod streams;

pub use destination::{Access, Destination};
pub use keys::FOLDER as KEYS;
pub use manifest::Manifest;

use crate::log::topics;

/// What is told of progress: how much is done, of how much.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Whether a record of a topic is kept. All are but those of `presence`, where only when a user was last seen outlives its sessions.
fn is_kept(topic: &str, key: Option<&[u8]>) -> bool {
    topic != topics::PRESENCE || key.is_some_and(|key| key.ends_with(b"/last"))
}

/// The topics whose records are backed up in increments, and the journal that each is a copy of.
fn incremental() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    let public = topics::PUBLIC.iter().filter(|(topic, _)| *topic != topics::USER_KEYS);
    public.map(|(topic, journal)| (*topic, Some(*journal))).chain([(topics::PRESENCE, None)])
}
