//! Which sockets want to hear of whom, without I/O.

use std::collections::{HashMap, HashSet};

use smallvec::SmallVec;

use super::book::View;
use crate::domain::policy::Sight;
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

/// What one socket sees of one user.
struct Watching {
    watcher: Watcher,
    /// None: to be looked up.
    sight: Option<Sight>,
    /// What it was told last; none before it was answered.
    told: Option<View>,
}

struct Watched {
    by: SmallVec<[Watching; 2]>,
    /// Which change of who sees the user was the last: what was looked up before it counts for nothing.
    round: u64,
}

/// What is to be looked up: what `watcher` sees of `user`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Who looks.
    pub watcher: Watcher,
    /// At whom.
    pub user: UserId,
    round: u64,
}

/// The watching sockets of this gateway.
#[derive(Default)]
pub struct Watchers {
    /// By tenant: nothing of a user is told to another tenant's people, not even that something changed.
    watched: HashMap<(TenantId, UserId), Watched>,
    watching: HashMap<SessionId, (TenantId, HashSet<UserId>)>,
    /// Seen differently since they were told of.
    changed: HashSet<(TenantId, UserId)>,
    round: u64,
}

impl Watchers {
    /// From now on `watcher` hears of `users`, once it is [`Watchers::answered`]. What it sees of each is to be looked up, anew if it
    /// watches already.
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
            self.round += 1;
            let watched = Watched { by: SmallVec::new(), round: self.round };
            let watched = self.watched.entry((watcher.tenant, *user)).or_insert(watched);
            watched.by.push(Watching { watcher, sight: None, told: None });
        }
        if !new.is_empty() {
            self.watching.entry(watcher.session).or_insert((watcher.tenant, HashSet::new())).1.extend(new);
        }
        Ok(())
    }

    /// What stands before a look-up of what `watcher` sees of `users`.
    pub fn rounds(&self, watcher: Watcher, users: &[UserId]) -> Vec<Unknown> {
        let round = |user: &UserId| self.watched.get(&(watcher.tenant, *user)).map_or(0, |watched| watched.round);
        users.iter().map(|user| Unknown { watcher, user: *user, round: round(user) }).collect()
    }

    /// `watcher` is being answered that it sees `view`, by a look-up. Whether it must be told more, as that is not certain any more.
    pub fn answered(&mut self, of: Unknown, sight: Sight, view: View) -> bool {
        let key = (of.watcher.tenant, of.user);
        let Some(watched) = self.watched.get_mut(&key) else { return false };
        let is_new = watched.round == of.round;
        let session = of.watcher.session;
        let Some(watching) = watched.by.iter_mut().find(|watching| watching.watcher.session == session) else {
            return false;
        };
        (watching.sight, watching.told) = (is_new.then_some(sight), Some(view));
        if !is_new {
            self.changed.insert(key);
        }
        !is_new
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
                watched.by.retain(|watching| watching.watcher.session != session);
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

    /// Who sees `user` has changed. Whether anybody watches.
    pub fn regarded_anew(&mut self, tenant: TenantId, user: UserId) -> bool {
        let Some(watched) = self.watched.get_mut(&(tenant, user)) else { return false };
        self.round += 1;
        watched.round = self.round;
        watched.by.iter_mut().for_each(|watching| watching.sight = None);
        self.changed.insert((tenant, user))
    }

    /// What is to be looked up before those who changed can be told of.
    pub fn unknown(&self) -> Vec<Unknown> {
        let mut unknown = Vec::new();
        for key in &self.changed {
            let Some(Watched { by, round }) = self.watched.get(key) else { continue };
            let blind = by.iter().filter(|watching| watching.sight.is_none() && watching.told.is_some());
            unknown.extend(blind.map(|watching| Unknown { watcher: watching.watcher, user: key.1, round: *round }));
        }
        unknown
    }

    /// By a look-up `of.watcher` sees this much of `of.user`.
    pub fn learn(&mut self, of: Unknown, sight: Sight) {
        let watched = self.watched.get_mut(&(of.watcher.tenant, of.user)).filter(|watched| watched.round == of.round);
        let session = of.watcher.session;
        let mut by = watched.into_iter().flat_map(|watched| &mut watched.by);
        if let Some(watching) = by.find(|watching| watching.watcher.session == session) {
            watching.sight = Some(sight);
        }
    }

    /// Whom to tell what, of all that changed since the last time. What changed back, or is hidden, is not told. Those of whom it is not
    /// known what somebody sees stay.
    pub fn take(&mut self, view: impl Fn(Watcher, UserId) -> View) -> Vec<(View, Vec<Watcher>)> {
        let mut news: Vec<(View, Vec<Watcher>)> = Vec::new();
        for key in std::mem::take(&mut self.changed) {
            let Some(watched) = self.watched.get_mut(&key) else { continue };
            let first = news.len();
            for watching in &mut watched.by {
                // The answer to its watch tells it.
                let Some(told) = watching.told else { continue };
                let Some(sight) = watching.sight else {
                    self.changed.insert(key);
                    continue;
                };
                let now = view(watching.watcher, key.1).seen(sight);
                if told == now {
                    continue;
                }
                watching.told = Some(now);
                match news[first..].iter_mut().find(|(view, _)| *view == now) {
                    Some((_, watchers)) => watchers.push(watching.watcher),
                    None => news.push((now, vec![watching.watcher])),
                }
            }
        }
        news
    }

    /// Whether there is something to tell.
    pub fn has_news(&self) -> bool {
        !self.changed.is_empty()
    }
}

#[cfg(test)]
mod tests;
