//! The dispatcher over fakes: what is asked of whom, and what is answered.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::*;
use crate::codec::records::Signal;
use crate::domain::conversation::{Event, MemberJoined, MessageSent};
use crate::domain::policy::{ConversationKind, Role, Standing};
use crate::domain::{ErrorCode, Timestamp};
use crate::gateway::fakes::{FakeKeys, World, member_of_group};
use crate::gateway::ports::{EventRow, Membership, MessageRow};
use crate::log::{partition_of, topics};

fn context(world: &World, user: UserId) -> Context {
    Context { tenant: world.tenant, user, socket: None, reads: Arc::new(Semaphore::new(1)) }
}

pub fn start(world: &World, user: UserId, kind: &str, data: Value) -> JoinHandle<Result<Value, Failure>> {
    let data = serde_json::value::to_raw_value(&data).unwrap();
    let command = Command::parse(kind, &data);
    let (edge, context) = (world.edge.clone(), context(world, user));
    tokio::spawn(async move {
        let reply = command?.run(edge, context).await?;
        Ok(serde_json::from_str(&reply).unwrap())
    })
}

pub async fn refused(world: &World, user: UserId, kind: &str, data: Value) -> ErrorCode {
    start(world, user, kind, data).await.unwrap().unwrap_err().code
}

#[tokio::test]
async fn a_message_is_sealed_and_appended_for_its_owner() {
    let world = World::new();
    let (ada, conversation) = (world.user(), ConversationId::generate());
    let client_id = Uuid::now_v7();
    let data = json!({"conversation": conversation, "client_id": client_id, "text": "hello", "mentions": ["all", ada]});
    let sending = start(&world, ada, "message.send", data);
    let command = world.answer(0, |reply| reply.duplicate = true).await;
    let expected = json!({"seq": 3, "position": 7, "at": "1970-01-01T00:00:00.000Z", "duplicate": true});
    assert_eq!(sending.await.unwrap(), Ok(expected));

    assert_eq!((command.tenant, command.actor, command.conversation), (world.tenant, ada, conversation));
    let body = command.message_send.unwrap();
    assert_eq!((body.client_id, body.text), (client_id, Some(FakeKeys::sealed("hello"))));
    assert_eq!(command.reply_to.unwrap().incarnation, world.identity.incarnation);
    assert_eq!(command.reply_to.unwrap().partition, world.identity.partition);
    let records = world.log.records.lock().unwrap();
    let (topic, partition, key, _) = &records[0];
    assert_eq!((*topic, key), (topics::CONVERSATION_COMMANDS, &conversation.to_string()));
    assert_eq!(*partition, partition_of(key.as_bytes(), 8));
}

#[tokio::test]
async fn what_is_no_message_never_reaches_the_log() {
    let world = World::new();
    let ada = world.user();
    let good = json!({"conversation": ConversationId::generate(), "client_id": Uuid::now_v7(), "text": "x"});
    let cases = [
        (json!({"text": null}), ErrorCode::BadRequest),
        (json!({"text": ""}), ErrorCode::BadRequest),
        (json!({"text": 7}), ErrorCode::BadRequest),
        (json!({"text": "x".repeat(20_001)}), ErrorCode::TooLarge),
        (json!({"conversation": "cnv_x"}), ErrorCode::BadRequest),
        (json!({"conversation": ada}), ErrorCode::BadRequest),
        (json!({"client_id": Uuid::nil()}), ErrorCode::BadRequest),
        (json!({"client_id": Uuid::now_v7().simple().to_string()}), ErrorCode::BadRequest),
        (json!({"client_id": format!("{{{}}}", Uuid::now_v7())}), ErrorCode::BadRequest),
        (json!({"reply_to": 0}), ErrorCode::BadRequest),
        (json!({"reply_to": 1.5}), ErrorCode::BadRequest),
        (json!({"mentions": ["everybody"]}), ErrorCode::BadRequest),
        (json!({"mentions": vec!["all"; 101]}), ErrorCode::TooLarge),
        (json!({"attachments": [{"id": "att_x"}]}), ErrorCode::BadRequest),
        (json!({"location": {"lat": 91, "lon": 2}}), ErrorCode::BadRequest),
        (json!({"location": {"lat": 1, "lon": 180.5}}), ErrorCode::BadRequest),
        (json!({"location": {"lat": 1, "lon": 2, "accuracy_m": -1}}), ErrorCode::BadRequest),
        (json!({"location": {"lat": 1, "lon": 2}, "contact": {"name": "Cyd"}}), ErrorCode::BadRequest),
        (json!({"contact": {"name": ""}}), ErrorCode::BadRequest),
        (json!({"contact": {"name": "Cyd", "phones": vec!["1"; 21]}}), ErrorCode::BadRequest),
        (json!({"contact": {"name": "Cyd", "user": "usr_x"}}), ErrorCode::BadRequest),
        (json!({"poll": {"question": "", "options": ["a", "b"]}}), ErrorCode::BadRequest),
        (json!({"poll": {"question": "?", "options": ["a", ""]}}), ErrorCode::BadRequest),
        (json!({"poll": {"question": "?".repeat(20_001), "options": ["a", "b"]}}), ErrorCode::TooLarge),
        (json!({"forward": {"conversation": ConversationId::generate(), "seq": 1}}), ErrorCode::BadRequest),
        (json!({"expires_in_ms": "5"}), ErrorCode::BadRequest),
    ];
    for (change, code) in cases {
        let mut data = good.clone();
        data.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(refused(&world, ada, "message.send", data).await, code, "{change:.60}");
    }
    for data in [json!([]), json!("x"), json!(7)] {
        assert_eq!(refused(&world, ada, "message.send", data).await, ErrorCode::BadRequest);
    }
    assert_eq!(world.log.len(), 0);
}

#[tokio::test]
async fn a_direct_conversation_has_the_id_of_its_two_users() {
    let world = World::new();
    let (ada, eve) = (world.user(), world.user());
    let data = json!({"kind": "direct", "members": [eve, ada, eve], "client_id": Uuid::now_v7()});
    let creating = start(&world, ada, "conversation.create", data);
    world.answer(0, |reply| reply.position = 1).await;
    let conversation = ConversationId::direct(eve, ada);
    let expected = json!({"conversation": conversation, "position": 1, "duplicate": false});
    assert_eq!(creating.await.unwrap(), Ok(expected));
    for (members, name) in [(vec![], None), (vec![ada], None), (vec![eve, world.user()], None), (vec![eve], Some("x"))]
    {
        let data = json!({"kind": "direct", "members": members, "name": name, "client_id": Uuid::now_v7()});
        assert_eq!(refused(&world, ada, "conversation.create", data).await, ErrorCode::BadRequest);
    }
}

#[tokio::test]
async fn the_name_of_a_group_is_sealed() {
    let world = World::new();
    let (ada, client_id) = (world.user(), Uuid::now_v7());
    let data = json!({"kind": "group", "members": [], "name": "team", "client_id": client_id});
    let creating = start(&world, ada, "conversation.create", data);
    let command = world.answer(0, |_| ()).await;
    assert_eq!(command.conversation, ConversationId::group(ada, client_id));
    assert_eq!(command.conversation_create.unwrap().name, Some(FakeKeys::sealed("team")));
    assert!(creating.await.unwrap().is_ok());
    let data = json!({"kind": "group", "members": [], "name": "x".repeat(257), "client_id": client_id});
    assert_eq!(refused(&world, ada, "conversation.create", data).await, ErrorCode::TooLarge);
}

#[tokio::test(start_paused = true)]
async fn a_user_just_registered_is_waited_for_and_a_stranger_is_not_found() {
    let world = World::new();
    let (ada, late, stranger) = (world.user(), UserId::generate(), UserId::generate());
    world.keys.users.insert(stranger, TenantId::generate());
    let data = json!({"conversation": ConversationId::generate(), "users": [late]});
    let adding = start(&world, ada, "member.add", data);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(world.log.len(), 0);
    world.keys.users.insert(late, world.tenant);
    world.answer(0, |_| ()).await;
    assert_eq!(adding.await.unwrap(), Ok(json!({"position": 7, "duplicate": false})));

    let data = json!({"conversation": ConversationId::generate(), "users": [late, stranger]});
    let failure = start(&world, ada, "member.add", data).await.unwrap().unwrap_err();
    assert_eq!(failure.code, ErrorCode::NotFound);
    assert!(failure.message.contains(&stranger.to_string()) && !failure.message.contains(&late.to_string()));
    let many: Vec<_> = (0..1_001).map(|_| UserId::generate()).collect();
    let data = json!({"conversation": ConversationId::generate(), "users": many});
    assert_eq!(refused(&world, ada, "member.add", data).await, ErrorCode::TooLarge);
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_it_is_unavailable() {
    let world = World::new();
    let ada = world.user();
    let data = json!({"conversation": ConversationId::generate(), "seq": 1});
    assert_eq!(refused(&world, ada, "read", data.clone()).await, ErrorCode::Unavailable);
    assert_eq!(world.log.len(), 1);
    world.log.failing.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(refused(&world, ada, "read", data.clone()).await, ErrorCode::Unavailable);
    world.log.full.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(refused(&world, ada, "read", data).await, ErrorCode::Unavailable);
    assert!(world.edge.pending.is_empty());
}

#[tokio::test]
async fn a_refusal_of_the_owner_is_handed_on() {
    let world = World::new();
    let ada = world.user();
    let leaving = start(&world, ada, "conversation.leave", json!({"conversation": ConversationId::generate()}));
    world
        .answer(0, |reply| {
            reply.code = Some("not_a_member".into());
            reply.message = "no".into();
        })
        .await;
    assert_eq!(leaving.await.unwrap(), Err(Failure::new(ErrorCode::NotAMember, "no")));
}

#[tokio::test]
async fn typing_is_a_signal_and_answered_at_once() {
    let world = World::new();
    let (ada, conversation) = (world.user(), ConversationId::generate());
    let reply = start(&world, ada, "typing", json!({"conversation": conversation, "active": true})).await.unwrap();
    assert_eq!(reply, Ok(json!({})));
    let signal: Signal = world.log.record(0).await;
    assert_eq!((signal.conversation, signal.actor, signal.active), (conversation, ada, true));
    assert_eq!(world.log.records.lock().unwrap()[0].0, topics::CONVERSATION_SIGNALS);
}

#[tokio::test]
async fn history_shows_what_is_missing_as_removed() {
    let world = World::new();
    let (ada, eve, conversation) = (world.user(), world.user(), ConversationId::generate());
    let membership = member_of_group(Role::Member, 3, 5);
    world.reads.memberships.insert((conversation, ada), membership);
    world.reads.memberships.insert(
        (conversation, eve),
        Membership { standing: Standing::new(ConversationKind::Group, None), ..membership },
    );
    let row = |seq| {
        let sent = MessageSent { text: Some(FakeKeys::sealed("x")), ..MessageSent::new(seq, Uuid::nil()) };
        MessageRow::of(sent, seq + 1, ada, Timestamp(0), Default::default())
    };
    world.reads.messages.insert(conversation, vec![row(1), row(3)]);
    let page = start(&world, ada, "history", json!({"conversation": conversation, "limit": 2})).await.unwrap().unwrap();
    assert_eq!(page["messages"][0]["seq"], 3);
    assert_eq!(page["messages"][1], json!({"conversation": conversation, "seq": 2, "deleted": true}));
    assert_eq!((&page["has_more"], page["messages"].as_array().unwrap().len()), (&json!(true), 2));

    assert_eq!(refused(&world, eve, "history", json!({"conversation": conversation})).await, ErrorCode::NotAMember);
    let other = json!({"conversation": ConversationId::generate()});
    assert_eq!(refused(&world, ada, "history", other).await, ErrorCode::NotFound);
    let both = json!({"conversation": conversation, "before_seq": 1, "after_seq": 1});
    assert_eq!(refused(&world, ada, "history", both).await, ErrorCode::BadRequest);
    for limit in [json!(0), json!(-1), json!("x")] {
        let data = json!({"conversation": conversation, "limit": limit});
        assert_eq!(refused(&world, ada, "history", data).await, ErrorCode::BadRequest);
    }
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes_and_never_empty() {
    let world = World::new();
    let (ada, conversation) = (world.user(), ConversationId::generate());
    let membership = member_of_group(Role::Member, 3, 300);
    world.reads.memberships.insert((conversation, ada), membership);
    let row = |seq| {
        let text = Some(FakeKeys::sealed(&"x".repeat(1_000_000)));
        MessageRow::of(
            MessageSent { text, ..MessageSent::new(seq, Uuid::nil()) },
            seq,
            ada,
            Timestamp(0),
            Default::default(),
        )
    };
    // As long as an installation may allow.
    world.reads.messages.insert(conversation, vec![row(1), row(2), row(3)]);
    let page = start(&world, ada, "history", json!({"conversation": conversation})).await.unwrap().unwrap();
    assert_eq!((page["messages"].as_array().unwrap().len(), &page["has_more"]), (1, &json!(true)));

    let users: Vec<_> = (0..1_000).map(|_| UserId::generate()).collect();
    let joined = MemberJoined { users, role: Role::Member, first_slot: 0, read_seq: 0, invite: None };
    let joined = |position| EventRow {
        kind: "member.joined".into(),
        position,
        at: Timestamp(0),
        actor: ada,
        causation: Default::default(),
        event: Some(Event::Joined(joined.clone())),
    };
    let sent = Event::Sent(row(1).sent);
    let sent = EventRow { kind: "message.sent".into(), event: Some(sent), ..joined(1) };
    world.reads.events.insert(conversation, std::iter::once(sent).chain((2..=300).map(joined)).collect());
    for (after, least) in [(0, 1), (1, 2)] {
        let data = json!({"conversation": conversation, "after_position": after, "limit": 1_000});
        let page = start(&world, ada, "events", data).await.unwrap().unwrap();
        let events = page["events"].as_array().unwrap().len();
        assert!(events >= least && page.to_string().len() < 1_100_000, "{events} after {after}");
        assert_eq!(page["last_position"], 300);
    }
}

#[tokio::test]
async fn what_came_after_the_look_at_the_membership_is_not_shown() {
    let world = World::new();
    let (ada, conversation) = (world.user(), ConversationId::generate());
    // Removed at position 3, after the look.
    let membership = member_of_group(Role::Member, 0, 2);
    world.reads.memberships.insert((conversation, ada), membership);
    let event = |position| EventRow {
        kind: "later.invention".into(),
        position,
        at: Timestamp(0),
        actor: ada,
        causation: Default::default(),
        event: None,
    };
    world.reads.events.insert(conversation, (1..=5).map(event).collect());
    let page = start(&world, ada, "events", json!({"conversation": conversation, "after_position": 0}));
    let page = page.await.unwrap().unwrap();
    let positions: Vec<_> = page["events"].as_array().unwrap().iter().map(|event| event["position"].clone()).collect();
    assert_eq!((positions, &page["last_position"]), (vec![json!(1), json!(2)], &json!(2)));
}

#[tokio::test]
async fn every_command_of_the_protocol_is_known() {
    let world = World::new();
    let ada = world.user();
    // The table of the protocol.
    for kind in [
        "ping",
        "auth.refresh",
        "message.send",
        "message.edit",
        "message.delete",
        "reaction.add",
        "reaction.remove",
        "message.pin",
        "message.unpin",
        "read",
        "delivered",
        "typing",
        "conversation.create",
        "conversation.update",
        "conversation.join",
        "conversation.leave",
        "member.add",
        "member.remove",
        "member.role",
        "block",
        "unblock",
        "conversation.settings",
        "presence.set",
        "presence.watch",
        "presence.unwatch",
        "inbox",
        "history",
        "events",
    ] {
        assert!(Command::NAMES.contains(&kind), "{kind}");
    }
    let failure = start(&world, ada, "message.sing", json!({})).await.unwrap().unwrap_err();
    assert_eq!(failure.message, "unknown command type \"message.sing\"");
}
