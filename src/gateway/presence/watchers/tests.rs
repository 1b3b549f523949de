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
