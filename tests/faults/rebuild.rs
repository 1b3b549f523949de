//! A rebuild from the public streams equals the live view, row for row, while people go on.

use serde_json::json;
use sqlx::PgPool;

use crate::support::{Person, Stack, rows};

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_equals_the_live_view() {
    let mut stack = Stack::start().await;
    let all = stack.role("all").await;
    stack.address = all.address.clone();
    let accounts = stack.accounts("person", 6).await;
    let mut people = Vec::new();
    for account in &accounts {
        people.push(Person::online(&stack.address, account, None).await.0);
    }
    let direct = people[0].direct(&accounts[1]).await;
    let group = people[0].group(&[&accounts[1], &accounts[2], &accounts[3]], "rebuilt").await;
    for n in 0..30 {
        people[n % 2].say(&direct, &format!("direct {n}")).await;
        people[n % 4].say(&group, &format!("group {n}")).await;
    }
    people[1].ok("read", json!({"conversation": direct, "seq": 29})).await;
    people[3].ok("conversation.leave", json!({"conversation": group})).await;
    people[0].ok("member.add", json!({"conversation": group, "users": [accounts[4].user, accounts[3].user]})).await;
    people[0].ok("member.remove", json!({"conversation": group, "users": [accounts[2].user]})).await;
    people[4].say(&group, "new here").await;
    people.pop().expect("six").leave().await;
    let watched = accounts[5].user.clone();
    let gone = people[0].ok("presence.watch", json!({"users": [watched]})).await;
    if !gone.to_string().contains("offline") {
        people[0].wait("offline", |f| f["type"] == "presence" && f["data"]["status"] == "offline").await;
    }
    people[0].inbox_entry(&group).await;

    let pool = PgPool::connect(stack.parts.postgres_url()).await.expect("connects");
    for projection in ["groups", "inbox", "messages", "timeline", "users", "last_seen"] {
        let live = rows(&pool, projection).await;
        assert!(!live.is_empty(), "{projection} is empty, so nothing is shown");
        stack.run(&["admin", "rebuild", projection]).await;
        let rebuilt = rows(&pool, projection).await;
        assert_eq!(rebuilt, live, "{projection}");
        // The new version is the live one: what happens now lands in it, over connections that were open.
        people[0].say(&group, &format!("after {projection}")).await;
        let entry = people[0].inbox_entry(&group).await;
        assert_eq!(entry["last_message"]["text"], format!("after {projection}"));
    }
}
