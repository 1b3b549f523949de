//! Real WebSockets over fakes of everything behind them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::Ordering::Relaxed;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Sent;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::domain::{ConversationId, Timestamp, UserId};
use crate::gateway::edge::Options;
use crate::gateway::fakes::{FakeTokens, World, member_of_group};
use crate::gateway::http::router;
use crate::gateway::hub::Socket;
use crate::gateway::outbox::Worth;
use crate::gateway::ports::Caught;
use crate::gateway::session::tell_again;

mod doors;

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

async fn serve(world: &World) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = router(world.edge.clone(), None);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("ws://{address}/v1/ws")
}

impl Client {
    async fn connect(world: &World) -> Self {
        let mut request = serve(world).await.into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "tidings.v1.json".parse().unwrap());
        let (socket, response) = connect_async(request).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "tidings.v1.json");
        Self(socket)
    }

    /// Connected and greeted, up to `caught_up`.
    async fn hello(world: &World, user: UserId) -> Self {
        let mut client = Self::connect(world).await;
        client.send(json!({"id": 0, "type": "hello", "data": {"token": world.token(user)}})).await;
        let frame = client.next().await;
        assert_eq!((&frame["type"], &frame["data"]["user"]), (&json!("ok"), &json!(user)));
        assert_eq!(client.next().await["type"], "caught_up");
        client
    }

    async fn send(&mut self, frame: Value) {
        self.text(&frame.to_string()).await;
    }

    async fn text(&mut self, text: &str) {
        self.0.send(Sent::text(text)).await.unwrap();
    }

    async fn next(&mut self) -> Value {
        loop {
            match self.0.next().await {
                Some(Ok(Sent::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Sent::Ping(_) | Sent::Pong(_))) => {}
                other => panic!("no frame but {other:?}"),
            }
        }
    }

    /// Whatever comes until the close, and its code.
    async fn closed(&mut self) -> (Vec<Value>, u16) {
        let mut frames = Vec::new();
        loop {
            match self.0.next().await {
                Some(Ok(Sent::Text(text))) => frames.push(serde_json::from_str(&text).unwrap()),
                Some(Ok(Sent::Ping(_) | Sent::Pong(_))) => {}
                Some(Ok(Sent::Close(Some(frame)))) => return (frames, frame.code.into()),
                other => panic!("no close but {other:?}"),
            }
        }
    }
}

async fn until(condition: impl Fn() -> bool) {
    let comes = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), comes).await.expect("in time");
}

#[tokio::test]
async fn hello_is_answered_first_and_catching_up_follows() {
    let world = World::new();
    let ada = world.user();
    *world.catch_up.caught.lock().unwrap() = Caught { cursor: "c1".into(), reset: true, ..Caught::default() };
    let mut client = Client::connect(&world).await;
    client.send(json!({"id": "h", "type": "hello", "data": {"token": world.token(ada), "cursor": "?"}})).await;
    let welcome = client.next().await;
    assert_eq!((&welcome["id"], &welcome["type"]), (&json!("h"), &json!("ok")));
    let data = welcome["data"].as_object().unwrap();
    assert_eq!((&data["user"], &data["ping_interval_ms"]), (&json!(ada), &json!(30_000)));
    assert_eq!(data["max_frame_bytes"], 65_536);
    assert!(data["session_id"].as_str().unwrap().starts_with("ses_") && data["server_time"].is_string());
    let caught_up = client.next().await;
    assert_eq!(caught_up, json!({"type": "caught_up", "data": {"cursor": "c1", "reset": true}}));

    assert_eq!((world.edge.hub.len(), world.sessions.registered.load(Relaxed)), (1, 1));
    drop(client);
    until(|| world.edge.hub.is_empty() && world.sessions.registered.load(Relaxed) == 0).await;
}

#[tokio::test]
async fn nothing_is_done_before_hello() {
    let world = World::new();
    let expired = FakeTokens::token(world.tenant, world.user(), Timestamp(0));
    let cases = [
        (json!({"id": 1, "type": "ping"}), "unauthenticated", 4501),
        (json!({"id": 1, "type": "hello", "data": {"token": "x"}}), "unauthenticated", 4501),
        (json!({"id": 1, "type": "hello", "data": {"token": expired}}), "unauthenticated", 4040),
        (json!({"id": 1, "type": "hello", "data": {}}), "bad_request", 4501),
        (json!(["hello"]), "bad_frame", 4500),
    ];
    for (frame, code, close) in cases {
        let mut client = Client::connect(&world).await;
        client.send(frame.clone()).await;
        let (frames, closed) = client.closed().await;
        // Who may come back is told when.
        assert_eq!(frames.len(), if close == 4040 { 2 } else { 1 }, "{frame}");
        assert_eq!((&frames[0]["data"]["code"], closed), (&json!(code), close), "{frame}");
    }
    let mut client = Client::connect(&world).await;
    client.0.send(Sent::binary(vec![1])).await.unwrap();
    assert_eq!(client.closed().await, (vec![], 4500));
}

#[tokio::test]
async fn who_says_nothing_is_closed_after_the_time_for_hello() {
    let world = World::with(Options { hello_timeout: Duration::from_millis(50), ..Options::new(8) });
    let mut client = Client::connect(&world).await;
    assert_eq!(client.closed().await, (vec![], 4501));
}

#[tokio::test]
async fn without_the_log_hello_is_unavailable_and_leaves_nothing() {
    let world = World::new();
    world.sessions.away.store(true, Relaxed);
    let mut client = Client::connect(&world).await;
    client.send(json!({"id": 1, "type": "hello", "data": {"token": world.token(world.user())}})).await;
    let (frames, code) = client.closed().await;
    assert_eq!((&frames[0]["data"]["code"], code), (&json!("unavailable"), 4001));
    assert_eq!(frames[1]["type"], "bye");
    assert!(world.edge.hub.is_empty());
}

// On one thread tasks start in the order in which they were spawned, and hide a wrong order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sends_are_appended_in_the_order_of_frames() {
    let world = World::new();
    let mut client = Client::hello(&world, world.user()).await;
    let conversation = ConversationId::generate();
    for n in 0..100 {
        let data = json!({"conversation": conversation, "client_id": Uuid::now_v7(), "text": n.to_string()});
        client.send(json!({"id": n, "type": "message.send", "data": data})).await;
    }
    for n in 0..100 {
        let command = world.answer(n, |reply| reply.seq = n as i64 + 1).await;
        assert_eq!(command.message_send.unwrap().text.unwrap(), format!("sealed:{n}"));
    }
    let mut answered = Vec::new();
    for _ in 0..100 {
        let reply = client.next().await;
        assert_eq!(reply["data"]["seq"].as_i64().unwrap(), reply["id"].as_i64().unwrap() + 1);
        answered.push(reply["id"].as_i64().unwrap());
    }
    answered.sort_unstable();
    assert_eq!(answered, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn garbage_is_answered_until_there_is_too_much_of_it() {
    let world = World::new();
    let mut client = Client::hello(&world, world.user()).await;
    for _ in 0..9 {
        client.text("{").await;
        assert_eq!(client.next().await["data"]["code"], "bad_frame");
    }
    client.send(json!({"id": 1, "type": "ping"})).await;
    assert_eq!(client.next().await, json!({"id": 1, "type": "ok", "data": {}}));
    client.send(json!({"id": 2, "type": "hello", "data": {}})).await;
    assert_eq!(client.next().await["data"]["code"], "bad_request");
    for _ in 0..10 {
        client.text("{").await;
    }
    let (frames, code) = client.closed().await;
    assert_eq!((frames.len(), code), (10, 4500));
}

#[tokio::test]
async fn a_frame_that_is_too_large_closes_the_socket() {
    let world = World::new();
    for bytes in [65_537, 300_000] {
        let mut client = Client::hello(&world, world.user()).await;
        client.text(&"x".repeat(bytes)).await;
        let (frames, code) = client.closed().await;
        assert_eq!((&frames[0]["data"]["reason"], code), (&json!("frame_too_large"), 4009), "{bytes}");
    }
    let mut client = Client::hello(&world, world.user()).await;
    client.text(&"x".repeat(65_536)).await;
    assert_eq!(client.next().await["data"]["code"], "bad_frame");
}

#[tokio::test]
async fn a_flood_is_refused_then_closed() {
    let world = World::new();
    let mut client = Client::hello(&world, world.user()).await;
    for n in 0..1_500 {
        if client.0.send(Sent::text(json!({"id": n, "type": "ping"}).to_string())).await.is_err() {
            break;
        }
    }
    let (frames, code) = client.closed().await;
    assert_eq!(code, 4029);
    let refused = frames.iter().filter(|frame| frame["data"]["code"] == "rate_limited").count();
    assert_eq!(refused, 1_000);
    assert!(frames.iter().filter(|frame| frame["type"] == "ok").count() >= 200);
    assert!(frames.iter().any(|frame| frame["data"]["retry_after_ms"].as_i64().is_some_and(|ms| ms > 0)));
}

#[tokio::test]
async fn a_flood_does_not_hold_up_others() {
    // Refused for ever, so that the flood goes on while others are served.
    let mut options = Options::new(8);
    options.rate.refused_before_close = u32::MAX;
    let world = World::with(options);
    let mut other = Client::hello(&world, world.user()).await;
    let (mut flood, mut refusals) = Client::hello(&world, world.user()).await.0.split();
    let flooding = tokio::spawn(async move {
        loop {
            flood.send(Sent::text(r#"{"id":1,"type":"ping","data":{"x":"0123456789"}}"#)).await.unwrap();
        }
    });
    let reading = tokio::spawn(async move { while let Some(Ok(_)) = refusals.next().await {} });
    for id in 0..50 {
        other.send(json!({"id": id, "type": "ping"})).await;
        let answered = tokio::time::timeout(Duration::from_secs(1), other.next()).await;
        assert_eq!(answered.ok(), Some(json!({"id": id, "type": "ok", "data": {}})));
    }
    assert!(!flooding.is_finished() && !reading.is_finished());
    flooding.abort();
}

#[tokio::test]
async fn a_token_that_ends_ends_the_socket_unless_it_is_refreshed() {
    let world = World::new();
    let ada = world.user();
    let short = || FakeTokens::token(world.tenant, ada, Timestamp::now().plus(400));
    let mut refreshed = Client::connect(&world).await;
    let mut client = Client::connect(&world).await;
    for client in [&mut refreshed, &mut client] {
        client.send(json!({"id": 0, "type": "hello", "data": {"token": short()}})).await;
        client.next().await;
        client.next().await;
    }
    let other = world.token(world.user());
    refreshed.send(json!({"id": 1, "type": "auth.refresh", "data": {"token": other}})).await;
    assert_eq!(refreshed.next().await["data"]["code"], "unauthenticated");
    refreshed.send(json!({"id": 2, "type": "auth.refresh", "data": {"token": world.token(ada)}})).await;
    assert_eq!(refreshed.next().await, json!({"id": 2, "type": "ok", "data": {}}));
    let (frames, code) = client.closed().await;
    assert_eq!((&frames[0]["data"]["reason"], code), (&json!("token_expired"), 4040));
    refreshed.send(json!({"id": 3, "type": "ping"})).await;
    assert_eq!(refreshed.next().await["id"], 3);
}

#[tokio::test]
async fn the_silent_are_pinged_and_then_closed() {
    let world = World::with(Options { ping_interval: Duration::from_millis(150), ..Options::new(8) });
    let user = world.user();
    let mut alive = Client::hello(&world, user).await;
    // Reads nothing, so it answers no ping either.
    let mut silent = Client::hello(&world, user).await;
    // The pong to each leaves with the reading of the next.
    for _ in 0..5 {
        assert!(matches!(alive.0.next().await, Some(Ok(Sent::Ping(_)))));
    }
    assert_eq!(silent.closed().await.1, 4000);
    assert_eq!(world.edge.hub.len(), 1);
}

#[tokio::test]
async fn a_slow_consumer_is_closed_and_a_page_it_asked_for_does_not_make_it_one() {
    let world = World::with(Options { outbox_bytes: 100_000, ..Options::new(8) });
    let ada = world.user();
    let mut client = Client::hello(&world, ada).await;
    let frame = axum::extract::ws::Utf8Bytes::from(json!("x".repeat(10_000)).to_string());
    // More than the buffers of both kernels hold.
    for _ in 0..2_000 {
        world.edge.hub.push(world.tenant, ada, &frame, Worth::Durable, None);
        tokio::task::yield_now().await;
    }
    until(|| world.edge.hub.is_empty()).await;
    // What was in the buffers still comes, the close frame perhaps not.
    while let Some(Ok(_)) = client.0.next().await {}

    let rows = (0..100).map(|n| crate::gateway::ports::EventRow {
        kind: "x".repeat(2_000),
        position: n + 1,
        at: Timestamp(0),
        actor: ada,
        causation: Default::default(),
        event: None,
    });
    let conversation = ConversationId::generate();
    world.reads.events.insert(conversation, rows.collect());
    let membership = member_of_group(crate::domain::policy::Role::Member, 0, 100);
    world.reads.memberships.insert((conversation, ada), membership);
    let mut client = Client::hello(&world, ada).await;
    for id in 0..50 {
        let data = json!({"conversation": conversation, "after_position": 0});
        client.send(json!({"id": id, "type": "events", "data": data})).await;
    }
    for _ in 0..50 {
        assert_eq!(client.next().await["data"]["events"].as_array().unwrap().len(), 100);
    }
}

#[tokio::test]
async fn draining_says_bye_and_takes_nobody_new() {
    let world = World::new();
    let mut client = Client::hello(&world, world.user()).await;
    let mut undecided = Client::connect(&world).await;
    let never = CancellationToken::new();
    let drain = world.edge.drain(Duration::ZERO, Duration::from_millis(100), &never);
    let clients = async { (client.closed().await, undecided.closed().await) };
    let ((), ((frames, code), (_, undecided))) = tokio::join!(drain, clients);
    assert_eq!((&frames[0]["type"], code, undecided), (&json!("bye"), 4001, 4001));
    assert_eq!(frames[0]["data"]["reconnect_after_ms"].as_array().unwrap().len(), 2);
    let mut request = serve(&world).await.into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "tidings.v1.json".parse().unwrap());
    assert!(connect_async(request).await.unwrap_err().to_string().contains("503"));
}

#[tokio::test]
async fn who_loses_its_claim_closes_every_socket_and_takes_nobody_until_the_next() {
    let world = World::new();
    let ada = world.user();
    let mut client = Client::hello(&world, ada).await;
    let data = json!({"conversation": ConversationId::generate(), "seq": 1});
    client.send(json!({"id": 1, "type": "read", "data": data})).await;
    until(|| world.log.len() == 1).await;
    world.edge.lose();
    let (frames, code) = client.closed().await;
    assert_eq!((frames.last().unwrap()["type"].as_str(), code), (Some("bye"), 4001));
    assert!(world.edge.pending.is_empty() && !world.edge.is_ready());

    let mut client = Client::connect(&world).await;
    client.send(json!({"id": 1, "type": "hello", "data": {"token": world.token(ada)}})).await;
    let (frames, code) = client.closed().await;
    assert_eq!((&frames[0]["data"]["code"], code), (&json!("unavailable"), 4001));
    world.edge.begin(world.identity);
    Client::hello(&world, ada).await;
}

#[tokio::test]
async fn who_may_have_missed_something_is_caught_up_again() {
    let world = World::new();
    let ada = world.user();
    let mut client = Client::connect(&world).await;
    client.send(json!({"id": 1, "type": "hello", "data": {"token": world.token(ada)}})).await;
    let session = client.next().await["data"]["session_id"].as_str().unwrap().parse().unwrap();
    client.next().await;
    tell_again(&world.edge, ada, session, Caught { cursor: "c2".into(), ..Caught::default() });
    assert_eq!(client.next().await, json!({"type": "caught_up", "data": {"cursor": "c2"}}));
}

fn serve_bytes<R: Future>(
    _: impl Fn(Registered, Option<Message>, SplitSink<WebSocket, Message>, SplitStream<WebSocket>) -> R,
) -> usize {
    size_of::<R>()
}

#[test]
fn what_an_idle_socket_keeps_is_small() {
    let bytes = serve_bytes(super::serve) + size_of::<Socket>() + size_of::<WebSocket>();
    assert!(bytes <= 2_048, "{bytes} beside the read buffer");
}

#[tokio::test]
async fn there_are_only_so_many_sockets() {
    let world = World::with(Options { max_sockets: 1, ..Options::new(8) });
    let client = Client::hello(&world, world.user()).await;
    until(|| world.edge.sockets.len() == 1).await;
    let mut request = serve(&world).await.into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "tidings.v1.json".parse().unwrap());
    assert!(connect_async(request).await.unwrap_err().to_string().contains("503"));
    drop(client);
    until(|| world.edge.sockets.is_empty()).await;
    Client::hello(&world, world.user()).await;
}
