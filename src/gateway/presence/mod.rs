//! Who is there, as others see it.
//!
//! Topic `presence` holds what each session shows (`usr_…/ses_…`, a tombstone at its end) and when a user was last seen (`usr_…/last`).
//! Every gateway reads all of it ([`service`]) into a table ([`book`]) and tells the sockets that watch ([`watchers`]).
//!
//! A user is online if a session is, else away if one is, else offline; invisible is shown as offline, and what an invisible
//! session does never moves when its user was last seen. Sessions of gateways that are no more count for nothing.
//!
//! Who sees whom is [`crate::domain::policy::sight`], of what the views know. It is looked up when a watch begins, and again for everybody
//! who watches a user when a tombstone of `usr_…/tnt_…` comes: whoever changed that writes one, once the views have it.

pub mod book;
pub mod keys;
pub mod service;
pub mod watchers;

pub use book::View;
pub use service::{PresenceError, PresenceSink, Presences};
pub use watchers::{MAX_WATCHED, TooMany, Watcher};
