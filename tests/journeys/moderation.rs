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

/// Zoe moderates the tenant and is a member of nothing.
async fn moderator(stack: &Stack) -> (Account, Person) {
    let account = stack.account("Zoe").await;
    stack.moderates(&account, true).await;
    let person = Person::online(&stack.address, &account, None).await.0;
    (account, person)
}

/// Reports, and reads: so the views have it, and a moderator sees it.
async fn report(person: &mut Person, data: Value) -> Value {
    let answer = person.ok("message.report", data).await;
    person.ok("inbox", json!({})).await;
    answer
}

/// Of the tenant's queue what is of `conversation`: other tests report, too.
async fn queue(person: &mut Person, state: &str, conversation: &str) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let data = json!({"state": state, "limit": 2, "cursor": cursor});
        let mut page = person.ok("reports", data).await;
        found.extend(page["reported"].as_array().expect("a list").iter().cloned());
        if page["has_more"] == false {
            break;
        }
        cursor = page["cursor"].take();
    }
    found.retain(|reported| reported["conversation"] == conversation);
    found
}

#[tokio::test]
async fn what_is_reported_is_seen_removed_and_resolved_by_a_moderator() {
    let stack = Stack::shared().await;
    let (accounts, mut people, group) = group(stack).await;
    let (zoe, mut z) = moderator(stack).await;
    let seq = people[2].say(&group, "buy my pills").await["seq"].clone();
    people[1].message("buy my pills").await;
    let spam = json!({"conversation": group, "seq": seq, "reason": "spam", "comment": "He does not stop."});
    assert_eq!(report(&mut people[1], spam.clone()).await, json!({"duplicate": false}));
    assert_eq!(report(&mut people[1], spam.clone()).await, json!({"duplicate": true}));
    let other = json!({"conversation": group, "seq": seq, "reason": "harassment"});
    report(&mut people[0], other).await;
    assert_eq!(people[2].code("message.report", spam.clone()).await, "bad_request", "its own");

    let found = queue(&mut z, "open", &group).await;
    let [reported] = &found[..] else { panic!("{found:?}") };
    assert_eq!((&reported["kind"], &reported["name"]), (&json!("group"), &json!("crew")));
    assert_eq!((&reported["sender"], &reported["message"]["text"]), (&json!(accounts[2].user), &json!("buy my pills")));
    assert_eq!((&reported["count"], &reported["reasons"]), (&json!(2), &json!({"spam": 1, "harassment": 1})));
    let said = reported["reports"].as_array().expect("a list");
    let of_bob = said.iter().find(|said| said["user"] == accounts[1].user).expect("Bob's");
    assert_eq!((&of_bob["reason"], &of_bob["comment"]), (&json!("spam"), &json!("He does not stop.")));
    assert_eq!(reported["resolution"], Value::Null);

    let of_message = json!({"conversation": group, "seq": seq, "scope": "everyone"});
    z.ok("message.delete", of_message).await;
    let deleted = people[1].event("message.deleted").await;
    assert_eq!(deleted["data"], json!({"seqs": [seq], "reason": "moderator"}));
    z.ok("member.ban", json!({"conversation": group, "users": [accounts[2].user]})).await;
    assert_eq!(people[2].event("member.left").await["actor"], zoe.user);
    let found = queue(&mut z, "open", &group).await;
    assert_eq!(found[0]["message"], json!({"conversation": group, "seq": seq, "deleted": true}));
    assert_eq!(found[0]["sender"], accounts[2].user, "whom it was of is known all the same");
    let mut resolve =
        json!({"conversation": group, "seq": seq, "outcome": "removed", "last_at": "2026-01-01T00:00:00.000Z"});
    assert_eq!(z.code("report.resolve", resolve.clone()).await, "conflict", "it was reported since");
    resolve["last_at"] = found[0]["last_at"].clone();
    assert_eq!(z.ok("report.resolve", resolve.clone()).await, json!({"duplicate": false}));
    assert_eq!(z.ok("report.resolve", resolve).await, json!({"duplicate": true}));
    assert_eq!(queue(&mut z, "open", &group).await, Vec::<Value>::new());
    let resolved = queue(&mut z, "resolved", &group).await;
    let resolution = &resolved[0]["resolution"];
    assert_eq!((&resolution["outcome"], &resolution["by"]), (&json!("removed"), &json!(zoe.user)));
    // Nobody in the conversation heard of it.
    for person in &mut people {
        person.settle().await;
        let told = person.pushed.iter().find(|frame| frame.to_string().contains("report"));
        assert_eq!(told, None);
    }
}

#[tokio::test]
async fn the_queue_is_for_moderators_of_the_tenant_as_long_as_they_are() {
    let stack = Stack::shared().await;
    let (accounts, mut people, group) = group(stack).await;
    let (zoe, mut z) = moderator(stack).await;
    let seq = people[2].say(&group, "hello").await["seq"].clone();
    people[1].message("hello").await;
    report(&mut people[1], json!({"conversation": group, "seq": seq, "reason": "other"})).await;
    let resolve = json!({"conversation": group, "seq": seq, "outcome": "dismissed"});
    assert_eq!(people[0].code("reports", json!({})).await, "forbidden", "an owner is no moderator");
    assert_eq!(people[0].code("report.resolve", resolve.clone()).await, "forbidden");
    let mallory = stack.other_tenant_account("Mallory").await;
    stack.moderates(&mallory, true).await;
    let (mut m, _) = Person::online(&stack.address, &mallory, None).await;
    assert_eq!(queue(&mut m, "open", &group).await, Vec::<Value>::new());
    assert_eq!(m.code("report.resolve", resolve.clone()).await, "not_found");
    assert_eq!(m.code("member.ban", json!({"conversation": group, "users": [mallory.user]})).await, "not_found");

    z.ok("report.resolve", resolve.clone()).await;
    assert_eq!(queue(&mut z, "open", &group).await, Vec::<Value>::new());
    let more = json!({"conversation": group, "seq": seq, "reason": "violence"});
    assert_eq!(report(&mut people[1], more).await, json!({"duplicate": false}));
    let (status, page) = stack.get("/v1/reports?state=open&limit=100", &zoe.token).await;
    assert_eq!(status, 200, "{page}");
    let again = queue(&mut z, "open", &group).await;
    assert_eq!((&again[0]["count"], &again[0]["reasons"]), (&json!(1), &json!({"violence": 1})));
    assert_eq!(again[0]["resolution"]["outcome"], "dismissed", "what was said before is told");
    assert_eq!(z.code("reports", json!({"cursor": "elsewhere"})).await, "bad_request");

    stack.moderates(&zoe, false).await;
    assert_eq!(stack.get(&format!("/v1/users/{}", zoe.user), &zoe.token).await.1["name"], "Zoe", "it has its name");
    assert_eq!(z.code("reports", json!({})).await, "forbidden");
    assert_eq!(z.code("report.resolve", resolve).await, "forbidden");
    let ban = json!({"conversation": group, "users": [accounts[1].user]});
    assert_eq!(z.code("member.ban", ban).await, "not_a_member");
}

#[tokio::test]
async fn a_moderator_acts_everywhere_and_reads_only_around_what_was_reported() {
    let stack = Stack::shared().await;
    let (accounts, mut people, group) = group(stack).await;
    let (zoe, mut z) = moderator(stack).await;
    for text in ["one", "two"] {
        people[1].say(&group, text).await;
    }
    people[0].message("two").await;
    let get = |conversation: &str, seq: i64| json!({"conversation": conversation, "seq": seq});
    assert_eq!(z.code("message.get", get(&group, 1)).await, "forbidden");
    report(&mut people[0], json!({"conversation": group, "seq": 2, "reason": "other"})).await;
    for (seq, text) in [(1, "one"), (2, "two")] {
        assert_eq!(z.ok("message.get", get(&group, seq)).await["text"], text);
    }
    for (kind, data) in [
        ("history", json!({"conversation": group})),
        ("events", json!({"conversation": group, "after_position": 0})),
        ("message.send", message(&group, "I see you", Uuid::now_v7())),
        ("member.remove", json!({"conversation": group, "users": [accounts[1].user]})),
        ("conversation.update", json!({"conversation": group, "name": "mine"})),
    ] {
        assert_eq!(z.code(kind, data).await, "not_a_member", "{kind}");
    }
    let forward =
        json!({"conversation": group, "client_id": Uuid::now_v7(), "forward": {"conversation": group, "seq": 2}});
    assert_eq!(z.code("message.send", forward).await, "not_a_member");
    let users = json!({"conversation": group, "users": [accounts[0].user]});
    z.ok("member.mute", users.clone()).await;
    assert_eq!(refused(&mut people[0], &group).await["code"], "forbidden", "owners too");
    z.ok("member.unmute", users).await;
    z.ok("conversation.update", json!({"conversation": group, "frozen": true})).await;
    assert_eq!(refused(&mut people[1], &group).await["code"], "forbidden");
    z.ok("conversation.update", json!({"conversation": group, "frozen": false})).await;

    let path = format!("/v1/conversations/{group}/permissions");
    let ask = async |query: String| stack.get(&format!("{path}?{query}"), &zoe.token).await.1;
    assert_eq!(ask(format!("action=ban&target={}", accounts[0].user)).await["allowed"], true);
    assert_eq!(ask("action=send".into()).await["code"], "not_a_member");
    assert_eq!(ask("action=see_reported&seq=2".into()).await["allowed"], true);
    assert_eq!(ask("action=see_reported&seq=60".into()).await["allowed"], false);
    assert_eq!(ask(format!("user={}&action=send", accounts[1].user)).await["allowed"], true);

    let direct = people[0].direct(&accounts[1]).await;
    for text in ["between us", "and this"] {
        people[0].say(&direct, text).await;
    }
    people[1].message("and this").await;
    report(&mut people[1], json!({"conversation": direct, "seq": 1, "reason": "harassment"})).await;
    assert_eq!(queue(&mut z, "open", &direct).await[0]["message"]["text"], "between us");
    assert_eq!(z.ok("message.get", get(&direct, 1)).await["text"], "between us");
    assert_eq!(z.code("message.get", get(&direct, 2)).await, "forbidden", "only what was reported");
    let delete = |seq: i64| json!({"conversation": direct, "seq": seq, "scope": "everyone"});
    assert_eq!(z.code("message.delete", delete(2)).await, "forbidden");
    z.ok("message.delete", delete(1)).await;
    assert_eq!(
        z.code("member.mute", json!({"conversation": direct, "users": [accounts[0].user]})).await,
        "not_a_member"
    );
}

#[tokio::test]
async fn a_backend_makes_a_moderator_of_who_is_new_and_no_user_does() {
    let stack = Stack::shared().await;
    let path = format!("/v1/users/{}", Uuid::now_v7());
    let body = json!({"moderator": true});
    let (status, user) = stack.request("put", &path, Some(&stack.key), Some(&body)).await;
    assert_eq!(status, 200, "{user}");
    let tokens = format!("/v1/users/{}/tokens", user["user"].as_str().expect("a user"));
    let (_, token) = stack.post_as_backend(&tokens, json!({})).await;
    let token = token["access_token"].as_str().expect("a token");
    assert_eq!(stack.get("/v1/reports", token).await.0, 200);
    let eve = stack.account("Eve").await;
    let path = format!("/v1/users/{}", eve.external_id);
    assert_eq!(stack.request("put", &path, Some(&eve.token), Some(&body)).await.0, 401);
    assert_eq!(stack.get("/v1/reports", &eve.token).await.0, 403);
}
