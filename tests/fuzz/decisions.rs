//! `decide` and `evolve`, on any commands in any order: positions and seqs have no gap, deciding is deterministic, and who reads
//! the journal has the same state as who wrote it.

use std::collections::HashSet;

use bytes::Bytes;
use uuid::Uuid;

use super::{CASES, Draw, MAX_LEN};
use crate::codec::Codec;
use crate::codec::records::JournalRecord;
use crate::domain::conversation::{Command, Conversation, CreateConversation, Input, MarkRead, SendMessage, Users};
use crate::domain::decision::{Decision, Recorded};
use crate::domain::policy::{ConversationKind, Role};
use crate::domain::user::{self, Profile, User, WrappedKey};
use crate::domain::{ConversationId, ErrorCode, EventId, Id, TenantId, Timestamp, UserId};
use crate::sequencer::aggregate::{Aggregate, Stamp};
use crate::sequencer::{conversations::Conversations, users};

const NOW: i64 = 1_795_000_000_000;

fn person(n: usize) -> UserId {
    Id::from_bytes([n as u8; 16])
}

fn tenant() -> TenantId {
    Id::from_bytes([1; 16])
}

#[test]
fn decisions() {
    bolero::check!().with_iterations(CASES).with_max_len(MAX_LEN).for_each(|input: &[u8]| {
        let mut draw = Draw(input);
        if draw.below(4) == 0 { one_user(&mut draw) } else { one_conversation(&mut draw) }
    });
}

/// What follows from an accepted event when its record is read again.
fn read_again<A: Aggregate>(id: A::Id, recorded: &Recorded<A::Event>, last_seq: i64) -> Recorded<A::Event> {
    let codec = Codec::builtin();
    let event_id = EventId::from_bytes([5; 16]);
    let stamp = Stamp {
        event_id,
        tenant: tenant(),
        aggregate: id,
        causation: Id::from_bytes([6; 16]),
        traceparent: None,
        epoch: 0,
        partition: 0,
        index: 1,
        last_seq,
    };
    let record = JournalRecord {
        id: event_id,
        prev: EventId::default(),
        index: 1,
        cause_epoch: 0,
        cause_offset: 0,
        tenant: tenant(),
        aggregate: id.to_string(),
        r#type: A::event_type(&recorded.event).to_owned(),
        position: recorded.position,
        seq: A::seq(&recorded.event),
        last_seq,
        at: recorded.at,
        actor: recorded.actor,
        causation: stamp.causation,
        reply_to: None,
        traceparent: None,
        rejection: None,
        records: A::records(codec, &stamp, recorded).expect("fits its schemas"),
    };
    let bytes = codec.encode(&record).expect("fits its schema");
    let record = codec.decode(&bytes).expect("reads");
    A::recorded(codec, &record).expect("decodes").expect("is of a known type")
}

fn one_conversation(draw: &mut Draw<'_>) {
    let kind = draw.one_of(ConversationKind::ALL);
    let group = ConversationId::group(person(0), client_id(NOW, 0));
    let id = if kind == ConversationKind::Direct { ConversationId::direct(person(0), person(1)) } else { group };
    let (mut state, mut replayed): (Option<Conversation>, Option<Conversation>) = (None, None);
    let (mut at, mut position, mut seq, mut last_at) = (NOW, 0, 0, Timestamp(i64::MIN));
    while !draw.is_over() {
        at = if draw.byte() == 255 { draw.number() } else { at.saturating_add(i64::from(draw.byte()) - 100) };
        let tenant = if draw.byte() == 255 { Id::from_bytes([2; 16]) } else { tenant() };
        let (actor, command) = (person(draw.below(6)), command(draw, kind, at));
        let input = Input { tenant, conversation: id, actor, moderator: at % 2 == 0, at: Timestamp(at), command };
        let decided = Conversations::decide(state.as_ref(), &input);
        assert_eq!(decided, Conversations::decide(state.as_ref(), &input));
        match decided {
            Decision::Record(recorded) => {
                if recorded.position > 0 {
                    position += 1;
                    assert_eq!(recorded.position, position);
                    assert!(position == 1 || recorded.at >= last_at, "time goes back");
                    last_at = recorded.at;
                }
                if recorded.event.seq() > 0 {
                    seq += 1;
                    assert_eq!(recorded.event.seq(), seq);
                }
                Conversations::evolve(&mut state, id, tenant, &recorded);
                Conversations::evolve(&mut replayed, id, tenant, &read_again::<Conversations>(id, &recorded, seq));
            }
            Decision::Done(done) => {
                assert!(done.duplicate && done.position <= position && done.seq <= seq);
                assert!(tenant == self::tenant(), "another tenant learns something");
            }
            Decision::Reject(rejection) => {
                let foreign = tenant != self::tenant() && state.is_some();
                assert!(!foreign || rejection.code == ErrorCode::NotFound, "{rejection}");
                assert!(rejection.code != ErrorCode::Internal, "{rejection}");
            }
        }
        assert_eq!(state, replayed);
        if let Some(state) = &state {
            holds(state, position, seq);
        } else {
            assert_eq!(position, 0);
        }
        // Only the first may have created it for a tenant of its own.
        if state.as_ref().is_some_and(|state| state.tenant != self::tenant()) {
            return;
        }
    }
}

fn holds(state: &Conversation, position: i64, seq: i64) {
    assert_eq!((state.last_position, state.last_seq), (position, seq));
    let members = || state.members.values();
    assert!(members().all(|m| m.read_seq <= m.delivered_seq && m.delivered_seq <= seq && m.read_seq >= 0));
    assert!(members().all(|m| m.slot >= 0 && m.slot < state.next_slot));
    assert_eq!(members().map(|m| m.slot).collect::<HashSet<_>>().len(), state.members.len());
    let led = members().any(|m| m.role == Role::Owner);
    match state.kind {
        ConversationKind::Direct => assert_eq!(state.members.len(), 2),
        ConversationKind::Group | ConversationKind::Channel => assert!(led || state.members.is_empty()),
    }
}

/// A UUIDv7 made at `at`, told apart by `n`.
fn client_id(at: i64, n: u8) -> Uuid {
    let mut bytes = [n; 16];
    bytes[..6].copy_from_slice(&at.to_be_bytes()[2..]);
    (bytes[6], bytes[8]) = (0x70, 0x80);
    Uuid::from_bytes(bytes)
}

fn people(draw: &mut Draw<'_>) -> Vec<UserId> {
    (0..draw.below(5)).map(|_| person(draw.below(6))).collect()
}

fn seq(draw: &mut Draw<'_>) -> Option<i64> {
    (draw.below(4) == 0).then(|| draw.number())
}

fn command(draw: &mut Draw<'_>, kind: ConversationKind, at: i64) -> Command {
    match draw.below(12) {
        0 | 1 => {
            let kind = if draw.below(8) == 0 { draw.one_of(ConversationKind::ALL) } else { kind };
            let members = if kind == ConversationKind::Direct { vec![person(1 + draw.below(2))] } else { people(draw) };
            let name = (draw.below(4) == 0).then(|| Bytes::from_static(b"name"));
            Command::Create(CreateConversation { kind, members, name, client_id: client_id(NOW, 0) })
        }
        2 => Command::AddMembers(Users { users: people(draw) }),
        3 => Command::RemoveMembers(Users { users: people(draw) }),
        4 => Command::Join,
        5 => Command::Leave,
        6 | 7 => Command::Read(MarkRead { seq: draw.number() }),
        _ => {
            let made = if draw.below(8) == 0 { draw.number() } else { at };
            let client_id = if draw.below(16) == 0 { Uuid::nil() } else { client_id(made, draw.byte() % 20) };
            let text = (draw.below(16) > 0).then(|| Bytes::copy_from_slice(draw.take(8)));
            let mentions = (0..draw.below(3)).map(|_| draw.text(8)).collect();
            Command::Send(SendMessage {
                text,
                reply_to: seq(draw),
                thread: seq(draw),
                mentions,
                ..SendMessage::new(client_id)
            })
        }
    }
}

fn one_user(draw: &mut Draw<'_>) {
    let id = person(3);
    let (mut state, mut replayed): (Option<User>, Option<User>) = (None, None);
    let mut position = 0;
    while !draw.is_over() {
        let tenant = if draw.byte() == 255 { Id::from_bytes([2; 16]) } else { tenant() };
        let profile = Profile { external_id: draw.text(8), name: (draw.below(2) == 0).then(|| draw.text(8)) };
        let key = WrappedKey { version: 1, master: draw.text(1), wrapped: Bytes::from_static(b"k") };
        let fresh_key = (draw.below(8) > 0).then_some(key);
        let at = Timestamp(NOW.saturating_add(draw.number()));
        let command = match draw.below(4) {
            0 => user::Command::Rewrap(WrappedKey {
                version: draw.number() as i32,
                master: draw.text(1),
                wrapped: Bytes::new(),
            }),
            _ => user::Command::Put(profile),
        };
        let input = user::Input { tenant, user: id, at, fresh_key, command };
        let decided = user::decide(state.as_ref(), &input);
        assert_eq!(decided, user::decide(state.as_ref(), &input));
        if let Decision::Record(recorded) = decided {
            position += i64::from(recorded.position > 0);
            assert!(recorded.position == position || recorded.position == 0);
            user::evolve(&mut state, tenant, &recorded);
            user::evolve(&mut replayed, tenant, &read_again::<users::Users>(id, &recorded, 0));
        }
        assert_eq!(state, replayed);
        if state.as_ref().is_some_and(|state| state.tenant != self::tenant()) {
            return;
        }
    }
}
