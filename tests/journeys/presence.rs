//! Who sees whether somebody is there.

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Account, PATIENCE, Person, Stack};

/// `user` as `asker` sees it now.
async fn seen(stack: &Stack, asker: &Account, user: &Account) -> Value {
    let (status, mut answer) = stack.post(asker, "presence.watch", json!({"users": [user.user]})).await;
    assert_eq!(status, 200, "{answer}");
    answer["presence"][0].take()
}

/// Waits until `user` sees itself so.
async fn sees_itself(stack: &Stack, user: &Account, status: &str) {
    let deadline = Instant::now() + PATIENCE;
    while seen(stack, user, user).await["status"] != status {
        assert!(Instant::now() < deadline, "{} is not {status}", user.user);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn shows(person: &mut Person, user: &Account, status: &str) -> Value {
    let wanted = |f: &Value| f["type"] == "presence" && f["data"]["user"] == user.user && f["data"]["status"] == status;
    person.wait(status, wanted).await["data"].take()
}

/// Everything that is told so far was only of `of`.
async fn only_heard_of(person: &mut Person, of: &Account) {
    person.settle().await;
    let told = person.pushed.iter().filter(|frame| frame["type"] == "presence");
    assert!(told.clone().all(|frame| frame["data"]["user"] == of.user), "{:?}", told.collect::<Vec<_>>());
}

/// A socket that shows `status` from its beginning.
async fn online_as(stack: &Stack, account: &Account, status: &str) -> Person {
    let mut person = Person::connect(&stack.address, account).await;
    person.ok("hello", json!({"token": account.token, "status": status})).await;
    person
}

#[tokio::test]
async fn who_is_invisible_comes_and_goes_unseen() {
    let stack = Stack::shared().await;
    let (ada, bob, eve) = (stack.account("Ada").await, stack.account("Bob").await, stack.account("Eve").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    a.ok("presence.watch", json!({"users": [bob.user, eve.user]})).await;
    let (b, _) = Person::online(&stack.address, &bob, None).await;
    shows(&mut a, &bob, "online").await;
    b.leave().await;
    let before = shows(&mut a, &bob, "offline").await;
    assert!(before["last_seen"].is_string(), "{before}");

    let mut b = online_as(stack, &bob, "invisible").await;
    sees_itself(stack, &bob, "online").await;
    assert_eq!(seen(stack, &ada, &bob).await, before, "as before");
    let (mut e, _) = Person::online(&stack.address, &eve, None).await;
    // What the same gateway had to tell before Eve came has been told.
    a.wait_kept_presence(&eve.user, "online").await;
    only_heard_of(&mut a, &eve).await;
    b.ok("presence.set", json!({"status": "invisible"})).await;
    b.leave().await;
    sees_itself(stack, &bob, "offline").await;
    e.ok("presence.set", json!({"status": "away"})).await;
    a.wait_kept_presence(&eve.user, "away").await;
    only_heard_of(&mut a, &eve).await;
    assert_eq!(seen(stack, &ada, &bob).await, before);

    let mut refused = Person::connect(&stack.address, &bob).await;
    let offline = refused.call("hello", json!({"token": bob.token, "status": "offline"})).await;
    assert_eq!(offline.expect_err("refused")["code"], "bad_request");
}

#[tokio::test]
async fn who_hides_is_hidden_at_once_at_every_gateway() {
    let mut stack = Stack::start().await;
    let role = stack.role("all").await;
    stack.address = role.address.clone();
    stack.role = Some(role);
    let elsewhere = stack.role("gateway").await;
    let (ada, bob, eve) = (stack.account("Ada").await, stack.account("Bob").await, stack.account("Eve").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let (mut far, _) = Person::online(&elsewhere.address, &ada, None).await;
    let (mut e, _) = Person::online(&elsewhere.address, &eve, None).await;
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let (mut phone, _) = Person::online(&elsewhere.address, &bob, None).await;
    let open = json!({"presence": "everyone", "last_seen": "everyone"});
    assert_eq!(b.ok("privacy", json!({})).await, open);
    e.direct(&bob).await;
    for person in [&mut a, &mut far, &mut e] {
        let watched = person.ok("presence.watch", json!({"users": [bob.user]})).await;
        // The gateway may read of Bob's socket a little later.
        if watched["presence"][0]["status"] != "online" {
            shows(person, &bob, "online").await;
        }
    }
    let nothing = json!({"user": bob.user, "status": "offline"});

    b.ok("privacy.set", json!({"presence": "contacts"})).await;
    let contacts = json!({"presence": "contacts", "last_seen": "everyone"});
    assert_eq!(phone.event("privacy.changed").await["data"], contacts);
    assert_eq!(stack.post(&bob, "privacy", json!({})).await, (200, contacts));
    for person in [&mut a, &mut far] {
        assert_eq!(shows(person, &bob, "offline").await, nothing);
    }
    phone.leave().await;
    b.ok("presence.set", json!({"status": "away"})).await;
    assert!(shows(&mut e, &bob, "away").await["last_seen"].is_string(), "Eve has a conversation with Bob");
    far.settle().await;
    assert!(!far.pushed.iter().any(|frame| frame["type"] == "presence"), "{:?}", far.pushed);
    assert_eq!(seen(&stack, &ada, &bob).await, nothing);
    assert_eq!(seen(&stack, &bob, &bob).await["status"], "away", "to oneself nothing is hidden");

    // Who gets to know somebody sees it, at once and with the next watch.
    a.direct(&bob).await;
    for person in [&mut a, &mut far] {
        assert!(shows(person, &bob, "away").await["last_seen"].is_string());
    }
    let watched = a.ok("presence.watch", json!({"users": [bob.user]})).await;
    assert_eq!(watched["presence"][0]["status"], "away", "{watched}");
    let (status, answer) = stack.post(&bob, "privacy.set", json!({"last_seen": "nobody"})).await;
    assert_eq!((status, answer), (200, json!({})));
    let away = json!({"user": bob.user, "status": "away"});
    assert_eq!(shows(&mut a, &bob, "away").await, away);
    assert_eq!(shows(&mut e, &bob, "away").await, away);

    // A block hides both from each other, in either direction.
    b.ok("presence.watch", json!({"users": [ada.user]})).await;
    b.ok("block", json!({"user": ada.user})).await;
    assert_eq!(shows(&mut a, &bob, "offline").await, nothing);
    shows(&mut b, &ada, "offline").await;
    assert_eq!(a.ok("presence.unwatch", json!({"users": [bob.user]})).await["presence"], json!([nothing]));
    b.ok("unblock", json!({"user": ada.user})).await;
    shows(&mut b, &ada, "online").await;

    b.ok("privacy.set", json!({"presence": "nobody"})).await;
    assert_eq!(shows(&mut e, &bob, "offline").await, nothing);
    b.ok("privacy.set", open.clone()).await;
    assert!(shows(&mut e, &bob, "away").await["last_seen"].is_string());
    assert_eq!(b.ok("privacy", json!({})).await, open);
    for bad in [json!({}), json!({"presence": "friends"}), json!({"last_seen": 1})] {
        assert_eq!(b.code("privacy.set", bad).await, "bad_request");
    }
}
