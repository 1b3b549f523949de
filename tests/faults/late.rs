//! Roles that start before what they need.

use std::path::Path;
use std::time::Duration;

use crate::support::person::PATIENCE;
use crate::support::{POSTGRES_URL, Person, Role, Stack};

#[tokio::test(flavor = "multi_thread")]
async fn roles_wait_for_what_is_away_and_end_where_they_are_refused() {
    let mut stack = Stack::start().await;
    stack.parts.kill_kafka(0).await;
    stack.parts.kill_postgres().await;
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let (env, path) = (stack.env.clone(), log.clone());
    let starting = tokio::spawn(async move { Role::start_logged("all", &env, &path).await });
    wait_said(&log, "waiting for Kafka").await;
    stack.parts.start_kafka(0).await.expect("Kafka starts");
    wait_said(&log, "waiting for Postgres").await;
    stack.parts.start_postgres().await.expect("Postgres starts");
    let role = starting.await.expect("it is ready");
    stack.address = role.address.clone();
    let (ada, bob) = (stack.account("ada").await, stack.account("bob").await);
    let mut person = Person::online(&stack.address, &ada, None).await.0;
    let conversation = person.direct_until_heard(&bob).await;
    person.say_until_heard(&conversation, "late, and there").await;

    let wrong = stack.postgres_url().replace("postgres://tidings:", "postgres://tidings:not");
    stack.env.push((POSTGRES_URL.into(), wrong));
    let refused =
        tokio::time::timeout(PATIENCE, stack.fails(&["projector", "--set", "gateway.listen=127.0.0.1:0"])).await;
    let said = refused.expect("no waiting helps");
    assert!(said.contains("password authentication failed") && said.contains("postgres.url"), "{said}");
}

async fn wait_said(log: &Path, text: &str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !std::fs::read_to_string(log).is_ok_and(|said| said.contains(text)) {
        assert!(tokio::time::Instant::now() < deadline, "it does not say {text:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
