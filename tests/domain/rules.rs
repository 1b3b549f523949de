//! The rules of conversations, one by one.

use std::collections::HashSet;

use bytes::Bytes;
use tidings::domain::conversation::{Command, Decision, Event, Input, MarkRead, SendMessage, Users, decide};
use tidings::domain::policy::{ConversationKind, Role};
use tidings::domain::{ConversationId, ErrorCode, TenantId, UserId};
use uuid::Uuid;

use crate::given::{Given, NOW, create, send, send_at, user};

#[test]
fn a_removed_member_neither_sends_nor_reads() {
    let mut given = Given::group(ConversationKind::Group, &[1, 2]);
    assert_eq!(given.code(1, send(1)), None);
    assert_eq!(given.code(0, Command::RemoveMembers(Users { users: vec![user(1)] })), None);
    assert_eq!(given.code(1, send(2)), Some(ErrorCode::NotAMember));
    assert_eq!(given.code(1, Command::Read(MarkRead { seq: 1 })), Some(ErrorCode::NotAMember));
    // What it had sent before is still answered as it was.
    assert!(matches!(given.when(1, send(1)), Decision::Done(done) if done.duplicate && done.seq == 1));
}

#[test]
fn joining_starts_at_the_newest_message_and_sending_moves_the_senders_pointer() {
    let mut given = Given::group(ConversationKind::Channel, &[]);
    given.when(0, send(1));
    given.when(0, send(2));
    given.when(1, Command::Join);
    let state = given.state.as_ref().expect("created");
    assert_eq!((state.members[&user(0)].read_seq, state.members[&user(1)].read_seq), (2, 2));
    assert!(matches!(given.when(1, Command::Join), Decision::Done(done) if done.duplicate && done.position == 4));
}

#[test]
fn a_channel_that_everybody_left_belongs_to_who_joins_it_first() {
    let mut given = Given::group(ConversationKind::Channel, &[]);
    given.when(0, Command::Leave);
    assert_eq!(given.members(), HashSet::new());
    for n in [1, 2] {
        given.when(n, Command::Join);
    }
    let state = given.state.as_ref().expect("created");
    assert_eq!((state.members[&user(1)].role, state.members[&user(2)].role), (Role::Owner, Role::Member));
}

#[test]
fn client_ids_out_of_their_window_are_stale() {
    let mut given = Given::group(ConversationKind::Group, &[1]);
    let (hour, minute) = (3_600_000, 60_000);
    for (made, expected) in [
        (NOW - 24 * hour, None),
        (NOW - 24 * hour - 1, Some(ErrorCode::StaleClientId)),
        (NOW + 5 * minute, None),
        (NOW + 5 * minute + 1, Some(ErrorCode::StaleClientId)),
    ] {
        assert_eq!(given.code(0, send_at(made, 1)), expected, "{}", made - NOW);
    }
    let random = Command::Send(SendMessage { text: Some(Bytes::new()), ..SendMessage::new(Uuid::nil()) });
    assert_eq!(given.code(0, random), Some(ErrorCode::BadRequest));
}

#[test]
fn a_direct_conversation_is_for_two_and_stays_so() {
    let mut given = Given::nothing();
    given.id = ConversationId::direct(user(0), user(1));
    let direct = |members: &[u8]| create(ConversationKind::Direct, members.iter().copied().map(user).collect());
    assert_eq!(given.code(0, direct(&[])), Some(ErrorCode::BadRequest));
    assert_eq!(given.code(0, direct(&[0])), Some(ErrorCode::BadRequest));
    assert_eq!(given.code(0, direct(&[1, 2])), Some(ErrorCode::BadRequest));
    assert_eq!(given.code(0, direct(&[2])), Some(ErrorCode::BadRequest), "another pair has another id");
    assert_eq!(given.code(0, direct(&[1])), None);
    assert!(matches!(given.when(1, direct(&[0])), Decision::Done(done) if done.duplicate));
    assert_eq!(given.members(), [user(0), user(1)].into());
    for command in [
        Command::Leave,
        Command::AddMembers(Users { users: vec![user(2)] }),
        Command::RemoveMembers(Users { users: vec![user(1)] }),
    ] {
        assert_eq!(given.code(0, command), Some(ErrorCode::Forbidden));
    }
    assert_eq!(given.code(2, send(1)), Some(ErrorCode::NotAMember));
}

#[test]
fn another_tenant_finds_nothing() {
    let mut given = Given::group(ConversationKind::Channel, &[1]);
    for command in [send(1), Command::Join, create(ConversationKind::Group, vec![])] {
        let input = Input { tenant: TenantId::from_bytes([2; 16]), ..given.input(0, command) };
        assert!(matches!(decide(given.state.as_ref(), &input), Decision::Reject(r) if r.code == ErrorCode::NotFound));
    }
    assert_eq!(given.code(0, send(1)), None);
}

#[test]
fn a_command_names_a_thousand_users_at_most() {
    let mut given = Given::group(ConversationKind::Group, &[]);
    let crowd = |n: u16| (0..n).map(|n| UserId::derive("crowd", &[&n.to_be_bytes()])).collect::<Vec<_>>();
    assert_eq!(given.code(0, Command::AddMembers(Users { users: crowd(1001) })), Some(ErrorCode::TooLarge));
    assert_eq!(given.code(0, Command::AddMembers(Users { users: crowd(1000) })), None);
    assert_eq!(given.members().len(), 1001);
    let event = given.events.last().map(|e| e.event.clone());
    assert!(matches!(event, Some(Event::Joined(joined)) if joined.first_slot == 1 && joined.users.len() == 1000));
}
