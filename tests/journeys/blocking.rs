//! Who is blocked does not write to who blocks, at once and exactly.

use serde_json::json;
use uuid::Uuid;

use crate::support::{Person, Stack, message};

#[tokio::test]
async fn a_block_works_at_once_in_what_is_there_and_in_what_is_not() {
    let stack = Stack::shared().await;
    let (ada, bob, eve) = (stack.account("Ada").await, stack.account("Bob").await, stack.account("Eve").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let direct = a.direct(&bob).await;
    b.say(&direct, "hello").await;
    a.message("hello").await;
    a.ok("block", json!({"user": bob.user})).await;
    a.ok("block", json!({"user": bob.user})).await;
    assert_eq!(a.ok("blocks", json!({})).await, json!({"users": [bob.user], "has_more": false}));
    for person in [&mut a, &mut b] {
        let data = message(&direct, "still there?", Uuid::now_v7());
        assert_eq!(person.code("message.send", data).await, "blocked");
    }
    // Nobody is told, and typing does not pass either.
    b.ok("typing", json!({"conversation": direct, "active": true})).await;
    b.settle().await;
    assert!(
        !b.pushed.iter().any(|frame| frame.to_string().contains("block") && frame["id"].is_null()),
        "{:?}",
        b.pushed
    );
    let again = b
        .ok("conversation.create", json!({"kind": "direct", "members": [ada.user], "client_id": Uuid::now_v7()}))
        .await;
    assert_eq!((&again["conversation"], &again["duplicate"]), (&json!(direct), &json!(true)), "what is there is found");

    // Eve has no conversation with Ada, and does not get one.
    a.ok("block", json!({"user": eve.user})).await;
    let (mut e, _) = Person::online(&stack.address, &eve, None).await;
    let create = json!({"kind": "direct", "members": [ada.user], "client_id": Uuid::now_v7()});
    assert_eq!(e.code("conversation.create", create).await, "blocked");
    let invite = json!({"kind": "group", "name": "trap", "members": [ada.user, bob.user], "client_id": Uuid::now_v7()});
    let refused = e.call("conversation.create", invite).await.expect_err("refused");
    assert_eq!(refused["code"], "blocked");
    assert!(refused["message"].as_str().is_some_and(|text| text.contains(&ada.user)), "{refused}");
    let group = e.group(&[&bob], "crew").await;
    let add = json!({"conversation": group, "users": [ada.user]});
    assert_eq!(e.code("member.add", add.clone()).await, "blocked");
    let (_, answer) = stack.get(&format!("/v1/conversations/{direct}/permissions?action=send"), &bob.token).await;
    assert_eq!((&answer["allowed"], &answer["code"]), (&json!(false), &json!("blocked")));

    a.ok("unblock", json!({"user": eve.user})).await;
    e.ok("member.add", add).await;
    a.ok("unblock", json!({"user": bob.user})).await;
    b.say(&direct, "thank you").await;
    a.message("thank you").await;
    assert!(!a.pushed.iter().any(|frame| frame["type"] == "typing"), "{:?}", a.pushed);
    assert_eq!(a.ok("blocks", json!({})).await["users"], json!([]));
    assert_eq!(a.code("block", json!({"user": ada.user})).await, "bad_request");
    let stranger = stack.other_tenant_account("Mallory").await;
    assert_eq!(a.code("block", json!({"user": stranger.user})).await, "not_found");
}
