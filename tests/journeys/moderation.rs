//! Who may come and who may write, and why not.

use serde_json::{Value, json};
use tidings::domain::Timestamp;
use uuid::Uuid;

use crate::support::{Account, Person, Stack, message};

/// Ada owns a group with Bob and Eve.
async fn group(stack: &Stack) -> (Vec<Account>, Vec<Person>, String) {
    let mut accounts = Vec::new();
    let mut people = Vec::new();
    for name in ["Ada", "Bob", "Eve"] {
        let account = stack.account(name).await;
        people.push(Person::online(&stack.address, &account, None).await.0);
        accounts.push(account);
    }
    let group = people[0].group(&[&accounts[1], &accounts[2]], "crew").await;
    (accounts, people, group)
}

async fn refused(person: &mut Person, conversation: &str) -> Value {
    person.call("message.send", message(conversation, "hello?", Uuid::now_v7())).await.expect_err("refused")
}

#[tokio::test]
async fn who_is_banned_is_gone_at_once_and_cannot_be_added() {
    let stack = Stack::shared().await;
    let (accounts, mut people, group) = group(stack).await;
    let eve = json!([accounts[2].user]);
    let ban = json!({"conversation": group, "users": eve});
    assert_eq!(people[1].code("member.ban", ban.clone()).await, "forbidden");
    people[0].ok("member.ban", ban.clone()).await;
    let left = people[2].event("member.left").await["data"].clone();
    assert_eq!(left, json!({"users": eve, "reason": "banned", "banned": eve}));
    assert_eq!(refused(&mut people[2], &group).await["code"], "not_a_member");
    let refused = people[0].call("member.add", ban.clone()).await.expect_err("banned");
    assert_eq!(refused["code"], "forbidden");
    assert!(refused["message"].as_str().is_some_and(|text| text.contains("lift the ban")), "{refused}");
    people[0].ok("member.unban", ban.clone()).await;
    assert_eq!(people[1].event("member.unbanned").await["data"], json!({"users": eve}));
    people[0].ok("member.add", ban).await;
    people[2].event("member.joined").await;
}

#[tokio::test]
async fn mutes_freezes_and_slow_mode_say_why_and_how_long() {
    let stack = Stack::shared().await;
    let (accounts, mut people, group) = group(stack).await;
    let until = Timestamp::now().plus(3_600_000).to_string();
    let mute = json!({"conversation": group, "users": [accounts[1].user], "until": until});
    people[0].ok("member.mute", mute).await;
    let expected = json!({"users": [accounts[1].user], "until": until});
    assert_eq!(people[1].event("member.muted").await["data"], expected);
    let refusal = refused(&mut people[1], &group).await;
    assert_eq!((&refusal["code"], &refusal["retryable"]), (&json!("forbidden"), &json!(false)));
    assert!(refusal["message"].as_str().is_some_and(|text| text.contains(&until)), "{refusal}");
    people[0].ok("member.unmute", json!({"conversation": group, "users": [accounts[1].user]})).await;
    people[1].say(&group, "thanks").await;

    let update = |change: Value| {
        let mut data = change;
        data["conversation"] = json!(group);
        data
    };
    people[0].ok("conversation.update", update(json!({"frozen": true}))).await;
    assert_eq!(people[1].event("conversation.updated").await["data"], json!({"frozen": true}));
    assert_eq!(refused(&mut people[1], &group).await["code"], "forbidden");
    people[0].say(&group, "owners may").await;
    people[0].ok("conversation.update", update(json!({"frozen": false, "slow_mode_ms": 60_000}))).await;
    let refusal = refused(&mut people[1], &group).await;
    assert_eq!((&refusal["code"], &refusal["retryable"]), (&json!("rate_limited"), &json!(true)));
    let wait_ms = refusal["retry_after_ms"].as_u64().expect("a time");
    assert!((1..=60_000).contains(&wait_ms), "{refusal}");
    people[2].say(&group, "my first").await;
    let entry = people[2].inbox_entry(&group).await;
    assert_eq!((&entry["slow_mode_ms"], &entry["frozen"]), (&json!(60_000), &json!(false)));
    assert_eq!(people[0].code("conversation.update", update(json!({"slow_mode_ms": -1}))).await, "bad_request");
}

#[tokio::test]
async fn the_server_says_what_one_may_and_why_not() {
    let stack = Stack::shared().await;
    let (accounts, mut people, group) = group(stack).await;
    let path = format!("/v1/conversations/{group}/permissions");
    let ask = async |of: &Account, query: String| stack.get(&format!("{path}?{query}"), &of.token).await;
    let (ada, bob, eve) = (&accounts[0], &accounts[1], &accounts[2]);
    assert_eq!(ask(bob, "action=send".into()).await, (200, json!({"allowed": true, "code": null, "reason": null})));
    let (_, answer) = ask(bob, format!("action=remove_member&target={}", eve.user)).await;
    assert_eq!((&answer["allowed"], &answer["code"]), (&json!(false), &json!("forbidden")));
    assert!(answer["reason"].as_str().is_some_and(|reason| reason.contains("only owners and admins")), "{answer}");
    let (_, answer) = ask(ada, format!("action=remove_member&target={}", eve.user)).await;
    assert_eq!(answer["allowed"], true);
    people[0].ok("member.mute", json!({"conversation": group, "users": [bob.user]})).await;
    let (_, answer) = ask(ada, format!("user={}&action=send", bob.user)).await;
    assert_eq!((&answer["allowed"], &answer["reason"]), (&json!(false), &json!("you may only read here")));
    assert_eq!(ask(eve, format!("user={}&action=send", bob.user)).await.0, 403, "only of oneself");
    assert_eq!(ask(ada, "action=levitate".into()).await.0, 400);
    let stranger = stack.account("Zoe").await;
    assert_eq!(ask(&stranger, "action=send".into()).await.0, 403);
    let asked = json!({"conversation": group, "action": "set_role", "target": eve.user, "role": "admin"});
    assert_eq!(people[0].ok("permissions", asked).await["allowed"], true);
}
