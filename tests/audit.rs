//! `tidings admin audit` over a real Kafka and Postgres: it agrees with what people did, and finds what is wrong.

#[path = "support/mod.rs"]
mod support;

use serde_json::json;
use sqlx::PgPool;

use support::{Person, Stack};

#[tokio::test]
async fn an_audit_finds_what_counts_wrong() {
    let mut stack = Stack::start().await;
    let role = stack.role("all").await;
    stack.address = role.address.clone();
    let people = stack.accounts("person", 3).await;
    let (mut ada, _) = Person::online(&stack.address, &people[0], None).await;
    let (mut bob, _) = Person::online(&stack.address, &people[1], None).await;
    let group = ada.group(&[&people[1], &people[2]], "counted").await;
    for n in 0..9 {
        let mentions = if n % 2 == 0 { json!(["all"]) } else { json!([people[1].user]) };
        let client_id = uuid::Uuid::now_v7();
        let data = json!({"conversation": group, "client_id": client_id, "text": "hear", "mentions": mentions});
        ada.ok("message.send", data).await;
    }
    bob.ok("read", json!({"conversation": group, "seq": 3})).await;
    ada.ok("message.delete", json!({"conversation": group, "seq": 5, "scope": "everyone"})).await;
    ada.ok("message.edit", json!({"conversation": group, "seq": 7, "text": "hush", "mentions": []})).await;
    let entry = bob.inbox_entry(&group).await;
    assert_eq!((&entry["unread"], &entry["mentions_unread"]), (&json!(6), &json!(4)));
    let said = stack.run(&["admin", "audit"]).await;
    assert!(said.contains("3 memberships: positions, unread and mention counts are those of a full recount"), "{said}");

    let pool = PgPool::connect(stack.postgres_url()).await.expect("connects");
    let damage = "UPDATE inbox.pointers SET read_seq = 4 WHERE user_id = $1";
    let damaged = sqlx::query(damage).bind(&people[1].user).execute(&pool).await.expect("damaged");
    assert_eq!(damaged.rows_affected(), 1);
    let said = stack.fails(&["admin", "audit"]).await;
    let expected = format!("{} in {group}: the view has position", people[1].user);
    assert!(said.contains("1 of 3 memberships count otherwise") || said.contains(&expected), "{said}");
    stack.run(&["admin", "rebuild", "inbox"]).await;
    stack.run(&["admin", "audit"]).await;
}
