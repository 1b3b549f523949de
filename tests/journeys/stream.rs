//! The same without a WebSocket: heard as server-sent events, said over HTTP.

use serde_json::json;
use uuid::Uuid;

use crate::support::{Account, Listener, Person, Stack, message};

#[tokio::test]
async fn a_stream_hears_what_a_socket_hears() {
    let stack = Stack::shared().await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let (mut listener, first) = Listener::online(&stack.address, &bob, None).await;
    assert_eq!(first["reset"], true, "without a cursor");
    let hello = listener.wait("hello", |frame| frame["type"] == "hello").await;
    assert_eq!(hello["data"]["user"], bob.user);
    let conversation = a.direct(&bob).await;
    for n in 0..20 {
        a.say(&conversation, &format!("{n}")).await;
    }
    let data = message(&conversation, "over HTTP", Uuid::now_v7());
    let (status, sent) = stack.post(&bob, "message.send", data).await;
    assert_eq!((status, &sent["position"]), (200, &json!(22)));
    b.wait_until_position(&conversation, 22).await;
    // The same frames in the same order.
    for frame in b.pushed.iter().filter(|frame| frame["conversation"] == conversation && frame["position"].is_i64()) {
        let position = &frame["position"];
        let heard = listener.wait("the push", |heard| heard["position"] == *position).await;
        assert_eq!(heard, *frame);
    }
}

#[tokio::test]
async fn who_comes_back_with_the_last_event_is_told_what_changed() {
    let stack = Stack::shared().await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let (quiet, loud) = (a.group(&[&bob], "quiet").await, a.direct(&bob).await);
    let (listener, caught_up) = Listener::online(&stack.address, &bob, None).await;
    let changed = listener.heard.iter().filter(|frame| frame["type"] == "inbox.changed").count();
    assert_eq!(changed, 2);
    let id = listener.last_event_id.clone().expect("an id");
    assert_eq!(caught_up["cursor"], id);
    drop(listener);
    a.say(&loud, "while you were away").await;
    let (listener, caught_up) = Listener::online(&stack.address, &bob, Some(&id)).await;
    assert!(caught_up.get("reset").is_none_or(|reset| reset == false), "{caught_up}");
    let changed: Vec<_> = listener.heard.iter().filter(|frame| frame["type"] == "inbox.changed").collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0]["data"]["conversation"], loud, "and not {quiet}");
    assert_eq!(changed[0]["data"]["last_message"]["text"], "while you were away");
}

#[tokio::test]
async fn a_stream_makes_one_present_until_it_goes_away() {
    let stack = Stack::shared().await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    a.direct(&bob).await;
    a.ok("presence.watch", json!({ "users": [bob.user] })).await;
    let (listener, _) = Listener::online(&stack.address, &bob, None).await;
    a.wait_kept_presence(&bob.user, "online").await;
    drop(listener);
    a.wait_kept_presence(&bob.user, "offline").await;
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_without_one_there_is_none() {
    let stack = Stack::shared().await;
    let ada = stack.account("Ada").await;
    let path = format!("/v1/users/{}/tokens", ada.user);
    let (_, minted) = stack.post_as_backend(&path, json!({ "ttl_ms": 2_000 })).await;
    let token = minted["access_token"].as_str().expect("a token").to_owned();
    let short = Account { token, ..ada.clone() };
    let (mut listener, _) = Listener::online(&stack.address, &short, None).await;
    let last = listener.rest().await.pop().expect("a bye");
    assert_eq!((&last["type"], &last["data"]["reason"]), (&json!("bye"), &json!("token_expired")));
    for token in ["", "guess", &short.token] {
        let account = Account { token: token.to_owned(), ..ada.clone() };
        let refused = Listener::open(&stack.address, &account, None).await.err().expect("is refused");
        assert_eq!((refused.0, &refused.1["code"]), (401, &json!("unauthenticated")));
    }
}
