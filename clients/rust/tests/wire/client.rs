//! The client that stays: what it does when connections break, frames are lost and commands are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::support::{SOON, Server, message, soon};
use serde_json::json;
use tidings_client::{Client, Commands, Error, Status, Token, Update, Updates};

/// The positions of the next `count` durable events.
async fn positions(updates: &mut Updates, count: usize) -> Vec<u64> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let update = soon("update", updates.next()).await.expect("the client runs");
        if let Update::Event(event) = update {
            seen.extend(event.position);
        }
    }
    seen
}

async fn ended(updates: &mut Updates) -> Error {
    let end = updates.wait_for(SOON, |update| matches!(update, Update::Status(Status::Ended(_)))).await;
    let Ok(Update::Status(Status::Ended(error))) = end else { panic!("the client goes on: {end:?}") };
    error
}

#[tokio::test]
async fn comes_back_with_its_cursor() {
    let server = Server::start().await;
    let (_client, mut updates) = Client::start(server.config());
    let (peer, hello) = server.accept_caught_up("c1").await;
    assert_eq!((hello["token"].as_str(), hello.get("cursor")), (Some("secret"), None));
    peer.close(4001, "draining").await;
    let (peer, hello) = server.accept_caught_up("c2").await;
    assert_eq!(hello["cursor"], "c1");
    drop(peer);
    let (_peer, hello) = server.accept_hello().await;
    assert_eq!(hello["cursor"], "c2");
    let caught_up = updates.wait_for(SOON, |update| matches!(update, Update::CaughtUp { reset: false })).await;
    assert!(caught_up.is_ok());
}

#[tokio::test]
async fn waits_as_long_as_bye_says() {
    let server = Server::start().await;
    let (_client, _updates) = Client::start(server.config());
    let (mut peer, _) = server.accept_caught_up("c1").await;
    peer.event("bye", json!({"reason": "draining", "reconnect_after_ms": [300, 400]})).await;
    peer.close(4001, "draining").await;
    let closed = Instant::now();
    server.accept_hello().await;
    assert!(closed.elapsed() >= Duration::from_millis(290), "came back after {:?}", closed.elapsed());
}

#[tokio::test]
async fn a_final_close_code_ends_it() {
    let server = Server::start().await;
    let (client, mut updates) = Client::start(server.config());
    let (peer, _) = server.accept_caught_up("c1").await;
    let waiting = tokio::spawn(async move { client.inbox(None, 10).await });
    peer.close(4503, "revoked").await;
    assert_eq!(ended(&mut updates).await.close_code(), Some(4503));
    assert!(matches!(soon("answer", waiting).await.expect("no panic"), Err(Error::Stopped)));
}

#[tokio::test]
async fn an_expired_token_is_replaced() {
    let server = Server::start().await;
    let asked = Arc::new(AtomicU32::new(0));
    let mut config = server.config();
    config.token = Token::fresh(move || {
        let number = asked.fetch_add(1, Ordering::Relaxed) + 1;
        async move { Ok(format!("token-{number}")) }
    });
    let (_client, _updates) = Client::start(config);
    let (peer, hello) = server.accept_caught_up("c1").await;
    assert_eq!(hello["token"], "token-1");
    peer.close(4001, "draining").await;
    let (peer, hello) = server.accept_caught_up("c1").await;
    assert_eq!(hello["token"], "token-1", "a token that is good is kept");
    peer.close(4040, "token_expired").await;
    let mut peer = server.accept().await;
    let hello = peer.expect("hello").await;
    assert_eq!(hello["data"]["token"], "token-2");
    peer.refuse(&hello, json!({"code": "unauthenticated", "retryable": false})).await;
    peer.close(4040, "token_expired").await;
    assert_eq!(server.accept_hello().await.1["token"], "token-3");
}

#[tokio::test]
async fn a_fixed_token_that_expires_ends_it() {
    let server = Server::start().await;
    let (_client, mut updates) = Client::start(server.config());
    server.accept_caught_up("c1").await.0.close(4040, "token_expired").await;
    assert!(ended(&mut updates).await.wants_token());
}

#[tokio::test]
async fn a_gap_is_closed_before_what_follows_it() {
    let server = Server::start().await;
    let (client, mut updates) = Client::start(server.config());
    let (mut peer, _) = server.accept_caught_up("c1").await;
    client.follow("cnv_1", 3).await;
    // Answered calls show that the order to follow has arrived.
    let (_, ()) = tokio::join!(client.ping(), async {
        let ping = peer.expect("ping").await;
        peer.ok(&ping, json!({})).await;
    });
    for position in [4, 7, 4, 8] {
        peer.message(position).await;
    }
    let ask = peer.expect("events").await;
    assert_eq!((&ask["data"]["conversation"], &ask["data"]["after_position"]), (&json!("cnv_1"), &json!(4)));
    // The first page stops short, 6 was removed, and 7 comes a second time.
    peer.ok(&ask, json!({"events": [message(5)], "last_position": 8})).await;
    let ask = peer.expect("events").await;
    assert_eq!(ask["data"]["after_position"], 5);
    peer.ok(&ask, json!({"events": [message(7), message(8)], "last_position": 8})).await;
    peer.message(8).await;
    peer.message(9).await;
    assert_eq!(positions(&mut updates, 5).await, [4, 5, 7, 8, 9]);
}

#[tokio::test]
async fn a_view_that_lags_is_asked_again() {
    let server = Server::start().await;
    let (client, mut updates) = Client::start(server.config());
    let (mut peer, _) = server.accept_hello().await;
    client.follow("cnv_1", 1).await;
    peer.event("inbox.changed", json!({"conversation": "cnv_1", "last_position": 2})).await;
    let ask = peer.expect("events").await;
    peer.ok(&ask, json!({"events": [], "last_position": 1})).await;
    let ask = peer.expect("events").await;
    peer.ok(&ask, json!({"events": [message(2)], "last_position": 2})).await;
    assert_eq!(positions(&mut updates, 1).await, [2]);
}

#[tokio::test]
async fn what_was_missed_while_away_is_fetched_only_if_followed() {
    let server = Server::start().await;
    let (client, mut updates) = Client::start(server.config());
    let (mut peer, _) = server.accept_caught_up("c1").await;
    client.follow("cnv_1", 3).await;
    peer.message(4).await;
    assert_eq!(positions(&mut updates, 1).await, [4]);
    peer.close(4008, "slow_consumer").await;
    let (mut peer, _) = server.accept_hello().await;
    peer.event("inbox.changed", json!({"conversation": "cnv_2", "last_position": 60, "unread": 2})).await;
    peer.event("inbox.changed", json!({"conversation": "cnv_1", "last_position": 6})).await;
    peer.event("caught_up", json!({"cursor": "c2"})).await;
    let ask = peer.expect("events").await;
    assert_eq!(ask["data"]["conversation"], "cnv_1");
    peer.ok(&ask, json!({"events": [message(5), message(6)], "last_position": 6})).await;
    let entry = updates.wait_for(SOON, |update| matches!(update, Update::Inbox(_))).await;
    assert!(matches!(entry, Ok(Update::Inbox(entry)) if entry.unread == 2));
    assert_eq!(positions(&mut updates, 2).await, [5, 6]);
}

#[tokio::test]
async fn a_gap_that_may_not_be_read_is_told() {
    let server = Server::start().await;
    let (client, mut updates) = Client::start(server.config());
    let (mut peer, _) = server.accept_caught_up("c1").await;
    client.follow("cnv_1", 1).await;
    peer.message(2).await;
    positions(&mut updates, 1).await;
    peer.message(5).await;
    let ask = peer.expect("events").await;
    peer.refuse(&ask, json!({"code": "not_a_member", "message": "no", "retryable": false})).await;
    let skipped = updates.wait_for(SOON, |update| matches!(update, Update::Skipped { .. })).await;
    assert!(matches!(skipped, Ok(Update::Skipped { after: 2, to: 4, .. })), "{skipped:?}");
    assert_eq!(positions(&mut updates, 1).await, [5]);
}

#[tokio::test]
async fn an_unanswered_send_goes_again_with_its_id_and_before_the_next() {
    let server = Server::start().await;
    let (client, _updates) = Client::start(server.config());
    let (mut peer, _) = server.accept_caught_up("c1").await;
    let (first, second) = (client.clone(), client.clone());
    let first = tokio::spawn(async move { first.send_text("cnv_1", "one").await });
    let before = peer.expect("message.send").await;
    let second = tokio::spawn(async move { second.send_text("cnv_1", "two").await });
    peer.close(4001, "draining").await;
    let (mut peer, _) = server.accept_caught_up("c1").await;
    let again = peer.expect("message.send").await;
    assert_eq!(again["data"], before["data"]);
    peer.refuse(&again, json!({"code": "unavailable", "retryable": true, "retry_after_ms": 10})).await;
    let again = peer.expect("message.send").await;
    assert_eq!(again["data"], before["data"], "a retry keeps its place");
    peer.ok(&again, json!({"seq": 1, "position": 1, "at": "2026-01-01T10:00:00.000Z", "duplicate": true})).await;
    assert!(soon("answer", first).await.expect("no panic").expect("sent").duplicate);
    let last = peer.expect("message.send").await;
    assert_eq!(last["data"]["text"], "two");
    peer.refuse(&last, json!({"code": "forbidden", "message": "no", "retryable": false})).await;
    let refused = soon("answer", second).await.expect("no panic");
    assert_eq!(refused.expect_err("refused").code(), Some("forbidden"));
}

#[tokio::test]
async fn a_reply_that_never_comes_is_asked_for_again() {
    let server = Server::start().await;
    let mut config = server.config();
    config.reply_timeout = Duration::from_millis(50);
    let (client, _updates) = Client::start(config);
    let (mut peer, _) = server.accept_caught_up("c1").await;
    let sending = tokio::spawn(async move { client.send_text("cnv_1", "one").await });
    let first = peer.expect("message.send").await;
    let again = peer.expect("message.send").await;
    assert_eq!(again["data"], first["data"]);
    peer.ok(&again, json!({"seq": 1, "position": 1, "at": "", "duplicate": true})).await;
    assert!(soon("answer", sending).await.expect("no panic").is_ok());
}

#[tokio::test]
async fn watches_again_after_a_reconnection() {
    let server = Server::start().await;
    let (client, mut updates) = Client::start(server.config());
    let (mut peer, _) = server.accept_caught_up("c1").await;
    let watching = tokio::spawn({
        let client = client.clone();
        async move { client.watch(&["usr_you"]).await }
    });
    let watch = peer.expect("presence.watch").await;
    peer.ok(&watch, json!({"presence": [{"user": "usr_you", "status": "offline"}]})).await;
    assert_eq!(soon("answer", watching).await.expect("no panic").expect("watched")[0].status, "offline");
    peer.close(4001, "draining").await;
    let (mut peer, _) = server.accept_caught_up("c1").await;
    let watch = peer.expect("presence.watch").await;
    assert_eq!(watch["data"]["users"], json!(["usr_you"]));
    peer.ok(&watch, json!({"presence": [{"user": "usr_you", "status": "online"}]})).await;
    let seen =
        updates.wait_for(SOON, |update| matches!(update, Update::Event(event) if event.kind == "presence")).await;
    assert!(matches!(seen, Ok(Update::Event(event)) if event.data["status"] == "online"));
}

#[tokio::test]
async fn what_it_does_not_know_does_not_disturb_it() {
    let server = Server::start().await;
    let (client, mut updates) = Client::start(server.config());
    let (mut peer, _) = server.accept_caught_up("c1").await;
    peer.event("weather.changed", json!(["rain"])).await;
    peer.send(json!("not an object")).await;
    peer.send(json!({"id": 999, "type": "ok"})).await;
    let mut odd = message(1);
    odd["type"] = json!("poll.closed");
    peer.send(odd).await;
    peer.message(2).await;
    assert_eq!(positions(&mut updates, 2).await, [1, 2]);
    client.stop().await;
    assert!(matches!(client.ping().await, Err(Error::Stopped)));
}
