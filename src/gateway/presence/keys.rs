//! The keys of topic `presence`. Its partitions are those of the user's id alone.

use std::str::FromStr;

use crate::domain::{SessionId, TenantId, UserId};

/// What a record of `presence` is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// What a session of the user shows.
    Session(UserId, SessionId),
    /// When the user was last seen.
    Last(UserId),
    /// Who sees the user has changed, for people of its tenant. Always a tombstone: it only says that it is to be looked up anew.
    Regard(UserId, TenantId),
}

/// `usr_…/ses_…`
pub fn session(user: UserId, session: SessionId) -> String {
    format!("{user}/{session}")
}

/// `usr_…/last`
pub fn last(user: UserId) -> String {
    format!("{user}/last")
}

/// `usr_…/tnt_…`
pub fn regard(user: UserId, tenant: TenantId) -> String {
    format!("{user}/{tenant}")
}

/// Of the bytes of a key; none if it is neither.
pub fn parse(key: &[u8]) -> Option<Key> {
    let (user, of) = std::str::from_utf8(key).ok()?.split_once('/')?;
    let user = UserId::from_str(user).ok()?;
    if of == "last" {
        return Some(Key::Last(user));
    }
    let session = SessionId::from_str(of).map(|session| Key::Session(user, session));
    session.ok().or_else(|| Some(Key::Regard(user, TenantId::from_str(of).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let (user, of) = (UserId::generate(), SessionId::generate());
        assert_eq!(parse(session(user, of).as_bytes()), Some(Key::Session(user, of)));
        assert_eq!(parse(last(user).as_bytes()), Some(Key::Last(user)));
        let tenant = TenantId::generate();
        assert_eq!(parse(regard(user, tenant).as_bytes()), Some(Key::Regard(user, tenant)));
        for text in ["", "/", "usr_/last", "last", &format!("{user}/"), &format!("{user}/ses_1")] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
