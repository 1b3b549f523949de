//! Many who come at once, and a gateway that ends.

use super::*;
use crate::domain::SessionId;
use crate::gateway::outbox::Outbox;

#[tokio::test]
async fn what_was_asked_before_the_end_is_answered_and_nothing_more_is_taken() {
    let world = World::new();
    let mut client = Client::hello(&world, world.user()).await;
    let conversation = ConversationId::generate();
    let send = |id: u64| {
        let data = json!({"conversation": conversation, "client_id": Uuid::now_v7(), "text": "x"});
        json!({"id": id, "type": "message.send", "data": data})
    };
    client.send(send(1)).await;
    until(|| world.log.len() == 1).await;
    let never = CancellationToken::new();
    let clients = async {
        until(|| world.edge.hub.is_ending()).await;
        client.send(send(2)).await;
        // Taken, it would be appended after this.
        client.0.send(Sent::Ping(Default::default())).await.unwrap();
        assert!(matches!(client.0.next().await, Some(Ok(Sent::Pong(_)))));
        world.answer(0, |reply| reply.seq = 7).await;
        client.closed().await
    };
    let drain = world.edge.drain(Duration::ZERO, Duration::ZERO, &never);
    let ((), (frames, code)) = tokio::join!(drain, clients);
    assert_eq!((&frames[0]["id"], &frames[0]["data"]["seq"]), (&json!(1), &json!(7)));
    assert_eq!((&frames[1]["type"], frames.len(), code), (&json!("bye"), 2, 4001));
    assert_eq!(world.log.len(), 1);
}

#[tokio::test]
async fn many_that_are_closed_together_come_back_over_a_longer_time() {
    let world = World::with(Options { hellos_per_second: 1, ..Options::new(8) });
    let mut client = Client::hello(&world, world.user()).await;
    let others = std::iter::repeat_with(UserId::generate).take(19);
    let idle = |user| {
        let outbox = Outbox::new(1_000, Arc::clone(&world.edge.outboxes));
        Arc::new(Socket::new(world.tenant, user, SessionId::generate(), outbox, Timestamp(0)))
    };
    others.for_each(|user| world.edge.hub.add(idle(user)));
    world.edge.lose();
    let (frames, _) = client.closed().await;
    assert_eq!(frames[0]["data"]["reconnect_after_ms"], json!([500, 20_000]));
}

/// A client that has said `hello`, and has no answer yet.
async fn knocking(world: &World) -> Client {
    let mut client = Client::connect(world).await;
    client.send(json!({"id": 1, "type": "hello", "data": {"token": world.token(world.user())}})).await;
    client
}

#[tokio::test]
async fn who_comes_when_too_many_come_is_told_when_to_come_back() {
    let world = World::with(Options { hellos_per_second: 1, ..Options::new(8) });
    // Half of the time for hello is 5 s: so many wait.
    let mut clients = Vec::new();
    let sent_away = loop {
        let mut client = knocking(&world).await;
        match tokio::time::timeout(Duration::from_millis(300), client.next()).await {
            Ok(frame) if frame["type"] == "error" => break (frame, client),
            _ => clients.push(client),
        }
        assert!(clients.len() < 10);
    };
    let (frame, mut client) = sent_away;
    assert_eq!(frame["data"]["code"], "unavailable");
    let (frames, code) = client.closed().await;
    assert_eq!((&frames[0]["data"]["reason"], code), (&json!("rate_limited"), 4029));
    let window = &frames[0]["data"]["reconnect_after_ms"];
    assert_eq!(frame["data"]["retry_after_ms"], window[0]);
    assert!(window[0].as_u64().unwrap() > 4_000 && window[1].as_u64() == window[0].as_u64().map(|ms| ms * 2));
    // The next one is sent away for longer.
    let later = knocking(&world).await.closed().await.0;
    assert!(later[1]["data"]["reconnect_after_ms"][0].as_u64() > window[0].as_u64(), "{later:?} {window}");
}

#[tokio::test]
async fn what_is_said_while_waiting_for_the_turn_is_heard_and_who_leaves_is_noticed() {
    let world = World::with(Options { hellos_per_second: 5, ..Options::new(8) });
    let _first = Client::hello(&world, world.user()).await;
    let mut second = knocking(&world).await;
    for id in 2..5 {
        second.send(json!({"id": id, "type": "ping"})).await;
    }
    until(|| world.edge.arrivals.waiting() == 1).await;
    let third = knocking(&world).await;
    until(|| world.edge.arrivals.waiting() == 2).await;
    drop(third);
    until(|| world.edge.arrivals.waiting() <= 1).await;
    let mut answered = Vec::new();
    for _ in 0..5 {
        answered.extend(second.next().await["id"].as_u64());
    }
    assert_eq!(answered, [1, 2, 3, 4], "hello first, then all that was asked, beside `caught_up`");
    assert_eq!(world.sessions.registered.load(Relaxed), 2, "who left is not registered");
}

#[tokio::test]
async fn who_waits_for_its_turn_is_let_go_when_the_gateway_stops() {
    let world = World::with(Options { hellos_per_second: 1, ..Options::new(8) });
    let _first = Client::hello(&world, world.user()).await;
    let mut waiting = knocking(&world).await;
    until(|| world.edge.arrivals.waiting() == 1).await;
    let never = CancellationToken::new();
    let drain = world.edge.drain(Duration::ZERO, Duration::ZERO, &never);
    let ((), (frames, code)) = tokio::join!(drain, waiting.closed());
    assert_eq!((&frames[0]["data"]["reason"], code), (&json!("draining"), 4001));
}
