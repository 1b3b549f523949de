//! Streams over fakes of everything behind them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::Ordering::Relaxed;

use axum::extract::Request;
use axum::http::header;
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::*;
use crate::domain::{Timestamp, UserId};
use crate::gateway::closing::Closing;
use crate::gateway::edge::Options;
use crate::gateway::fakes::{FakeTokens, World};
use crate::gateway::outbox::Worth;
use crate::gateway::ports::Caught;
use crate::gateway::{http, listener};

/// An event as it was written, field by field.
type Event = Vec<(String, String)>;

struct Listening {
    body: Body,
    read: String,
}

async fn ask(world: &World, token: &str, path: &str, last_event_id: Option<&str>) -> Response {
    let mut request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
    if let Some(id) = last_event_id {
        request = request.header("last-event-id", id);
    }
    http::router(world.edge.clone(), None).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

impl Listening {
    async fn with(world: &World, token: &str, path: &str, last_event_id: Option<&str>) -> Self {
        let response = ask(world, token, path, last_event_id).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { body: response.into_body(), read: String::new() }
    }

    /// Up to `caught_up`.
    async fn new(world: &World, user: UserId) -> Self {
        let mut listening = Self::with(world, &world.token(user), "/v1/stream", None).await;
        assert_eq!(listening.frame().await["type"], "hello");
        assert_eq!(listening.frame().await["type"], "caught_up");
        listening
    }

    /// The next event or comment; none at the end.
    async fn event(&mut self) -> Option<Event> {
        while !self.read.contains("\n\n") {
            let frame = self.body.frame().await?.unwrap();
            self.read.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
        let read = std::mem::take(&mut self.read);
        let (event, rest) = read.split_once("\n\n").unwrap();
        self.read = rest.to_owned();
        let field = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        Some(event.lines().map(|line| field(line).unwrap()).collect())
    }

    /// The frame of the next event, whose type is the event's.
    async fn frame(&mut self) -> Value {
        let event = self.event().await.unwrap();
        let frame: Value = serde_json::from_str(of(&event, "data").unwrap()).unwrap();
        assert_eq!(of(&event, "event"), frame["type"].as_str());
        frame
    }
}

fn of<'a>(event: &'a Event, field: &str) -> Option<&'a str> {
    event.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_str())
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
async fn hello_comes_first_then_the_catch_up_then_pushes_byte_for_byte() {
    let world = World::new();
    let ada = world.user();
    *world.catch_up.caught.lock().unwrap() = Caught { cursor: "c1".into(), reset: true, ..Caught::default() };
    let mut listening = Listening::with(&world, &world.token(ada), "/v1/stream", Some("c0")).await;
    let hello = listening.frame().await;
    assert_eq!((&hello["data"]["user"], &hello["data"]["ping_interval_ms"]), (&json!(ada), &json!(30_000)));
    assert!(hello["data"]["session_id"].as_str().unwrap().starts_with("ses_"));
    let caught_up = listening.event().await.unwrap();
    assert_eq!((of(&caught_up, "id"), of(&caught_up, "event")), (Some("c1"), Some("caught_up")));
    assert_eq!(of(&caught_up, "data"), Some(r#"{"type":"caught_up","data":{"cursor":"c1","reset":true}}"#));
    assert_eq!(world.catch_up.cursors.lock().unwrap()[..], [Some("c0".to_owned())]);
    for text in [r#"{"type":"typing","data":{}}"#, r#"{"other":"first"}"#, "two\nlines"] {
        world.edge.hub.push(world.tenant, ada, &text.into(), Worth::Durable, None);
    }
    let typing = listening.event().await.unwrap();
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(typing, [field("event", "typing"), field("data", r#"{"type":"typing","data":{}}"#)]);
    assert_eq!(listening.event().await.unwrap(), [field("data", r#"{"other":"first"}"#)]);
    assert_eq!(listening.event().await.unwrap(), [field("data", "two"), field("data", "lines")]);
    assert_eq!((world.edge.hub.len(), world.sessions.registered.load(Relaxed)), (1, 1));
    drop(listening);
    assert!(world.edge.hub.is_empty() && world.edge.sockets.is_empty());
    assert_eq!(world.sessions.registered.load(Relaxed), 0);
}

#[tokio::test]
async fn what_is_asked_in_the_query_counts_before_the_last_event() {
    let world = World::new();
    let token = world.token(world.user());
    for (path, expected) in [("/v1/stream?cursor=c2", Some("c2")), ("/v1/stream?cursor=", Some("c1"))] {
        let mut listening = Listening::with(&world, &token, path, Some("c1")).await;
        listening.frame().await;
        listening.frame().await;
        assert_eq!(world.catch_up.cursors.lock().unwrap().pop().unwrap().as_deref(), expected);
    }
    for path in ["/v1/stream?status=offline", "/v1/stream?device_id=x"] {
        assert_eq!(ask(&world, &token, path, None).await.status(), 400, "{path}");
    }
    let expired = FakeTokens::token(world.tenant, world.user(), Timestamp(0));
    for token in ["", "guess", &expired] {
        let response = ask(&world, token, "/v1/stream", None).await;
        let kind = response.headers()[header::CONTENT_TYPE].clone();
        assert_eq!((response.status().as_u16(), kind.to_str().unwrap()), (401, "application/problem+json"));
    }
    world.sessions.away.store(true, Relaxed);
    assert_eq!(ask(&world, &token, "/v1/stream", None).await.status(), 503);
    assert!(world.edge.hub.is_empty());
}

#[tokio::test]
async fn the_end_says_whether_to_come_back() {
    let world = World::new();
    let ada = world.user();
    let mut listening = Listening::new(&world, ada).await;
    world.edge.hub.close_user(ada, Closing::Draining);
    let bye = listening.event().await.unwrap();
    assert_eq!(of(&bye, "data"), Goodbye::from(Closing::Draining).bye().as_deref());
    assert!((500..=10_000).contains(&of(&bye, "retry").unwrap().parse::<u64>().unwrap()));
    assert_eq!(listening.event().await, None);
    let mut listening = Listening::new(&world, ada).await;
    world.edge.hub.close_user(ada, Closing::Revoked);
    assert_eq!(listening.frame().await, json!({"type": "close", "data": {"code": 4503, "reason": "revoked"}}));
    assert_eq!(listening.event().await, None);
    assert!(world.edge.hub.is_empty() && world.edge.sockets.is_empty());
}

#[tokio::test]
async fn it_is_pinged_and_ends_with_its_token() {
    let world = World::with(Options { ping_interval: Duration::from_millis(100), ..Options::new(8) });
    let token = FakeTokens::token(world.tenant, world.user(), Timestamp::now().plus(350));
    let mut listening = Listening::with(&world, &token, "/v1/stream", None).await;
    let mut pings = 0;
    let bye = loop {
        let event = listening.event().await.unwrap();
        // A comment has no name.
        pings += usize::from(event == [(String::new(), "ping".to_owned())]);
        if of(&event, "event") == Some("bye") {
            break event;
        }
    };
    assert!(of(&bye, "data").unwrap().contains("token_expired"));
    assert!((2..=3).contains(&pings), "{pings}");
    assert_eq!(listening.event().await, None);
}

#[tokio::test]
async fn draining_says_bye_waits_for_it_and_takes_nobody_new() {
    let world = World::new();
    let mut listening = Listening::new(&world, world.user()).await;
    let heard = async {
        let bye = listening.frame().await;
        assert_eq!((&bye["type"], &bye["data"]["reason"]), (&json!("bye"), &json!("draining")));
        assert_eq!(listening.event().await, None);
        drop(listening);
    };
    let never = CancellationToken::new();
    let drain = world.edge.drain(Duration::ZERO, Duration::from_millis(50), &never);
    tokio::join!(drain, heard);
    assert!(world.edge.sockets.is_empty());
    assert_eq!(ask(&world, &world.token(world.user()), "/v1/stream", None).await.status(), 503);
}

#[tokio::test]
async fn streams_count_as_sockets() {
    let world = World::with(Options { max_sockets: 1, ..Options::new(8) });
    let ada = world.user();
    let listening = Listening::new(&world, ada).await;
    assert_eq!(ask(&world, &world.token(ada), "/v1/stream", None).await.status(), 503);
    drop(listening);
    Listening::new(&world, ada).await;
}

/// A connection by the real listener that has read up to the head of the response.
async fn connect(world: &World, user: UserId) -> TcpStream {
    let listener = listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let long = Duration::from_secs(60);
    let options = listener::Options {
        max_connections: 10,
        header_timeout: long,
        body_timeout: long,
        write_timeout: long,
        drain: long,
    };
    let router = http::router(world.edge.clone(), None);
    tokio::spawn(listener::serve(listener, router, None, options, CancellationToken::new()));
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /v1/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", world.token(user));
    client.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 15];
    client.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    client
}

#[tokio::test]
async fn who_goes_away_is_noticed() {
    let world = World::new();
    let client = connect(&world, world.user()).await;
    until(|| world.edge.hub.len() == 1).await;
    drop(client);
    until(|| world.edge.hub.is_empty() && world.edge.sockets.is_empty()).await;
    assert_eq!(world.sessions.registered.load(Relaxed), 0);
}

#[tokio::test]
async fn who_reads_nothing_is_cut_off() {
    let world = World::with(Options { outbox_bytes: 100_000, ..Options::new(8) });
    let ada = world.user();
    let mut client = connect(&world, ada).await;
    let frame = Utf8Bytes::from(json!("x".repeat(10_000)).to_string());
    let session = world.edge.hub.only(ada);
    // More than the buffers of both kernels hold.
    while session.outbox.closing().is_none() {
        world.edge.hub.push(world.tenant, ada, &frame, Worth::Durable, None);
        tokio::task::yield_now().await;
    }
    assert_eq!(session.outbox.closing(), Some(Closing::SlowConsumer));
    until(|| world.edge.hub.is_empty() && world.edge.sockets.is_empty()).await;
    // What was in the buffers still comes, and then the end.
    let mut rest = Vec::new();
    // A reset is an end, too.
    let _ = client.read_to_end(&mut rest).await;
    assert!(rest.len() > 100_000);
}

#[tokio::test(start_paused = true)]
async fn a_stream_waits_for_its_turn_or_is_told_when_to_come_back() {
    let options = Options { hellos_per_second: 1, hello_timeout: Duration::from_secs(3), ..Options::new(8) };
    let world = Arc::new(World::with(options));
    let ada = world.user();
    let _first = Listening::new(&world, ada).await;
    let knock = || {
        let world = world.clone();
        tokio::spawn(async move { ask(&world, &world.token(ada), "/v1/stream", None).await })
    };
    let second = knock();
    until(|| world.edge.arrivals.waiting() == 1).await;
    let third = knock().await.unwrap();
    assert_eq!(third.status(), 503, "two seconds are more than half of three");
    let wait: u64 = third.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((2..=7).contains(&wait), "{wait}");
    assert_eq!(second.await.unwrap().status(), 200);
    let fourth = knock();
    until(|| world.edge.arrivals.waiting() == 1).await;
    world.edge.draining.cancel();
    assert_eq!(fourth.await.unwrap().status(), 503);
    assert_eq!(world.edge.arrivals.waiting(), 0);
}
