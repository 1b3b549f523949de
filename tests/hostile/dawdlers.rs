//! Clients that take their time, to hold what others need.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::gateway;
use super::raw::{PING, Raw, TEXT, frame};
use crate::support::person::PATIENCE;
use crate::support::{Account, Person, Stack};

/// What each may take, and how much longer it may last on a slow machine.
const LIMIT_MS: &str = "1500";
const SLACK: Duration = Duration::from_secs(8);
const TRICKLE: Duration = Duration::from_millis(150);

/// Sends `bytes` one by one, for ever if they are enough; how long the server took it.
async fn trickle(mut raw: Raw, bytes: &[u8]) -> Duration {
    let began = Instant::now();
    for byte in bytes.iter().cycle().take(1_000) {
        // A closed connection takes a byte or two more before it says so.
        if !raw.try_send(&[*byte]).await || raw.ends_within(TRICKLE).await {
            break;
        }
    }
    began.elapsed()
}

#[tokio::test]
async fn who_dawdles_is_let_go() {
    let stack = Stack::shared().await;
    let settings = [
        ("GATEWAY__HEADER_TIMEOUT_MS", LIMIT_MS),
        ("GATEWAY__BODY_TIMEOUT_MS", LIMIT_MS),
        ("GATEWAY__HELLO_TIMEOUT_MS", LIMIT_MS),
        ("GATEWAY__PING_INTERVAL_MS", "1000"),
    ];
    let role = gateway(stack, &settings).await;
    let (address, ada) = (role.address.as_str(), stack.account("Ada").await);
    let limit = Duration::from_millis(1_500);
    let bearer = format!("authorization: Bearer {}\r\n", ada.token);

    let head = async { trickle(Raw::connect(address).await, b"GET /livez HTTP/1.1\r\nx: ").await };
    let nothing = async {
        let mut raw = Raw::connect(address).await;
        let began = Instant::now();
        assert!(raw.ends_within(PATIENCE).await);
        began.elapsed()
    };
    let body = async {
        let mut raw = Raw::connect(address).await;
        let request = format!("POST /v1/commands/ping HTTP/1.1\r\nhost: x\r\n{bearer}content-length: 900\r\n\r\n");
        raw.send(request.as_bytes()).await;
        trickle(raw, b" ").await
    };
    let kept_alive = async {
        let mut raw = Raw::connect(address).await;
        raw.send(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(raw.head().await.expect("an answer").starts_with("HTTP/1.1 200"));
        let began = Instant::now();
        assert!(raw.ends_within(PATIENCE).await);
        began.elapsed()
    };
    let no_hello = async {
        let (mut raw, _) = Raw::upgraded(address, "").await;
        let began = Instant::now();
        // Pings are no hello, and buy no time.
        let pinging = async {
            for _ in 0..6 {
                sleep(TRICKLE).await;
            }
        };
        raw.send(&frame(PING, true, b"")).await;
        pinging.await;
        raw.send(&frame(PING, true, b"")).await;
        assert_eq!(raw.close_code().await, Some(4501));
        began.elapsed()
    };
    let endless_frame = async {
        let raw = Raw::greeted(address, &ada).await;
        // Half of two ping intervals is longer than the limit of the others.
        let mut bytes = frame(TEXT, true, &[b' '; 60_000]);
        bytes.truncate(1_000);
        trickle(raw, &bytes).await
    };
    let byte_by_byte = async {
        let mut raw = Raw::greeted(address, &ada).await;
        for byte in frame(TEXT, true, json!({ "id": 7, "type": "ping" }).to_string().as_bytes()) {
            raw.send(&[byte]).await;
            sleep(Duration::from_millis(5)).await;
        }
        let reply = raw.reply().await;
        assert_eq!((&reply["id"], &reply["type"]), (&json!(7), &json!("ok")));
    };
    let (head, nothing, body, kept_alive, no_hello, endless_frame, ()) =
        tokio::join!(head, nothing, body, kept_alive, no_hello, endless_frame, byte_by_byte);
    for (what, took) in [
        ("head", head),
        ("nothing", nothing),
        ("body", body),
        ("kept alive", kept_alive),
        ("hello", no_hello),
        ("frame", endless_frame),
    ] {
        assert!(took + Duration::from_millis(700) > limit, "{what}: let go after {took:?} already");
        assert!(took < limit + SLACK, "{what}: held on for {took:?}");
    }
}

/// Takes what it is sent by the kernel, and reads nothing of it.
async fn deaf(address: &str, account: &Account, conversation: &str) -> Raw {
    let mut raw = Raw::greeted(address, account).await;
    // Pages of history too, which are large and asked for.
    for _ in 0..20 {
        raw.command("history", json!({ "conversation": conversation, "limit": 200 })).await;
    }
    raw
}

#[tokio::test]
async fn who_never_reads_is_closed_and_keeps_no_memory() {
    const DEAF: usize = 10;
    let stack = Stack::shared().await;
    let outbox = ("GATEWAY__OUTBOX_BYTES", "131072");
    let role =
        gateway(stack, &[outbox, ("LIMITS__COMMANDS_PER_SECOND", "1000"), ("LIMITS__COMMANDS_BURST", "2000")]).await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut a, _) = Person::online(&role.address, &ada, None).await;
    let conversation = a.direct(&bob).await;
    a.say(&conversation, &"x".repeat(20_000)).await;
    let before = role.resident_kb();
    let mut deaf_ones = Vec::new();
    for _ in 0..DEAF {
        deaf_ones.push(deaf(&role.address, &bob, &conversation).await);
    }
    // 8 MB for each of them: more than the kernel keeps for a connection.
    let text = "y".repeat(20_000);
    for _ in 0..400 {
        a.say(&conversation, &text).await;
    }
    let grown = role.resident_kb() - before;
    println!("{DEAF} sockets that never read 8 MB each: {grown} kB more in memory");
    assert!(grown < 60_000, "{grown} kB for {DEAF} sockets that never read");
    for mut raw in deaf_ones {
        // The goodbye may be lost behind what nobody reads.
        let code = raw.close_code().await;
        assert!(matches!(code, Some(4008) | None), "{code:?}");
    }
    a.say(&conversation, "nobody else noticed").await;
}
