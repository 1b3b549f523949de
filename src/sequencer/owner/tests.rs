//! Rules of the owner that the simulation, whose aggregate is simpler, does not see.

#![expect(clippy::unwrap_used, reason = "tests")]

use uuid::{NoContext, Uuid};

use super::*;
use crate::domain::UserId;
use crate::domain::conversation::{self, CreateConversation, SendMessage, Users};
use crate::domain::decision::Decision;
use crate::domain::policy::ConversationKind;
use crate::domain::{CommandId, ConversationId, TenantId, Timestamp};
use crate::sequencer::conversations::{Conversations, RECENT_SENDS_MS};

const LIMITS: OwnerLimits = OwnerLimits { tail_bytes: usize::MAX, hot: 10, crowd: 256 };

struct Scene {
    tenant: TenantId,
    conversation: ConversationId,
    ada: UserId,
    now: Timestamp,
}

impl Scene {
    fn input(&self, command: conversation::Command) -> conversation::Input {
        let Self { tenant, conversation, ada, now } = *self;
        conversation::Input { tenant, conversation, actor: ada, moderator: false, at: now, command }
    }

    fn command(&self, offset: i64, command: conversation::Command) -> Command<Conversations> {
        Command { input: self.input(command), ..self.send(offset, 0) }
    }

    fn send(&self, offset: i64, age_ms: i64) -> Command<Conversations> {
        let made = std::time::Duration::from_millis((self.now.0 - age_ms).unsigned_abs());
        let made = uuid::Timestamp::from_unix(NoContext, made.as_secs(), made.subsec_nanos());
        let client_id = Uuid::new_v7(made);
        let text = Some("sealed".into());
        let send = SendMessage { text, ..SendMessage::new(client_id) };
        Command {
            offset,
            at: self.now,
            id: CommandId::generate(),
            tenant: self.tenant,
            aggregate: self.conversation,
            actor: self.ada,
            reply_to: None,
            traceparent: None,
            input: self.input(conversation::Command::Send(send)),
        }
    }
}

#[test]
fn a_late_retry_is_never_decided_without_a_look_at_what_was_sent() {
    let (ada, bob) = (UserId::generate(), UserId::generate());
    let scene = Scene {
        tenant: TenantId::generate(),
        conversation: ConversationId::direct(ada, bob),
        ada,
        now: Timestamp::now(),
    };
    let create = CreateConversation {
        kind: ConversationKind::Direct,
        members: vec![bob],
        name: None,
        client_id: Uuid::now_v7(),
    };
    let input = scene.input(conversation::Command::Create(create));
    let Decision::Record(created) = Conversations::decide(None, &input) else { panic!("it is created") };
    let mut state = None;
    Conversations::evolve(&mut state, scene.conversation, scene.tenant, &created);
    let mut owner = Owner::<Conversations>::new(Codec::builtin(), 0, Head::default(), LIMITS);
    owner.warm(scene.conversation, state, 0);

    assert!(owner.decide(scene.send(1, 0), false).unwrap().is_some(), "a new one needs no look");
    assert!(owner.decide(scene.send(2, 2 * RECENT_SENDS_MS), true).unwrap().is_some(), "looked up, and not found");
    assert!(owner.decide(scene.send(3, 2 * RECENT_SENDS_MS), false).unwrap().is_none(), "nobody knows");
    owner.reported(0).unwrap();
    owner.reported(1).unwrap();
    let answers: Vec<_> = owner.take_outcomes().into_iter().map(|outcome| outcome.command_offset).collect();
    assert_eq!(answers, [1, 2, 3]);
}

/// What an owner wrote before it was gone reaches who was a member then: not who joined since, but who left since.
#[test]
fn an_adopted_event_is_for_the_members_of_its_time() {
    let (ada, bob, eve) = (UserId::generate(), UserId::generate(), UserId::generate());
    let client_id = Uuid::now_v7();
    let conversation = ConversationId::group(ada, client_id);
    let scene = Scene { tenant: TenantId::generate(), conversation, ada, now: Timestamp::now() };
    let create = CreateConversation { kind: ConversationKind::Group, members: vec![bob], name: None, client_id };
    let member = |users: Vec<UserId>| conversation::Command::AddMembers(Users { users });
    let commands = [
        scene.command(0, conversation::Command::Create(create)),
        scene.send(1, 0),
        scene.command(2, member(vec![eve])),
        scene.send(3, 0),
        scene.command(4, conversation::Command::RemoveMembers(Users { users: vec![bob] })),
        scene.send(5, 0),
    ];
    let mut gone = Owner::<Conversations>::new(Codec::builtin(), 0, Head::default(), LIMITS);
    gone.warm(conversation, None, 0);
    let records = commands.map(|command| gone.decide(command, true).unwrap().expect("it is recorded"));

    let mut owner = Owner::<Conversations>::new(Codec::builtin(), 0, Head::default(), LIMITS);
    for (record, offset) in records.iter().zip(0..) {
        assert_eq!(record.rejection, None);
        owner.adopt(offset, JournalRecord::clone(record)).unwrap();
    }
    let held = owner.take_outcomes();
    // The view has all of it, and nothing may be forgotten for that.
    owner.view_reached(6, &held);
    let mut state = None;
    for tail in &owner.tail {
        Conversations::evolve(&mut state, conversation, scene.tenant, tail.recorded.as_ref().unwrap());
    }
    owner.hot.insert(conversation, Hot { state, roster: None, touched: 0, flights: 0 });
    let hears = held.iter().map(|outcome| {
        let Counted { offset, recorded, .. } = outcome.accepted.as_ref().unwrap();
        let Some(Audience::Known(roster, also)) = owner.audience(conversation, *offset, recorded.as_deref()) else {
            panic!("it is known");
        };
        let names = [(ada, 'a'), (bob, 'b'), (eve, 'e')].into_iter();
        let here = |user: &UserId| roster.iter().any(|hearer| hearer.user == *user);
        names.filter(|(user, _)| here(user) || also.contains(user)).map(|(_, name)| name).collect()
    });
    assert_eq!(hears.collect::<Vec<String>>(), ["ab", "ab", "abe", "abe", "abe", "ae"]);
}
