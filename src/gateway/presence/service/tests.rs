use super::*;
use crate::domain::IncarnationId;

const USER: UserId = UserId::from_bytes([1; 16]);

fn session(number: u8, gateway: u8) -> Session {
    Session {
        tenant: TenantId::default(),
        user: USER,
        session: SessionId::from_bytes([number; 16]),
        incarnation: IncarnationId::from_bytes([gateway; 16]),
        device: None,
        started_at: Timestamp(0),
    }
}

/// Sessions 1 and 2 are of this gateway; the book has read of all.
fn inner(sessions: &[Session]) -> Inner {
    let mut inner = Inner { book: PresenceBook::default(), watchers: Watchers::default(), own: HashMap::new() };
    for of in sessions {
        let presence = record(of, Some(of.session), PresenceStatus::Online);
        inner.book.fold(keys::Key::Session(USER, of.session), Some(&presence), Timestamp(0));
        if of.incarnation == sessions[0].incarnation {
            inner.own.insert(of.session, (of.clone(), PresenceStatus::Online));
        }
    }
    inner
}

fn ends(inner: &mut Inner, of: &Session) -> Option<bool> {
    inner.end(of.session).map(|(_, is_last)| is_last)
}

#[test]
fn of_two_sessions_that_end_together_the_second_is_the_last() {
    let both = [session(1, 1), session(2, 1)];
    let mut inner = inner(&both);
    // The book reads of neither end before both are over.
    assert_eq!(ends(&mut inner, &both[0]), Some(false));
    assert_eq!(ends(&mut inner, &both[1]), Some(true));
    assert_eq!(ends(&mut inner, &both[1]), None);
}

#[test]
fn who_is_at_another_gateway_does_not_leave() {
    let three = [session(1, 1), session(2, 1), session(3, 2)];
    let mut inner = inner(&three);
    assert_eq!(ends(&mut inner, &three[0]), Some(false));
    assert_eq!(ends(&mut inner, &three[1]), Some(false));
}

#[test]
fn a_session_that_hides_is_nowhere_before_the_book_has_read_it() {
    let both = [session(1, 1), session(2, 1)];
    let mut inner = inner(&both);
    inner.own.insert(both[0].session, (both[0].clone(), PresenceStatus::Invisible));
    assert_eq!(ends(&mut inner, &both[1]), Some(true));
}
