//! What is told to whoever asks, and what is written to the log, holds nothing that is somebody's.

use serde_json::json;

use super::with;
use crate::support::{Person, Role, Stack};

#[tokio::test]
async fn operations_and_logs_tell_no_secret() {
    const TEXT: &str = "meet me at the old pier";
    const NAME: &str = "Confidential crew";
    let stack = Stack::shared().await;
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    // Everything that any crate has to say.
    let env = with(stack, &[("LOG__LEVEL", "trace")]);
    let role = Role::start_logged("gateway", &env, &log).await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut a, _) = Person::online(&role.address, &ada, None).await;
    let (mut b, _) = Person::online(&role.address, &bob, None).await;
    let group = a.group(&[&bob], NAME).await;
    a.say(&group, TEXT).await;
    b.message(TEXT).await;
    a.ok("message.edit", json!({ "conversation": group, "seq": 1, "text": format!("{TEXT} at nine") })).await;
    a.ok("draft.set", json!({ "conversation": group, "text": format!("{TEXT}?") })).await;
    a.ok("conversation.update", json!({ "conversation": group, "topic": NAME, "picture": format!("https://{TEXT}") }))
        .await;
    b.event("conversation.updated").await;
    b.ok("history", json!({ "conversation": group })).await;
    b.ok("search", json!({ "text": TEXT })).await;
    let asked = reqwest::Client::new()
        .post(format!("http://{}/v1/users/{}/tokens", role.address, bob.user))
        .bearer_auth(&stack.key);
    assert!(asked.json(&json!({})).send().await.expect("answers").status().is_success());
    let master = std::fs::read_to_string(stack.setting("TIDINGS_CRYPTO__MASTER_KEYS_FILE")).expect("readable");
    let (_, master) = master.trim().split_once(':').expect("a key");
    let token_key = std::fs::read_to_string(stack.setting("TIDINGS_CRYPTO__TOKEN_KEY_FILE")).expect("readable");
    let token_key: String = token_key.lines().filter(|line| !line.starts_with('-')).collect();
    let (_, signature) = ada.token.rsplit_once('.').expect("a signature");
    let postgres = stack.setting("TIDINGS_POSTGRES__URL");
    let password = postgres.split(':').nth(2).and_then(|rest| rest.split('@').next()).expect("a password");
    let secrets = [TEXT, NAME, master, &token_key, signature, &stack.key, password];

    let mut told = String::new();
    for path in ["/livez", "/readyz", "/metrics", "/.well-known/jwks.json"] {
        let url = format!("http://{}{path}", role.address);
        told += &reqwest::get(url).await.expect("answers").text().await.expect("text");
    }
    for secret in secrets.into_iter().chain(["usr_", "cnv_", "tnt_", "ses_", "postgres://", "\"d\""]) {
        assert!(!told.contains(secret), "{secret} is told to whoever asks: {told}");
    }
    let logged = std::fs::read_to_string(&log).expect("readable");
    assert!(logged.len() > 1_000 && logged.contains("TRACE"), "this is no full log: {logged}");
    for secret in secrets {
        let lines: Vec<_> = logged.lines().filter(|line| line.contains(secret)).take(3).collect();
        assert!(lines.is_empty(), "{secret} is logged: {lines:#?}");
    }
}
