//! Coming without being added by name: links, asking, and channels that are found.

use serde_json::json;
use uuid::Uuid;

use crate::support::{Person, Stack};

#[tokio::test]
async fn a_link_brings_people_in_until_it_is_revoked() {
    let stack = Stack::shared().await;
    let (ada, bob, eve) = (stack.account("Ada").await, stack.account("Bob").await, stack.account("Eve").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let (mut e, _) = Person::online(&stack.address, &eve, None).await;
    let group = a.group(&[], "By invitation").await;
    let made = a.ok("invite.create", json!({"conversation": group, "max_uses": 5, "expires_in_ms": 60_000})).await;
    let link = made["link"].as_str().expect("a link").to_owned();
    let event = a.event("invite.created").await;
    assert_eq!(event["data"]["invite"], made["invite"]);
    let secret = link.split_once('.').expect("two parts").1;
    assert!(!event.to_string().contains(secret), "the log does not hold the link");

    let joined = b.ok("invite.accept", json!({ "link": link })).await;
    assert_eq!((&joined["conversation"], &joined["duplicate"]), (&json!(group), &json!(false)));
    assert_eq!(b.ok("invite.accept", json!({ "link": link })).await["duplicate"], true);
    let heard = a.event("member.joined").await;
    assert_eq!(heard["data"], json!({ "users": [bob.user], "invite": made["invite"] }));
    let listed = a.ok("invites", json!({ "conversation": group })).await["invites"][0].clone();
    assert_eq!((&listed["uses"], &listed["max_uses"], &listed["role"]), (&json!(1), &json!(5), &json!("member")));
    assert_eq!(b.code("invites", json!({ "conversation": group })).await, "forbidden");
    a.ok("invite.revoke", json!({ "conversation": group, "invite": made["invite"] })).await;
    assert_eq!(e.code("invite.accept", json!({ "link": link })).await, "not_found");
    assert_eq!(e.code("invite.accept", json!({ "link": group })).await, "bad_request");
    assert_eq!(a.ok("invites", json!({ "conversation": group })).await, json!({ "invites": [] }));
}

#[tokio::test]
async fn a_channel_is_found_and_asked_for() {
    let stack = Stack::shared().await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let word = format!("Regatta{}", Uuid::now_v7().simple());
    let data =
        json!({ "kind": "channel", "name": format!("The {word} news"), "members": [], "client_id": Uuid::now_v7() });
    let channel = a.ok("conversation.create", data).await["conversation"].clone();
    a.inbox_entry(channel.as_str().expect("an id")).await;
    let find = json!({ "text": word.to_lowercase(), "limit": 200 });
    let found = b.ok("channels", find.clone()).await;
    let expected = json!({ "conversation": channel, "name": format!("The {word} news"), "topic": null, "picture": null,
                           "members_count": 1, "join": "open", "member": false });
    assert_eq!(found["channels"], json!([expected]));

    a.ok("conversation.update", json!({ "conversation": channel, "join": "request" })).await;
    b.ok("conversation.join", json!({ "conversation": channel })).await;
    let asked = a.event("member.requested").await;
    assert_eq!(asked["data"]["users"], json!([bob.user]));
    let waiting = a.ok("requests", json!({ "conversation": channel })).await;
    assert_eq!((&waiting["requests"][0]["user"], &waiting["has_more"]), (&json!(bob.user), &json!(false)));
    assert_eq!(b.code("requests", json!({ "conversation": channel })).await, "not_a_member");
    a.ok("member.add", json!({ "conversation": channel, "users": [bob.user] })).await;
    b.event("member.joined").await;
    assert_eq!(a.ok("requests", json!({ "conversation": channel })).await["requests"], json!([]));
    let found = b.ok("channels", find.clone()).await["channels"][0].clone();
    assert_eq!((&found["join"], &found["member"]), (&json!("request"), &json!(true)));
    a.ok("conversation.update", json!({ "conversation": channel, "join": "closed" })).await;
    a.inbox_entry(channel.as_str().expect("an id")).await;
    assert_eq!(b.ok_until_heard("channels", find).await["channels"], json!([]));
}
