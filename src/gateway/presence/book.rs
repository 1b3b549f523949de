//! What all sessions show, without I/O.

use std::collections::{HashMap, HashSet};

use serde::{Serialize, Serializer};
use smallvec::SmallVec;

use super::keys::Key;
use crate::codec::records::{Presence, PresenceStatus};
use crate::domain::policy::Sight;
use crate::domain::{IncarnationId, SessionId, TenantId, Timestamp, UserId};

/// A user as others see it; the protocol's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// Who.
    pub user: UserId,
    /// Online, away or offline.
    pub status: PresenceStatus,
    /// When the user was last online; absent while online, and where it is not known.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rfc3339")]
    pub last_seen: Option<Timestamp>,
}

impl View {
    /// What is left of it for who sees this much. Who sees nothing is told what is told of nobody.
    pub const fn seen(self, sight: Sight) -> Self {
        let status = if sight.status { self.status } else { PresenceStatus::Offline };
        let last_seen = if sight.status && sight.last_seen { self.last_seen } else { None };
        Self { user: self.user, status, last_seen }
    }
}

fn rfc3339<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serializer.collect_str(at),
        None => serializer.serialize_none(),
    }
}

#[derive(Clone, Copy)]
struct Shown {
    session: SessionId,
    incarnation: IncarnationId,
    status: PresenceStatus,
    at: Timestamp,
}

struct Person {
    tenant: TenantId,
    sessions: SmallVec<[Shown; 1]>,
    last_seen: Option<Timestamp>,
}

impl Person {
    fn status(&self) -> PresenceStatus {
        let any = |status| self.sessions.iter().any(|shown| shown.status == status);
        match () {
            () if any(PresenceStatus::Online) => PresenceStatus::Online,
            () if any(PresenceStatus::Away) => PresenceStatus::Away,
            () => PresenceStatus::Offline,
        }
    }

    /// To oneself it is no secret that one is here and invisible.
    fn status_to_oneself(&self) -> PresenceStatus {
        match self.status() {
            PresenceStatus::Offline if !self.sessions.is_empty() => PresenceStatus::Online,
            status => status,
        }
    }

    /// As `oneself` sees it, or somebody who may see all.
    fn view(&self, user: UserId, oneself: bool) -> View {
        match self.status_to_oneself() {
            PresenceStatus::Online if oneself => View { user, status: PresenceStatus::Online, last_seen: None },
            _ => View { user, status: self.status(), last_seen: self.last_seen() },
        }
    }

    /// What somebody sees of it.
    fn shown(&self) -> (PresenceStatus, PresenceStatus, Option<Timestamp>) {
        (self.status_to_oneself(), self.status(), self.last_seen())
    }

    /// Whoever went away was here when that began.
    fn last_seen(&self) -> Option<Timestamp> {
        match self.status() {
            PresenceStatus::Online => None,
            PresenceStatus::Away => {
                let away = self.sessions.iter().filter(|shown| shown.status == PresenceStatus::Away);
                away.map(|shown| shown.at).max()
            }
            _ => self.last_seen,
        }
    }

    /// A session shows nothing any more since `at`.
    fn leave(&mut self, gone: Shown, at: Timestamp) {
        if is_visible(gone.status) {
            self.last_seen = self.last_seen.max(Some(at));
        }
    }
}

fn is_visible(status: PresenceStatus) -> bool {
    matches!(status, PresenceStatus::Online | PresenceStatus::Away)
}

/// The table.
#[derive(Default)]
pub struct PresenceBook {
    people: HashMap<UserId, Person>,
}

impl PresenceBook {
    /// Takes in a record of `presence`, which was appended at `at`. Whose tenant's people see the user differently since.
    pub fn fold(&mut self, key: Key, value: Option<&Presence>, at: Timestamp) -> Option<TenantId> {
        match (key, value) {
            (Key::Session(user, session), Some(presence)) => self.changing(user, presence.tenant, |person| {
                let shown =
                    Shown { session, incarnation: presence.incarnation, status: presence.status, at: presence.at };
                let before = person.sessions.iter_mut().find(|shown| shown.session == session);
                match before.map(|before| std::mem::replace(before, shown)) {
                    Some(before) if !is_visible(shown.status) => person.leave(before, presence.at),
                    Some(_) => {}
                    None => person.sessions.push(shown),
                }
            }),
            (Key::Session(user, session), None) => self.changing(user, TenantId::default(), |person| {
                if let Some(index) = person.sessions.iter().position(|shown| shown.session == session) {
                    let gone = person.sessions.remove(index);
                    person.leave(gone, at);
                }
            }),
            (Key::Last(user), Some(presence)) => self.changing(user, presence.tenant, |person| {
                person.last_seen = person.last_seen.max(Some(presence.at));
            }),
            // Of an erased user, say.
            (Key::Last(user), None) => self.changing(user, TenantId::default(), |person| person.last_seen = None),
            // It changes what is shown to whom, not what there is.
            (Key::Regard(..), _) => None,
        }
    }

    fn changing(&mut self, user: UserId, tenant: TenantId, change: impl FnOnce(&mut Person)) -> Option<TenantId> {
        let unknown = || Person { tenant, sessions: SmallVec::new(), last_seen: None };
        let person = self.people.entry(user).or_insert_with(unknown);
        let before = person.shown();
        change(person);
        let changed = (before != person.shown()).then_some(person.tenant);
        if person.sessions.is_empty() && person.last_seen.is_none() {
            self.people.remove(&user);
        }
        changed
    }

    /// Drops the sessions of these incarnations, which are no more since about `at`. Who is seen differently since.
    pub fn bury(&mut self, dead: &HashSet<IncarnationId>, at: Timestamp) -> Vec<(TenantId, UserId)> {
        let mut changed = Vec::new();
        for (user, person) in &mut self.people {
            let before = person.shown();
            let buried: SmallVec<[Shown; 1]> =
                person.sessions.iter().filter(|shown| dead.contains(&shown.incarnation)).copied().collect();
            person.sessions.retain(|shown| !dead.contains(&shown.incarnation));
            buried.into_iter().for_each(|gone| person.leave(gone, at));
            if before != person.shown() {
                changed.push((person.tenant, *user));
            }
        }
        changed
    }

    /// All incarnations that sessions name.
    pub fn incarnations(&self) -> HashSet<IncarnationId> {
        self.people.values().flat_map(|person| &person.sessions).map(|shown| shown.incarnation).collect()
    }

    /// `user` as `viewer` of `tenant` sees it, who may see all: those of other tenants are nobody.
    pub fn view(&self, tenant: TenantId, viewer: UserId, user: UserId) -> View {
        match self.people.get(&user).filter(|person| person.tenant == tenant) {
            Some(person) => person.view(user, viewer == user),
            None => View { user, status: PresenceStatus::Offline, last_seen: None },
        }
    }

    /// Whether `user` shows anything in a session other than this one. `stands` tells, of a session and its gateway, that it
    /// is not known to be over: the book learns of an end only when it reads it.
    pub fn is_elsewhere(
        &self,
        user: UserId,
        session: SessionId,
        stands: impl Fn(SessionId, IncarnationId) -> bool,
    ) -> bool {
        let shows = |shown: &Shown| {
            shown.session != session && is_visible(shown.status) && stands(shown.session, shown.incarnation)
        };
        self.people.get(&user).is_some_and(|person| person.sessions.iter().any(shows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: UserId = UserId::from_bytes([1; 16]);
    const TENANT: TenantId = TenantId::from_bytes([2; 16]);
    const OTHER: UserId = UserId::from_bytes([3; 16]);

    fn session(number: u8) -> SessionId {
        SessionId::from_bytes([number; 16])
    }

    fn gateway(number: u8) -> IncarnationId {
        IncarnationId::from_bytes([number; 16])
    }

    fn show(book: &mut PresenceBook, number: u8, status: PresenceStatus, at: i64) -> bool {
        let presence = Presence {
            tenant: TENANT,
            user: USER,
            session: Some(session(number)),
            incarnation: gateway(number),
            status,
            at: Timestamp(at),
        };
        book.fold(Key::Session(USER, session(number)), Some(&presence), Timestamp(at)).is_some()
    }

    fn end(book: &mut PresenceBook, number: u8, at: i64) -> bool {
        book.fold(Key::Session(USER, session(number)), None, Timestamp(at)).is_some()
    }

    fn seen(book: &PresenceBook) -> (PresenceStatus, Option<i64>) {
        let view = book.view(TENANT, OTHER, USER);
        (view.status, view.last_seen.map(|at| at.0))
    }

    #[test]
    fn the_most_present_session_is_shown() {
        use PresenceStatus::{Away, Offline, Online};
        let mut book = PresenceBook::default();
        assert_eq!(seen(&book), (Offline, None));
        assert!(show(&mut book, 1, Away, 10));
        assert_eq!(seen(&book), (Away, Some(10)));
        assert!(show(&mut book, 2, Online, 20));
        assert_eq!(seen(&book), (Online, None));
        assert!(!show(&mut book, 1, Online, 30), "no difference");
        assert!(!end(&mut book, 2, 40));
        assert!(end(&mut book, 1, 50));
        assert_eq!(seen(&book), (Offline, Some(50)));
    }

    #[test]
    fn what_an_invisible_session_does_is_not_seen() {
        use PresenceStatus::{Invisible, Offline, Online};
        let mut book = PresenceBook::default();
        show(&mut book, 1, Online, 10);
        assert!(show(&mut book, 1, Invisible, 20));
        assert_eq!(seen(&book), (Offline, Some(20)));
        assert_eq!(
            book.view(TENANT, USER, USER),
            View { user: USER, status: Online, last_seen: None },
            "but by oneself"
        );
        assert!(!show(&mut book, 2, Invisible, 30));
        assert!(!end(&mut book, 1, 40));
        assert_eq!(seen(&book), (Offline, Some(20)));
        assert!(end(&mut book, 2, 50), "one's own devices are told");
        assert_eq!(seen(&book), (Offline, Some(20)));
        assert_eq!(book.view(TENANT, USER, USER).last_seen, Some(Timestamp(20)));
    }

    #[test]
    fn who_sees_nothing_is_told_what_is_told_of_nobody() {
        let nobody = View { user: USER, status: PresenceStatus::Offline, last_seen: None };
        for status in [PresenceStatus::Online, PresenceStatus::Away, PresenceStatus::Offline] {
            let view = View { status, last_seen: Some(Timestamp(7)), ..nobody };
            for last_seen in [false, true] {
                assert_eq!(view.seen(Sight { status: false, last_seen }), nobody);
            }
            assert_eq!(view.seen(Sight { status: true, last_seen: false }), View { last_seen: None, ..view });
            assert_eq!(view.seen(Sight { status: true, last_seen: true }), view);
        }
    }

    #[test]
    fn the_dead_show_nothing_and_other_tenants_see_nobody() {
        use PresenceStatus::{Offline, Online};
        let mut book = PresenceBook::default();
        show(&mut book, 1, Online, 10);
        assert_eq!(book.view(TenantId::from_bytes([9; 16]), OTHER, USER).status, Offline);
        assert_eq!(book.bury(&HashSet::from([gateway(2)]), Timestamp(20)), []);
        assert_eq!(book.bury(&HashSet::from([gateway(1)]), Timestamp(20)), [(TENANT, USER)]);
        assert_eq!(seen(&book), (Offline, Some(20)));
        assert!(book.incarnations().is_empty());
    }

    #[test]
    fn a_view_is_written_as_the_protocol_says() {
        let view = View { user: USER, status: PresenceStatus::Offline, last_seen: Some(Timestamp(0)) };
        let text = format!(r#"{{"user":"{USER}","status":"offline","last_seen":"1970-01-01T00:00:00.000Z"}}"#);
        assert_eq!(serde_json::to_string(&view).ok(), Some(text));
        let view = View { status: PresenceStatus::Online, last_seen: None, ..view };
        assert_eq!(serde_json::to_string(&view).ok(), Some(format!(r#"{{"user":"{USER}","status":"online"}}"#)));
    }
}
