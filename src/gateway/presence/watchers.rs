//! Which sockets want to hear of whom, without I/O.

use std::collections::{HashMap, HashSet};

use smallvec::SmallVec;

use super::book::View;
use crate::domain::{SessionId, TenantId, UserId};

/// Users that one socket may watch.
pub const MAX_WATCHED: usize = 200;

/// A socket that watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// Sees only its own.
    pub tenant: TenantId,
    /// Whose socket it is.
    pub user: UserId,
    /// Which.
    pub session: SessionId,
}

/// More than [`MAX_WATCHED`]; nothing was changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a socket may watch the presence of at most {MAX_WATCHED} users")]
pub struct TooMany;

#[derive(Default)]
struct Watched {
    by: SmallVec<[Watcher; 2]>,
    /// What they were told last.
    told: Option<View>,
}

/// The watching sockets of this gateway.
#[derive(Default)]
pub struct Watchers {
    /// By tenant: nothing of a user is told to another tenant's people, not even that something changed.
    watched: HashMap<(TenantId, UserId), Watched>,
    watching: HashMap<SessionId, (TenantId, HashSet<UserId>)>,
    /// Seen differently since they were told of.
    changed: HashSet<(TenantId, UserId)>,
}

impl Watchers {
    /// From now on `watcher` hears of `users`.
    ///
    /// # Errors
    /// If it would be too many.
    pub fn watch(&mut self, watcher: Watcher, users: &[UserId]) -> Result<(), TooMany> {
        let none = HashSet::new();
        let already = self.watching.get(&watcher.session).map_or(&none, |(_, users)| users);
        let new: HashSet<UserId> = users.iter().copied().filter(|user| !already.contains(user)).collect();
        if already.len() + new.len() > MAX_WATCHED {
            return Err(TooMany);
        }
        for user in &new {
            let key = (watcher.tenant, *user);
            let watched = self.watched.entry(key).or_default();
            watched.by.push(watcher);
            // It saw what the others were not told yet, which may still change back.
            watched.told = watched.told.filter(|_| !self.changed.contains(&key));
        }
        if !new.is_empty() {
            self.watching.entry(watcher.session).or_insert((watcher.tenant, HashSet::new())).1.extend(new);
        }
        Ok(())
    }

    /// `session` hears no more of `users`.
    pub fn unwatch(&mut self, session: SessionId, users: &[UserId]) {
        let Some((tenant, watching)) = self.watching.get_mut(&session) else { return };
        let tenant = *tenant;
        let no_more: Vec<_> = users.iter().copied().filter(|user| watching.remove(user)).collect();
        if watching.is_empty() {
            self.watching.remove(&session);
        }
        self.forget(session, tenant, no_more);
    }

    /// The socket is gone.
    pub fn remove(&mut self, session: SessionId) {
        if let Some((tenant, watching)) = self.watching.remove(&session) {
            self.forget(session, tenant, watching);
        }
    }

    fn forget(&mut self, session: SessionId, tenant: TenantId, users: impl IntoIterator<Item = UserId>) {
        for user in users {
            if let Some(watched) = self.watched.get_mut(&(tenant, user)) {
                watched.by.retain(|watcher| watcher.session != session);
                if watched.by.is_empty() {
                    self.watched.remove(&(tenant, user));
                }
            }
        }
    }

    /// `user` is seen differently. Whether anybody watches.
    pub fn changed(&mut self, tenant: TenantId, user: UserId) -> bool {
        let is_watched = self.watched.contains_key(&(tenant, user));
        if is_watched {
            self.changed.insert((tenant, user));
        }
        is_watched
    }

    /// Whom to tell what, of all that changed since the last time. What changed back is not told.
    pub fn take(&mut self, view: impl Fn(TenantId, UserId) -> View) -> Vec<(View, Vec<Watcher>)> {
        let mut news = Vec::new();
        for (tenant, user) in std::mem::take(&mut self.changed) {
            let Some(watched) = self.watched.get_mut(&(tenant, user)) else { continue };
            let now = view(tenant, user);
            if watched.told.replace(now) != Some(now) {
                news.push((now, watched.by.to_vec()));
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::records::PresenceStatus;
    use crate::domain::Timestamp;

    fn user(number: usize) -> UserId {
        UserId::from_bytes((number as u128).to_be_bytes())
    }

    fn watcher(number: u8) -> Watcher {
        let session = SessionId::from_bytes([number; 16]);
        Watcher { tenant: TenantId::default(), user: user(usize::from(number)), session }
    }

    fn view(status: PresenceStatus) -> impl Fn(TenantId, UserId) -> View {
        move |_, user| View { user, status, last_seen: Some(Timestamp(1)) }
    }

    #[test]
    fn a_socket_watches_a_limited_number_of_users() {
        let mut watchers = Watchers::default();
        let users: Vec<_> = (0..MAX_WATCHED).map(user).collect();
        assert_eq!(watchers.watch(watcher(1), &users), Ok(()));
        assert_eq!(watchers.watch(watcher(1), &users), Ok(()), "those it has count once");
        assert_eq!(watchers.watch(watcher(1), &[user(999)]), Err(TooMany));
        watchers.unwatch(watcher(1).session, &[user(0)]);
        assert_eq!(watchers.watch(watcher(1), &[user(999)]), Ok(()));
    }

    #[test]
    fn who_comes_amid_a_change_that_is_undone_is_told() {
        let mut watchers = Watchers::default();
        let tenant = TenantId::default();
        let _ = watchers.watch(watcher(1), &[user(1)]);
        watchers.changed(tenant, user(1));
        watchers.take(view(PresenceStatus::Online));
        watchers.changed(tenant, user(1));
        let _ = watchers.watch(watcher(2), &[user(1)]);
        watchers.changed(tenant, user(1));
        assert_eq!(watchers.take(view(PresenceStatus::Online)).len(), 1);
    }

    #[test]
    fn changes_are_told_once_to_those_who_watch() {
        let mut watchers = Watchers::default();
        assert!(!watchers.changed(TenantId::default(), user(1)), "nobody watches");
        let _ = watchers.watch(watcher(1), &[user(1)]);
        let _ = watchers.watch(watcher(2), &[user(1), user(2)]);
        assert!(watchers.changed(TenantId::default(), user(1)));
        assert!(watchers.changed(TenantId::default(), user(1)));
        let news = watchers.take(view(PresenceStatus::Online));
        assert_eq!(news.len(), 1);
        assert_eq!(news[0].1, [watcher(1), watcher(2)]);
        assert!(!watchers.changed(TenantId::from_bytes([7; 16]), user(1)), "another tenant's");
        watchers.changed(TenantId::default(), user(1));
        assert_eq!(watchers.take(view(PresenceStatus::Online)), [], "it changed back");
        watchers.changed(TenantId::default(), user(1));
        watchers.remove(watcher(2).session);
        let news = watchers.take(view(PresenceStatus::Away));
        assert_eq!(news[0].1, [watcher(1)]);
        watchers.remove(watcher(1).session);
        assert!(watchers.watched.is_empty() && watchers.watching.is_empty());
    }
}
