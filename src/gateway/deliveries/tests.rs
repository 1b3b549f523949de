//! Deliveries over fakes.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::Ordering::Relaxed;

use futures_util::FutureExt;
use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::codec::Codec;
use crate::domain::conversation::MessageSent;
use crate::gateway::fakes::{FakeKeys, World};
use crate::gateway::hub::Socket;
use crate::gateway::outbox::{Budget, Next, Outbox};

fn socket(world: &World, user: UserId) -> Arc<Socket> {
    let outbox = Outbox::new(1_000_000, Budget::new(usize::MAX));
    let socket = Arc::new(Socket::new(world.tenant, user, SessionId::generate(), outbox, Timestamp(i64::MAX)));
    world.edge.hub.add(socket.clone());
    socket
}

fn pushed(socket: &Socket) -> Vec<Value> {
    match socket.outbox.next(usize::MAX).now_or_never() {
        Some(Next::Frames(frames)) => frames.iter().map(|frame| serde_json::from_str(frame).unwrap()).collect(),
        _ => Vec::new(),
    }
}

fn positions(socket: &Socket) -> Vec<i64> {
    pushed(socket).iter().map(|frame| frame["position"].as_i64().unwrap()).collect()
}

fn event(world: &World, conversation: ConversationId, position: i64, text: Bytes) -> Bytes {
    let sent = MessageSent { text: Some(text), ..MessageSent::new(position, Uuid::now_v7()) };
    let record = ConversationEvent {
        event_id: Default::default(),
        r#type: "message.sent".into(),
        tenant: world.tenant,
        conversation,
        position,
        actor: UserId::generate(),
        occurred_at: Timestamp::now(),
        causation: Default::default(),
        traceparent: None,
        epoch: 0,
        partition: 3,
        index: position,
        last_seq: position,
        message_sent: Some(sent),
        ..ConversationEvent::default()
    };
    Codec::builtin().encode(&record).unwrap()
}

fn marks(world: &World) -> Marks {
    Marks { incarnation: world.identity.incarnation, journal: "j".into(), marks: vec![] }
}

#[test]
fn an_event_reaches_its_recipients_once_each_and_nobody_else() {
    let world = World::new();
    let deliveries = world.deliveries();
    let (ada, eve, bob) = (world.user(), world.user(), world.user());
    let sockets = [socket(&world, ada), socket(&world, ada), socket(&world, eve), socket(&world, bob)];
    let conversation = ConversationId::generate();
    let record = event(&world, conversation, 1, FakeKeys::sealed("hello"));
    deliveries.handle(world.delivery(Some(record.clone()), &[ada, eve]));
    for socket in &sockets[..3] {
        let frames = pushed(socket);
        assert_eq!(frames.len(), 1);
        assert_eq!((&frames[0]["type"], &frames[0]["data"]["text"]), (&"message.sent".into(), &"hello".into()));
    }
    assert!(pushed(&sockets[3]).is_empty());

    let mut other = world.delivery(Some(record), &[ada]);
    other.incarnation = Default::default();
    deliveries.handle(other);
    assert!(pushed(&sockets[0]).is_empty());
}

#[test]
fn a_missing_key_holds_up_its_conversation_only_and_marks() {
    let world = World::new();
    let deliveries = world.deliveries();
    let ada = world.user();
    let socket = socket(&world, ada);
    let (first, second) = (ConversationId::generate(), ConversationId::generate());
    let send = |conversation, position| {
        let record = event(&world, conversation, position, FakeKeys::sealed("x"));
        deliveries.handle(world.delivery(Some(record), &[ada]));
    };
    world.keys.missing.store(true, Relaxed);
    send(first, 1);
    world.keys.missing.store(false, Relaxed);
    send(first, 2);
    send(second, 7);
    deliveries.marks(marks(&world));
    assert_eq!(positions(&socket), [7]);
    assert!(world.catch_up.marks.lock().unwrap().is_empty());
    deliveries.retry(Instant::now());
    assert_eq!(positions(&socket), [1, 2]);
    assert_eq!(world.catch_up.marks.lock().unwrap().len(), 1);
    assert!(deliveries.is_settled());
}

#[test]
fn a_key_that_never_comes_closes_the_sockets_instead_of_hiding_the_message() {
    let world = World::new();
    let deliveries = world.deliveries();
    let (ada, eve) = (world.user(), world.user());
    let (of_ada, of_eve) = (socket(&world, ada), socket(&world, eve));
    world.keys.missing.store(true, Relaxed);
    let record = event(&world, ConversationId::generate(), 1, FakeKeys::sealed("x"));
    deliveries.handle(world.delivery(Some(record), &[ada]));
    deliveries.retry(Instant::now());
    assert_eq!(of_ada.outbox.closing(), None);
    deliveries.retry(Instant::now() + KEY_PATIENCE);
    assert_eq!(of_ada.outbox.closing(), Some(Closing::Draining));
    assert_eq!(of_eve.outbox.closing(), None);
    assert!(pushed(&of_ada).is_empty() && deliveries.is_settled());
}

#[test]
fn what_cannot_be_read_closes_the_sockets_it_was_for() {
    let world = World::new();
    let deliveries = world.deliveries();
    let ada = world.user();
    for record in [Bytes::from_static(b"?"), event(&world, ConversationId::generate(), 1, Bytes::from_static(b"?"))] {
        let socket = socket(&world, ada);
        deliveries.handle(world.delivery(Some(record), &[ada]));
        assert_eq!(socket.outbox.closing(), Some(Closing::Draining));
        world.edge.hub.remove(&socket);
    }
}

#[test]
fn typing_is_not_shown_to_the_one_who_types() {
    let world = World::new();
    let deliveries = world.deliveries();
    let (ada, eve) = (world.user(), world.user());
    let (typing, other, of_eve) = (socket(&world, ada), socket(&world, ada), socket(&world, eve));
    let conversation = ConversationId::generate();
    let signal = Signal {
        r#type: "typing".into(),
        tenant: world.tenant,
        conversation,
        actor: ada,
        session: typing.session,
        active: true,
        at: Timestamp::now(),
    };
    let record = Codec::builtin().encode(&signal).unwrap();
    deliveries.handle(world.delivery(Some(record), &[ada, eve]));
    assert!(pushed(&typing).is_empty());
    assert_eq!(pushed(&other).len(), 1);
    let expected = serde_json::json!({
        "type": "typing", "conversation": conversation, "data": {"user": ada, "active": true, "expires_in_ms": 8_000},
    });
    assert_eq!(pushed(&of_eve), [expected]);
}

#[tokio::test(start_paused = true)]
async fn who_was_told_of_something_finds_it_in_the_next_read() {
    use crate::gateway::seen::Scope;
    let world = World::new();
    let deliveries = world.deliveries();
    let (ada, eve) = (world.user(), world.user());
    let record = event(&world, ConversationId::generate(), 1, FakeKeys::sealed("x"));
    deliveries.handle(world.delivery(Some(record), &[ada]));
    let seen = world.edge.seen.clone();
    tokio::spawn(seen.clone().run(world.reads.clone(), CancellationToken::new()));
    world.reads.applied.insert((Journal::Conversations, 3), 9);
    assert!(seen.settle(ada, Scope::All).await.is_err());
    assert!(seen.settle(eve, Scope::All).await.is_ok());
    world.reads.applied.insert((Journal::Conversations, 3), 10);
    assert!(seen.settle(ada, Scope::All).await.is_ok());
}
