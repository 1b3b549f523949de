//! The laws of conversations, on random commands.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use proptest::prelude::*;
use tidings::domain::conversation::{
    Command, Conversation, CreateConversation, Decision, Event, Input, MarkRead, Recorded, SendMessage, Users,
};
use tidings::domain::conversation::{decide, evolve};
use tidings::domain::policy::{ConversationKind, Role};
use tidings::domain::{ConversationId, ErrorCode, TenantId, Timestamp, UserId};
use uuid::Uuid;

const NOW: i64 = 1_795_000_000_000;

fn user(n: u8) -> UserId {
    UserId::from_bytes([n; 16])
}

fn tenant() -> TenantId {
    TenantId::from_bytes([1; 16])
}

/// A UUIDv7 made at `at`, told apart by `n`.
fn client_id(at: i64, n: u8) -> Uuid {
    let mut bytes = [n; 16];
    bytes[..6].copy_from_slice(&at.to_be_bytes()[2..]);
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    Uuid::from_bytes(bytes)
}

fn create(kind: ConversationKind, members: Vec<UserId>) -> Command {
    Command::Create(CreateConversation { kind, members, name: None, client_id: client_id(NOW, 0) })
}

fn send(n: u8) -> Command {
    send_at(NOW, n)
}

fn send_at(at: i64, n: u8) -> Command {
    let text = Some(Bytes::from_static(b"sealed"));
    Command::Send(SendMessage { client_id: client_id(at, n), text, reply_to: None, thread: None, mentions: vec![] })
}

fn users() -> impl Strategy<Value = Vec<UserId>> {
    prop::collection::vec((0..6u8).prop_map(user), 0..4)
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        1 => users().prop_map(|members| create(ConversationKind::Group, members)),
        6 => (0..20u8).prop_map(send),
        3 => (0..8i64).prop_map(|seq| Command::Read(MarkRead { seq })),
        2 => users().prop_map(|users| Command::AddMembers(Users { users })),
        2 => users().prop_map(|users| Command::RemoveMembers(Users { users })),
        1 => Just(Command::Join),
        1 => Just(Command::Leave),
    ]
}

struct Given {
    id: ConversationId,
    state: Option<Conversation>,
    events: Vec<Recorded>,
    at: i64,
}

impl Given {
    fn nothing() -> Self {
        Self { id: ConversationId::group(user(0), client_id(NOW, 0)), state: None, events: Vec::new(), at: NOW }
    }

    fn group(kind: ConversationKind, others: &[u8]) -> Self {
        let mut given = Self::nothing();
        given.when(0, create(kind, others.iter().copied().map(user).collect()));
        given
    }

    fn input(&self, actor: u8, command: Command) -> Input {
        Input { tenant: tenant(), conversation: self.id, actor: user(actor), at: Timestamp(self.at), command }
    }

    fn when(&mut self, actor: u8, command: Command) -> Decision {
        let decision = decide(self.state.as_ref(), &self.input(actor, command));
        if let Decision::Record(recorded) = &decision {
            evolve(&mut self.state, self.id, tenant(), recorded);
            self.events.push(recorded.clone());
        }
        decision
    }

    fn code(&mut self, actor: u8, command: Command) -> Option<ErrorCode> {
        match self.when(actor, command) {
            Decision::Reject(rejection) => Some(rejection.code),
            _ => None,
        }
    }

    fn members(&self) -> HashSet<UserId> {
        self.state.iter().flat_map(|state| state.members.keys().copied()).collect()
    }
}

proptest! {
    #[test]
    fn positions_and_seqs_have_no_gap_and_time_never_goes_back(
        steps in prop::collection::vec((0..6u8, command(), -50..50i64), 1..80)
    ) {
        let mut given = Given::group(ConversationKind::Group, &[1, 2]);
        for (actor, command, drift) in steps {
            given.at = NOW + drift;
            given.when(actor, command);
        }
        let positions: Vec<_> = given.events.iter().map(|e| e.position).filter(|p| *p > 0).collect();
        prop_assert_eq!(&positions, &(1..=positions.len() as i64).collect::<Vec<_>>());
        let seqs: Vec<_> = given.events.iter().map(|e| e.event.seq()).filter(|s| *s > 0).collect();
        prop_assert_eq!(&seqs, &(1..=seqs.len() as i64).collect::<Vec<_>>());
        let times: Vec<_> = given.events.iter().filter(|e| e.position > 0).map(|e| e.at).collect();
        prop_assert!(times.is_sorted());
    }

    #[test]
    fn deciding_is_deterministic_and_replay_is_live(steps in prop::collection::vec((0..6u8, command()), 1..60)) {
        let mut given = Given::nothing();
        for (actor, command) in steps {
            let input = given.input(actor, command.clone());
            let twice = [decide(given.state.as_ref(), &input), decide(given.state.as_ref(), &input)];
            prop_assert_eq!(&twice[0], &twice[1]);
            given.when(actor, command);
        }
        let mut replayed = None;
        for recorded in &given.events {
            evolve(&mut replayed, given.id, tenant(), recorded);
        }
        prop_assert_eq!(replayed, given.state);
    }

    #[test]
    fn a_message_is_sent_once_whatever_is_sent_again(
        steps in prop::collection::vec((0..3u8, 0..6u8), 1..60)
    ) {
        let mut given = Given::group(ConversationKind::Group, &[1, 2]);
        let mut told = HashMap::new();
        for (actor, n) in steps {
            let (seq, position, duplicate) = match given.when(actor, send(n)) {
                Decision::Record(recorded) => (recorded.event.seq(), recorded.position, false),
                Decision::Done(done) => (done.seq, done.position, done.duplicate),
                Decision::Reject(rejection) => panic!("{rejection}"),
            };
            let first = told.insert((actor, n), (seq, position));
            prop_assert_eq!(duplicate, first.is_some());
            prop_assert_eq!(first.unwrap_or((seq, position)), (seq, position));
        }
    }

    #[test]
    fn there_is_an_owner_as_long_as_there_is_a_member(
        kind in prop::sample::select(&[ConversationKind::Group, ConversationKind::Channel]),
        steps in prop::collection::vec((0..6u8, command()), 1..80),
    ) {
        let mut given = Given::group(kind, &[1, 2, 3]);
        for (actor, command) in steps {
            given.when(actor, command);
            let state = given.state.as_ref().expect("created");
            prop_assert!(state.members.is_empty() || state.members.values().any(|m| m.role == Role::Owner));
            let slots: HashSet<_> = state.members.values().map(|m| m.slot).collect();
            prop_assert_eq!(slots.len(), state.members.len());
            prop_assert!(state.members.values().all(|m| m.read_seq <= m.delivered_seq && m.delivered_seq <= state.last_seq));
        }
    }
}

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
    let random = Command::Send(SendMessage {
        client_id: Uuid::nil(),
        text: Some(Bytes::new()),
        reply_to: None,
        thread: None,
        mentions: vec![],
    });
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
