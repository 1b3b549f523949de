//! More connections than there is room for.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::gateway;
use super::raw::Raw;
use crate::support::{Person, Stack};

#[tokio::test]
async fn half_open_connections_hold_up_newcomers_for_a_while_and_nobody_else() {
    const ROOM: usize = 30;
    let stack = Stack::shared().await;
    let room = ROOM.to_string();
    let settings = [("GATEWAY__MAX_CONNECTIONS", room.as_str()), ("GATEWAY__HEADER_TIMEOUT_MS", "2000")];
    let role = gateway(stack, &settings).await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut a, _) = Person::online(&role.address, &ada, None).await;
    let conversation = a.direct(&bob).await;
    let before = role.resident_kb();
    // Three times as many as there is room for, each with a part of a head.
    let mut half_open = Vec::new();
    for _ in 0..ROOM * 3 {
        let mut raw = Raw::connect(&role.address).await;
        raw.send(b"GET /livez HTTP/1.1\r\nhost:").await;
        half_open.push(raw);
    }
    let began = Instant::now();
    let newcomer = async {
        let (mut b, _) = Person::online(&role.address, &bob, None).await;
        b.ok("ping", json!({})).await;
        began.elapsed()
    };
    let insider = async {
        let mut slowest = Duration::ZERO;
        for n in 0..20 {
            let asked = Instant::now();
            a.say(&conversation, &format!("message {n}")).await;
            slowest = slowest.max(asked.elapsed());
        }
        slowest
    };
    let (waited, slowest) = tokio::join!(newcomer, insider);
    println!("a newcomer waited {waited:?}; the slowest message of who is in took {slowest:?}");
    assert!(waited > Duration::from_secs(1), "there was room for all: {waited:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let grown = role.resident_kb() - before;
    assert!(grown < 20_000, "{grown} kB for {} connections", ROOM * 3);
    for mut raw in half_open {
        assert!(raw.ends_within(Duration::from_secs(15)).await, "a half-open connection stays");
    }
}
