//! Whatever is sent again is there once.

use serde_json::json;
use uuid::Uuid;

use crate::support::{Person, Stack, message};

#[tokio::test]
async fn the_same_client_id_is_sent_once() {
    let stack = Stack::shared().await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let conversation = a.direct(&bob).await;
    let data = message(&conversation, "once", Uuid::now_v7());
    // Three at once, on one socket, and later on another.
    let ids = [
        a.start("message.send", data.clone()).await,
        a.start("message.send", data.clone()).await,
        a.start("message.send", data.clone()).await,
    ];
    let mut replies = Vec::new();
    for id in ids {
        replies.push(a.reply(id).await.expect("ok"));
    }
    a.leave().await;
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    replies.push(a.ok("message.send", data).await);
    for reply in &replies[1..] {
        assert_eq!(
            (&reply["seq"], &reply["position"], &reply["at"]),
            (&replies[0]["seq"], &replies[0]["position"], &replies[0]["at"])
        );
        assert_eq!(reply["duplicate"], true);
    }
    assert_eq!(replies[0]["duplicate"], false);
    a.say(&conversation, "twice").await;
    b.message("once").await;
    let next = b.event("message.sent").await;
    assert_eq!((&next["data"]["text"], &next["position"]), (&json!("twice"), &json!(3)));
}

#[tokio::test]
async fn creating_again_gives_the_same() {
    let stack = Stack::shared().await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    assert_eq!(a.direct(&bob).await, b.direct(&ada).await);
    let data = json!({"kind": "group", "name": "again", "members": [bob.user], "client_id": Uuid::now_v7()});
    let (first, second) = (a.ok("conversation.create", data.clone()).await, a.ok("conversation.create", data).await);
    assert_eq!((&first["conversation"], &second["duplicate"]), (&second["conversation"], &json!(true)));
}

#[tokio::test]
async fn a_client_id_out_of_its_window_is_refused() {
    let stack = Stack::shared().await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let conversation = a.direct(&bob).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    for seconds in [now - 25 * 3600, now + 600] {
        let client_id = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0));
        assert_eq!(a.code("message.send", message(&conversation, "late", client_id)).await, "stale_client_id");
    }
    assert_eq!(a.code("message.send", message(&conversation, "v4", Uuid::nil())).await, "bad_request");
    // Twenty minutes old, sent twice: the second is found in the view, not in memory.
    let client_id = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, now - 1200, 0));
    let first = a.ok("message.send", message(&conversation, "offline for a while", client_id)).await;
    let again = a.ok("message.send", message(&conversation, "offline for a while", client_id)).await;
    assert_eq!((&again["seq"], &again["duplicate"]), (&first["seq"], &json!(true)));
}
