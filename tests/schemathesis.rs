//! Requests drawn from `/openapi.json` by Schemathesis, against the real server: nothing makes it fail, and every answer is described.

mod support;

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tidings::domain::Timestamp;
use tokio::process::Command;
use uuid::Uuid;

use support::Stack;

/// So many that what is done to one is not in the way of all that comes after.
const GROUPS: usize = 40;
const USERS: usize = 8;
/// For all requests, and to install it the first time.
const PATIENCE: Duration = Duration::from_secs(600);

#[tokio::test]
async fn nothing_that_can_be_drawn_makes_it_fail_or_answer_as_is_not_described() {
    let mut stack = Stack::start().await;
    // It asks as one user, as fast as it can.
    for limit in ["TIDINGS_LIMITS__COMMANDS_PER_SECOND", "TIDINGS_LIMITS__COMMANDS_BURST"] {
        stack.env.push((limit.to_owned(), "100000".to_owned()));
    }
    let role = stack.role("all").await;
    stack.address = role.address.clone();
    let ada = stack.account("Ada").await;
    let users: Vec<_> = stack.accounts("Bob", USERS).await.into_iter().map(|account| account.user).collect();
    let mut groups = Vec::new();
    for _ in 0..GROUPS {
        let data = json!({ "kind": "group", "members": users, "client_id": Uuid::now_v7() });
        let (status, created) = stack.post(&ada, "conversation.create", data).await;
        assert_eq!(status, 200, "{created}");
        let group = created["conversation"].as_str().expect("an id").to_owned();
        let live_until = Timestamp::now().plus(3_600_000).to_string();
        for mut message in [
            json!({ "text": "hello" }),
            json!({ "poll": { "question": "When?", "options": ["Friday", "Saturday"] } }),
            json!({ "location": { "lat": 47.0, "lon": 8.0, "live_until": live_until } }),
        ] {
            message["conversation"] = json!(group);
            message["client_id"] = json!(Uuid::now_v7());
            let (status, sent) = stack.post(&ada, "message.send", message).await;
            assert_eq!(status, 200, "{sent}");
        }
        groups.push(group);
    }
    let mut run = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schemathesis/run"));
    run.arg(&stack.address).env("TIDINGS_TOKEN", &ada.token).env("TIDINGS_KEY", &stack.key);
    run.env("TIDINGS_CONVERSATIONS", groups.join(",")).env("TIDINGS_USERS", users.join(","));
    let run = run.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(PATIENCE, run).await.expect("ends in time").expect("runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}");
    assert!(output.status.success(), "{err}");
}
