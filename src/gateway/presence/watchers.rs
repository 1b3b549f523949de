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
mod tests {
    use super::*;
    use crate::codec::records::PresenceStatus;
    use crate::domain::Timestamp;

    const ALL: Sight = Sight { status: true, last_seen: true };
    const NOTHING: Sight = Sight { status: false, last_seen: false };
    const TENANT: TenantId = TenantId::from_bytes([0; 16]);

    fn user(number: usize) -> UserId {
        UserId::from_bytes((number as u128).to_be_bytes())
    }

    fn watcher(number: u8) -> Watcher {
        let session = SessionId::from_bytes([number; 16]);
        Watcher { tenant: TENANT, user: user(usize::from(number)), session }
    }

    fn view(status: PresenceStatus) -> impl Fn(Watcher, UserId) -> View {
        move |_, user| View { user, status, last_seen: Some(Timestamp(1)) }
    }

    /// Watches, and is answered that the user is offline.
    fn watch(watchers: &mut Watchers, number: u8, of: UserId, sight: Sight) {
        assert_eq!(watchers.watch(watcher(number), &[of]), Ok(()));
        let round = watchers.rounds(watcher(number), &[of])[0];
        let view = view(PresenceStatus::Offline)(watcher(number), of).seen(sight);
        assert!(!watchers.answered(round, sight, view));
    }

    fn told(watchers: &mut Watchers, status: PresenceStatus) -> Vec<(PresenceStatus, Vec<Watcher>)> {
        watchers.changed(TENANT, user(1));
        watchers.take(view(status)).into_iter().map(|(view, to)| (view.status, to)).collect()
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
    fn changes_are_told_once_to_those_who_watch_and_see() {
        use PresenceStatus::{Away, Offline, Online};
        let mut watchers = Watchers::default();
        assert!(!watchers.changed(TENANT, user(1)), "nobody watches");
        watch(&mut watchers, 1, user(1), ALL);
        watch(&mut watchers, 2, user(1), ALL);
        watch(&mut watchers, 3, user(1), NOTHING);
        assert!(!watchers.changed(TenantId::from_bytes([7; 16]), user(1)), "another tenant's");
        assert!(watchers.changed(TENANT, user(1)) && watchers.changed(TENANT, user(1)));
        assert_eq!(told(&mut watchers, Online), [(Online, vec![watcher(1), watcher(2)])]);
        assert_eq!(told(&mut watchers, Online), [], "it changed back");
        watchers.remove(watcher(2).session);
        assert_eq!(told(&mut watchers, Away), [(Away, vec![watcher(1)])]);
        assert_eq!(told(&mut watchers, Offline), [(Offline, vec![watcher(1)])], "who sees nothing hears nothing");
        watchers.remove(watcher(1).session);
        watchers.remove(watcher(3).session);
        assert!(watchers.watched.is_empty() && watchers.watching.is_empty());
    }

    #[test]
    fn who_has_not_been_answered_is_told_by_the_answer() {
        let mut watchers = Watchers::default();
        assert_eq!(watchers.watch(watcher(1), &[user(1)]), Ok(()));
        assert_eq!(told(&mut watchers, PresenceStatus::Online), []);
        assert!(watchers.unknown().is_empty());
    }

    #[test]
    fn what_is_hidden_later_is_hidden_for_all_who_watch() {
        use PresenceStatus::{Offline, Online};
        let mut watchers = Watchers::default();
        assert!(!watchers.regarded_anew(TENANT, user(1)), "nobody watches");
        watch(&mut watchers, 1, user(1), ALL);
        assert_eq!(told(&mut watchers, Online), [(Online, vec![watcher(1)])]);
        assert!(watchers.regarded_anew(TENANT, user(1)));
        assert_eq!(told(&mut watchers, Online), [], "it is not known what it sees");
        let unknown = watchers.unknown();
        assert_eq!((unknown.len(), watchers.has_news()), (1, true));
        watchers.learn(unknown[0], NOTHING);
        let hidden = View { user: user(1), status: Offline, last_seen: None };
        assert_eq!(watchers.take(view(Online)), [(hidden, vec![watcher(1)])]);
        assert!(watchers.unknown().is_empty() && !watchers.has_news());
    }

    #[test]
    fn what_was_looked_up_before_a_change_counts_for_nothing() {
        let mut watchers = Watchers::default();
        watch(&mut watchers, 1, user(1), ALL);
        watchers.regarded_anew(TENANT, user(1));
        let before = watchers.unknown()[0];
        watchers.regarded_anew(TENANT, user(1));
        watchers.learn(before, ALL);
        assert_eq!(watchers.unknown().len(), 1, "by `learn`");
        let _ = watchers.watch(watcher(2), &[user(1)]);
        let before = watchers.rounds(watcher(2), &[user(1)])[0];
        watchers.regarded_anew(TENANT, user(1));
        let seen = view(PresenceStatus::Online)(watcher(2), user(1));
        assert!(watchers.answered(before, ALL, seen));
        assert!(watchers.unknown().iter().any(|unknown| unknown.watcher == watcher(2)), "by an answer");
        // A user whom nobody watched in between has another number.
        watchers.remove(watcher(2).session);
        watchers.remove(watcher(1).session);
        let _ = watchers.watch(watcher(2), &[user(1)]);
        assert!(watchers.answered(before, ALL, seen), "by an answer to a watch that has ended");
    }
}
