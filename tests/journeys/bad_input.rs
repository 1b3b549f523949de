//! Every input is hostile: each gets its code, the socket lives where it can, nothing else is disturbed.

use serde_json::json;
use uuid::Uuid;

use crate::support::{Account, Person, Stack, message};

#[tokio::test]
async fn bad_frames_get_their_codes_and_the_socket_lives() {
    let stack = Stack::shared().await;
    let (ada, bob, eve) = (stack.account("Ada").await, stack.account("Bob").await, stack.account("Eve").await);
    let mallory = stack.other_tenant_account("Mallory").await;
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let conversation = a.direct(&bob).await;
    for text in ["", "{", "[1]", "null", "\"x\"", "{\"id\":1}", "{\"id\":1,\"type\":7}"] {
        a.send_text(text).await;
        let error = a.wait(text, |f| f["type"] == "error").await;
        assert_eq!(error["data"]["code"], "bad_frame", "{text}: {error}");
        assert_eq!(error["data"]["retryable"], false);
    }
    for (kind, data) in [
        ("no.such.command", json!({})),
        ("message.send", json!({})),
        ("message.send", json!({"conversation": "cnv_1", "client_id": Uuid::now_v7(), "text": "x"})),
        ("message.send", json!({"conversation": conversation, "client_id": 7, "text": "x"})),
        ("message.send", json!({"conversation": conversation, "client_id": Uuid::now_v7(), "text": ["x"]})),
        ("message.send", json!({"conversation": conversation, "client_id": Uuid::now_v7()})),
        (
            "message.send",
            json!({"conversation": conversation, "client_id": Uuid::now_v7(), "text": "x", "reply_to": 99}),
        ),
        ("conversation.create", json!({"kind": "cabal", "members": [], "client_id": Uuid::now_v7()})),
        ("conversation.create", json!({"kind": "direct", "members": [], "client_id": Uuid::now_v7()})),
        ("history", json!({"conversation": conversation, "limit": 0})),
        ("read", json!({"conversation": conversation, "seq": 1_000_000})),
        ("read", json!({"conversation": conversation, "seq": -1})),
    ] {
        assert_eq!(a.code(kind, data.clone()).await, "bad_request", "{kind} {data}");
    }
    let long = "x".repeat(20_001);
    assert_eq!(a.code("message.send", message(&conversation, &long, Uuid::now_v7())).await, "too_large");
    let crowd: Vec<_> = (0..1001).map(|_| bob.user.clone()).collect();
    assert_eq!(
        a.code("conversation.create", json!({"kind": "group", "members": crowd, "client_id": Uuid::now_v7()})).await,
        "too_large"
    );
    let nobody = "cnv_00000000000000000000000000";
    assert_eq!(a.code("message.send", message(nobody, "x", Uuid::now_v7())).await, "not_found");
    assert_eq!(a.code("history", json!({"conversation": nobody})).await, "not_found");
    assert_eq!(
        a.code(
            "conversation.create",
            json!({"kind": "direct", "members": [mallory.user], "client_id": Uuid::now_v7()})
        )
        .await,
        "not_found"
    );
    let (mut e, _) = Person::online(&stack.address, &eve, None).await;
    assert_eq!(e.code("message.send", message(&conversation, "x", Uuid::now_v7())).await, "not_a_member");
    assert_eq!(e.code("history", json!({"conversation": conversation})).await, "not_a_member");
    let (mut m, _) = Person::online(&stack.address, &mallory, None).await;
    assert_eq!(m.code("message.send", message(&conversation, "x", Uuid::now_v7())).await, "not_found");
    assert_eq!(m.code("history", json!({"conversation": conversation})).await, "not_found");
    // After all that the socket still works.
    a.say(&conversation, "still here").await;
}

#[tokio::test]
async fn who_does_not_say_hello_says_nothing() {
    let stack = Stack::shared().await;
    let ada = stack.account("Ada").await;
    let mut person = Person::connect(&stack.address, &ada).await;
    assert_eq!(person.code("inbox", json!({})).await, "unauthenticated");
    let forged = Account { token: format!("{}AA", ada.token), ..ada.clone() };
    let expired = stack.expired_account("late").await;
    for (account, closed) in [(forged, 4501), (expired, 4040)] {
        let mut person = Person::connect(&stack.address, &account).await;
        let error = person.hello(None).await.expect_err("refused");
        assert_eq!(error["code"], "unauthenticated");
        assert_eq!(person.close_code().await, closed);
    }
}

#[tokio::test]
async fn binary_and_huge_frames_close_only_their_own_socket() {
    let stack = Stack::shared().await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut bystander, _) = Person::online(&stack.address, &bob, None).await;
    let (mut binary, _) = Person::online(&stack.address, &ada, None).await;
    binary.send_binary(&[0, 1, 2, 255]).await;
    assert_eq!(binary.close_code().await, 4500);
    let (mut huge, _) = Person::online(&stack.address, &ada, None).await;
    huge.send_text(&format!("{{\"id\":1,\"type\":\"ping\",\"data\":\"{}\"}}", "x".repeat(200_000))).await;
    assert_eq!(huge.close_code().await, 4009);
    bystander.ok("ping", json!({})).await;
}

#[tokio::test]
async fn a_flood_is_refused_and_others_do_not_notice() {
    let stack = Stack::shared().await;
    let (ada, bob, eve) = (stack.account("Ada").await, stack.account("Bob").await, stack.account("Eve").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let conversation = a.direct(&bob).await;
    let (mut flood, _) = Person::online(&stack.address, &eve, None).await;
    let flooding = tokio::spawn(async move {
        // The server may close in the middle of it.
        for _ in 0..10_000 {
            if !flood.try_send_text(r#"{"id":0,"type":"ping","data":{}}"#).await {
                break;
            }
        }
        let code = flood.close_code().await;
        (flood, code)
    });
    for n in 0..20 {
        let text = format!("undisturbed {n}");
        a.say(&conversation, &text).await;
        b.message(&text).await;
    }
    let (flood, code) = flooding.await.expect("floods");
    let refused =
        flood.pushed.iter().find(|f| f["data"]["code"] == "rate_limited").expect("refused before it was closed");
    assert!(refused["data"]["retry_after_ms"].as_i64().is_some_and(|ms| ms > 0), "{refused}");
    assert!([4029, 1006].contains(&code), "{code}");
}
