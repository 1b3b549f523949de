//! Two people chat.

use serde_json::json;

use crate::support::{Person, Stack};

#[tokio::test]
async fn two_users_chat() {
    let stack = Stack::shared().await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;

    let created = a
        .ok("conversation.create", json!({"kind": "direct", "members": [bob.user], "client_id": uuid::Uuid::now_v7()}))
        .await;
    assert_eq!(created["position"], 1);
    let conversation = created["conversation"].as_str().expect("an id").to_owned();
    let event = b.event("conversation.created").await;
    assert_eq!(event["conversation"], conversation);
    assert_eq!(event["data"]["kind"], "direct");
    assert_eq!(event["data"]["members_count"], 2);

    let sent = a.say(&conversation, "hello Bob 👋").await;
    assert_eq!((&sent["seq"], &sent["position"], &sent["duplicate"]), (&json!(1), &json!(2), &json!(false)));
    let got = b.message("hello Bob 👋").await;
    assert_eq!((&got["position"], &got["actor"], &got["at"]), (&json!(2), &json!(ada.user), &sent["at"]));
    assert_eq!(got["data"]["sender"], ada.user);
    assert_eq!(got["data"]["reactions"], json!({}));
    let echo = a.message("hello Bob 👋").await;
    assert_eq!(echo["data"], got["data"], "the sender's socket gets the push too");

    b.ok("typing", json!({"conversation": conversation, "active": true})).await;
    let typing = a.event("typing").await;
    assert_eq!((&typing["data"]["user"], &typing["data"]["active"]), (&json!(bob.user), &json!(true)));

    b.ok("read", json!({"conversation": conversation, "seq": 1})).await;
    let receipt = a.event("receipt.read").await;
    assert_eq!((&receipt["data"]["user"], &receipt["data"]["seq"]), (&json!(bob.user), &json!(1)));
    assert!(receipt.get("position").is_none(), "receipts are not of the timeline");

    b.say(&conversation, "hello Ada").await;
    a.message("hello Ada").await;
    let inbox = a.ok("inbox", json!({})).await;
    let entry = &inbox["conversations"][0];
    assert_eq!(entry["conversation"], conversation);
    assert_eq!((&entry["last_seq"], &entry["read_seq"], &entry["unread"]), (&json!(2), &json!(1), &json!(1)));
    assert_eq!(entry["last_message"]["text"], "hello Ada");

    let history = a.ok("history", json!({"conversation": conversation})).await;
    let texts: Vec<_> = history["messages"].as_array().expect("messages").iter().map(|m| m["text"].clone()).collect();
    assert_eq!(texts, ["hello Ada", "hello Bob 👋"], "newest first");
    assert_eq!(history["has_more"], false);
    let events = a.ok("events", json!({"conversation": conversation, "after_position": 0})).await;
    let positions: Vec<_> =
        events["events"].as_array().expect("events").iter().map(|e| e["position"].clone()).collect();
    assert_eq!(positions, [1, 2, 3]);
    assert_eq!(events["last_position"], 3);
    assert_eq!(events["events"][1]["data"], got["data"], "what was pushed is what is served");
}

#[tokio::test]
async fn presence_is_seen_by_those_who_watch() {
    let stack = Stack::shared().await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let watched = a.ok("presence.watch", json!({"users": [bob.user]})).await;
    assert!(watched.to_string().contains("offline"), "{watched}");
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let status = |status: &'static str| {
        move |frame: &serde_json::Value| frame["type"] == "presence" && frame["data"]["status"] == status
    };
    a.wait("online", status("online")).await;
    b.ok("presence.set", json!({"status": "away"})).await;
    a.wait("away", status("away")).await;
    b.ok("presence.set", json!({"status": "invisible"})).await;
    a.wait("offline", status("offline")).await;
    b.ok("presence.set", json!({"status": "online"})).await;
    a.wait("online", status("online")).await;
    b.leave().await;
    let offline = a.wait("offline", status("offline")).await;
    assert_eq!(offline["data"]["user"], bob.user);
    assert!(offline["data"]["last_seen"].is_string(), "{offline}");
}

#[tokio::test]
async fn a_second_device_sees_the_same_and_moves_with_the_first() {
    let stack = Stack::shared().await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut phone, _) = Person::online(&stack.address, &ada, None).await;
    let (mut laptop, _) = Person::online(&stack.address, &ada, None).await;
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let conversation = b.direct(&ada).await;
    b.say(&conversation, "on both").await;
    let (one, two) = (phone.message("on both").await, laptop.message("on both").await);
    assert_eq!(one, two);
    phone.say(&conversation, "from the phone").await;
    laptop.message("from the phone").await;
    b.say(&conversation, "and again").await;
    phone.ok("read", json!({"conversation": conversation, "seq": 3})).await;
    let read = laptop.wait("own read", |f| f["type"] == "receipt.read" && f["data"]["seq"] == 3).await;
    assert_eq!(read["data"]["user"], ada.user);
    phone.leave().await;
    b.say(&conversation, "laptop only").await;
    laptop.message("laptop only").await;
}
