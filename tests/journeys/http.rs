//! The same over HTTP.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Person, Stack, message};

#[tokio::test]
async fn every_command_has_a_twin() {
    let stack = Stack::shared().await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let data = json!({"kind": "direct", "members": [bob.user], "client_id": Uuid::now_v7()});
    let (status, created) = stack.post(&ada, "conversation.create", data).await;
    assert_eq!(status, 200, "{created}");
    let conversation = created["conversation"].as_str().expect("an id").to_owned();
    let (status, sent) = stack.post(&ada, "message.send", message(&conversation, "over HTTP", Uuid::now_v7())).await;
    assert_eq!((status, &sent["seq"]), (200, &json!(1)));
    b.message("over HTTP").await;
    b.say(&conversation, "over the socket").await;
    for kind in ["ping", "typing", "read", "inbox", "history", "events"] {
        let data = json!({"conversation": conversation, "seq": 2, "active": true, "after_position": 0});
        let (status, reply) = stack.post(&ada, kind, data).await;
        assert_eq!(status, 200, "{kind}: {reply}");
    }
    let reads = [
        ("/v1/inbox".to_owned(), "conversations"),
        (format!("/v1/conversations/{conversation}"), "conversation"),
        (format!("/v1/conversations/{conversation}/messages?before_seq=2&limit=10"), "messages"),
        (format!("/v1/conversations/{conversation}/events?after_position=0"), "events"),
        (format!("/v1/conversations/{conversation}/members"), "members"),
        (format!("/v1/users/{}", bob.user), "name"),
    ];
    for (path, field) in reads {
        let (status, body) = stack.get(&path, &ada.token).await;
        assert_eq!(status, 200, "{path}: {body}");
        assert!(body.get(field).is_some(), "{path}: {body}");
    }
}

#[tokio::test]
async fn errors_are_problems() {
    let stack = Stack::shared().await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let eve = stack.other_tenant_account("Eve").await;
    let (_, created) = stack
        .post(
            &ada,
            "conversation.create",
            json!({"kind": "direct", "members": [bob.user], "client_id": Uuid::now_v7()}),
        )
        .await;
    let conversation = created["conversation"].as_str().expect("an id");
    let cases: [(&str, Value, &_, u16, &str); 4] = [
        ("message.send", json!({"conversation": conversation}), &ada, 400, "bad_request"),
        ("nonsense", json!({}), &ada, 400, "bad_request"),
        ("message.send", message(conversation, "hi", Uuid::now_v7()), &eve, 404, "not_found"),
        (
            "conversation.create",
            json!({"kind": "direct", "members": [bob.user], "client_id": Uuid::now_v7()}),
            &eve,
            404,
            "not_found",
        ),
    ];
    for (kind, data, account, status, code) in cases {
        let (got, problem) = stack.post(account, kind, data).await;
        assert_eq!((got, &problem["code"]), (status, &json!(code)), "{kind}: {problem}");
        assert_eq!(problem["status"], status);
    }
    let (status, problem) = stack.get(&format!("/v1/conversations/{conversation}"), &eve.token).await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
    for token in ["", "x.y.z", &format!("{}x", ada.token)] {
        let (status, problem) = stack.get("/v1/inbox", token).await;
        assert_eq!((status, &problem["code"]), (401, &json!("unauthenticated")));
    }
    let (status, _) = stack.get("/v1/nothing", &ada.token).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn operations_are_served() {
    let stack = Stack::shared().await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(stack.get(path, "").await.0, 200, "{path}");
    }
    let metrics = stack.get_text("/metrics").await;
    assert!(metrics.contains("tidings_projection_lag_records"), "{metrics}");
    let (status, jwks) = stack.get("/.well-known/jwks.json", "").await;
    assert_eq!((status, &jwks["keys"][0]["crv"]), (200, &json!("Ed25519")));
    let (status, schema) = stack.get("/subjects/conversation-events-value/versions/latest", "").await;
    assert_eq!(status, 200, "{schema}");
    assert!(schema["schema"].as_str().is_some_and(|schema| schema.contains("ConversationEvent")));
}
