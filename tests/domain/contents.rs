//! The rules of what messages hold beside text, and of threads.

use bytes::Bytes;
use tidings::domain::conversation::{
    Command, Decision, DeleteReason, Event, InThread, Located, MAX_LIVE_MS, OfMessage, PollRules, SendMessage, Vote,
};
use tidings::domain::policy::{ConversationKind, Role};
use tidings::domain::{ErrorCode, Timestamp};

use crate::given::{Given, NOW, client_id, edit, send, sending, set_role};

/// User 0 owns it, 1 is an admin, 2 and 3 are members.
fn group() -> Given {
    let mut given = Given::group(ConversationKind::Group, &[1, 2, 3]);
    given.when(0, set_role(1, Role::Admin));
    given
}

fn in_thread(n: u8, thread: i64) -> Command {
    sending(n, |send| SendMessage { thread: Some(thread), ..send })
}

fn poll(options: i32, multiple: bool, closes_at: Option<i64>) -> Command {
    let poll = Some(PollRules { options, multiple, closes_at: closes_at.map(Timestamp) });
    sending(1, |send| SendMessage { poll, ..send })
}

fn vote(options: &[i32]) -> Command {
    Command::Vote(Vote { seq: 1, options: options.to_vec() })
}

fn located(seq: i64, live_until: i64) -> Command {
    let content = Bytes::from_static(b"sealed");
    Command::Locate(Located { seq, content, live_until: Timestamp(live_until) })
}

fn event(decision: Decision) -> Event {
    match decision {
        Decision::Record(recorded) => recorded.event,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_says_something() {
    let mut given = group();
    let empty = Command::Send(SendMessage::new(client_id(NOW, 1)));
    assert_eq!(given.code(2, empty), Some(ErrorCode::BadRequest));
    let poll = Some(PollRules { options: 2, multiple: false, closes_at: None });
    let nothing_asked = sending(2, |send| SendMessage { content: None, text: Some(Bytes::new()), poll, ..send });
    assert_eq!(given.code(2, nothing_asked), Some(ErrorCode::BadRequest));
    assert_eq!(given.code(2, sending(3, |send| send)), None);
}

#[test]
fn messages_of_a_thread_are_numbered_and_threads_are_one_deep() {
    let mut given = group();
    given.when(2, send(1));
    for n in 1..=2 {
        let Event::Sent(sent) = event(given.when(3, in_thread(n + 1, 1))) else { panic!("sent") };
        assert_eq!(sent.in_thread(), Some(InThread { thread: 1, thread_seq: i64::from(n) }));
    }
    assert_eq!(given.code(2, in_thread(9, 2)), Some(ErrorCode::BadRequest));
    assert_eq!(given.code(2, in_thread(9, 4)), Some(ErrorCode::BadRequest), "nor of what is not there");
    given.when(2, Command::Delete(OfMessage { seq: 1 }));
    assert_eq!(given.code(2, in_thread(9, 1)), Some(ErrorCode::NotFound));
}

#[test]
fn a_pointer_in_a_thread_only_rises() {
    let mut given = group();
    given.when(2, send(1));
    for n in 2..5 {
        given.when(3, in_thread(n, 1));
    }
    let read = |thread_seq| Command::ReadThread(InThread { thread: 1, thread_seq });
    let is_done = |decision| matches!(decision, Decision::Done(_));
    assert_eq!(given.code(2, read(2)), None);
    assert!(is_done(given.when(2, read(2))) && is_done(given.when(2, read(1))));
    assert!(is_done(given.when(3, read(3))), "who writes has read it");
    for wrong in [0, 4] {
        assert_eq!(given.code(2, read(wrong)), Some(ErrorCode::BadRequest));
    }
}

#[test]
fn votes_are_of_the_poll_and_until_its_end() {
    for (options, code) in [(1, Some(ErrorCode::BadRequest)), (21, Some(ErrorCode::BadRequest)), (20, None)] {
        assert_eq!(group().code(2, poll(options, false, None)), code);
    }
    assert_eq!(group().code(2, poll(2, false, Some(NOW))), Some(ErrorCode::BadRequest));
    let mut given = group();
    given.when(2, poll(3, false, Some(NOW + 10)));
    for wrong in [&[3][..], &[-1], &[0, 1], &[1, 1], &[2, 1]] {
        assert_eq!(given.code(3, vote(wrong)), Some(ErrorCode::BadRequest), "{wrong:?}");
    }
    assert_eq!(given.code(3, vote(&[2])), None);
    assert!(matches!(given.when(3, vote(&[2])), Decision::Done(_)));
    assert_eq!(given.code(4, vote(&[2])), Some(ErrorCode::NotAMember));
    given.at += 10;
    assert_eq!(given.code(3, vote(&[1])), Some(ErrorCode::Conflict));
    assert!(matches!(given.when(3, vote(&[2])), Decision::Done(_)), "a retry hears what it heard");

    let mut given = group();
    given.when(2, poll(3, true, None));
    assert_eq!(given.code(3, vote(&[0, 2])), None);
    let close = Command::ClosePoll(OfMessage { seq: 1 });
    assert_eq!(given.code(3, close.clone()), Some(ErrorCode::Forbidden));
    assert_eq!(given.code(1, close), None, "who is above may");
    assert_eq!(given.code(3, vote(&[])), Some(ErrorCode::Conflict));
    given.when(2, send(7));
    let on_text = Command::Vote(Vote { seq: 2, options: vec![0] });
    assert_eq!(given.code(3, on_text), Some(ErrorCode::BadRequest));
}

#[test]
fn a_location_moves_by_its_sender_until_its_end() {
    let live = |until| sending(1, move |send| SendMessage { live_until: Some(Timestamp(until)), ..send });
    for until in [NOW, NOW + MAX_LIVE_MS + 1] {
        assert_eq!(group().code(2, live(until)), Some(ErrorCode::BadRequest));
    }
    let mut given = group();
    given.when(2, live(NOW + 100));
    assert_eq!(given.code(0, located(1, i64::MAX)), Some(ErrorCode::Forbidden));
    let Event::Located(moved) = event(given.when(2, located(1, i64::MAX))) else { panic!("moved") };
    assert_eq!(moved.live_until, Timestamp(NOW + 100), "it never lasts longer than was said");
    given.when(2, located(1, NOW + 50));
    given.at += 50;
    assert_eq!(given.code(2, located(1, NOW + 100)), Some(ErrorCode::Conflict));
    let Event::Deleted(deleted) = event(given.when(2, Command::Delete(OfMessage { seq: 1 }))) else { panic!("gone") };
    assert_eq!(deleted.messages[0].positions.len(), 3, "where it was is gone with it");
}

#[test]
fn a_message_expires_when_its_time_is_over_and_not_before() {
    let expiring = |ms| sending(1, move |send| SendMessage { expires_in_ms: Some(ms), ..send });
    for ms in [999, i64::MAX] {
        assert_eq!(group().code(2, expiring(ms)), Some(ErrorCode::BadRequest));
    }
    let mut given = group();
    given.when(2, expiring(1_000));
    given.when(2, send(2));
    let expire = |seq| Command::Expire(OfMessage { seq });
    assert_eq!(given.code(2, expire(1)), Some(ErrorCode::Conflict));
    given.at += 1_000;
    assert_eq!(given.code(2, expire(2)), Some(ErrorCode::Conflict), "it has no end");
    given.when(2, Command::Leave);
    let Event::Deleted(deleted) = event(given.when(2, expire(1))) else { panic!("gone") };
    assert_eq!((deleted.reason, deleted.messages[0].seq), (DeleteReason::Expired, 1), "whoever sent it is gone");
    assert!(matches!(given.when(2, expire(1)), Decision::Done(_)));
}

#[test]
fn what_was_forwarded_is_not_changed() {
    let mut given = group();
    let forward = tidings::domain::conversation::Forward { author: crate::given::user(9), at: Timestamp(NOW) };
    given.when(2, sending(1, |send| SendMessage { forward: Some(forward), ..send }));
    assert_eq!(given.code(2, edit(1, 1)), Some(ErrorCode::Conflict));
}
