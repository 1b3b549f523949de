//! Away, and back with a cursor.

use serde_json::json;

use crate::support::{Person, Stack};

#[tokio::test]
async fn a_cursor_brings_what_changed_and_nothing_else() {
    let stack = Stack::shared().await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut a, first) = Person::online(&stack.address, &ada, None).await;
    assert_eq!(first["reset"], true, "without a cursor");
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let direct = b.direct(&ada).await;
    let quiet = b.group(&[&ada], "quiet").await;
    let left = b.group(&[&ada], "left").await;
    a.wait_until_position(&left, 1).await;
    a.leave().await;
    let (a, seen) = Person::online(&stack.address, &ada, None).await;
    let entries = a.pushed.iter().filter(|f| f["type"] == "inbox.changed").count();
    assert_eq!(entries, 3);
    let cursor = seen["cursor"].as_str().expect("a cursor").to_owned();
    a.leave().await;

    b.say(&direct, "while you were away").await;
    b.ok("member.remove", json!({"conversation": left, "users": [ada.user]})).await;
    let (mut a, caught_up) = Person::online(&stack.address, &ada, Some(&cursor)).await;
    assert!(caught_up.get("reset").is_none_or(|reset| reset == false), "{caught_up}");
    let changed: Vec<_> = a.pushed.iter().filter(|f| f["type"] == "inbox.changed").map(|f| f["data"].clone()).collect();
    assert_eq!(changed.len(), 2, "{changed:?}");
    let entry = changed.iter().find(|c| c["conversation"] == direct).expect("the direct one");
    assert_eq!((&entry["unread"], &entry["last_message"]["text"]), (&json!(1), &json!("while you were away")));
    assert!(changed.iter().any(|c| c["conversation"] == left && c["left"] == true), "{changed:?}");
    assert!(!changed.iter().any(|c| c["conversation"] == quiet));
    // The gap is closed with `events`.
    let events = a.ok("events", json!({"conversation": direct, "after_position": 1})).await;
    assert_eq!(events["events"][0]["data"]["text"], "while you were away");

    let (nothing, _) = Person::online(&stack.address, &ada, caught_up["cursor"].as_str()).await;
    assert!(!nothing.pushed.iter().any(|f| f["type"] == "inbox.changed"), "{:?}", nothing.pushed);
    let (_, reset) = Person::online(&stack.address, &ada, Some("not a cursor")).await;
    assert_eq!(reset["reset"], true);
}

/// Sockets come and go while messages are sent: between the catch-up and the pushes nothing is missing.
#[tokio::test]
async fn connects_racing_sends_miss_nothing() {
    let stack = Stack::shared().await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let conversation = b.direct(&ada).await;
    let sender = tokio::spawn({
        let conversation = conversation.clone();
        async move {
            for n in 0..400 {
                b.say(&conversation, &format!("{n}")).await;
            }
            b
        }
    });
    let mut connects = 0;
    while !sender.is_finished() {
        let (mut a, _) = Person::online(&stack.address, &ada, None).await;
        connects += 1;
        // What the snapshot had, and then every push after it without a gap.
        let snapshot = a
            .pushed
            .iter()
            .rposition(|f| f["type"] == "inbox.changed")
            .map(|i| a.pushed[i]["data"]["last_position"].as_i64().expect("a position"));
        let snapshot = snapshot.expect("the conversation is in the snapshot");
        let probe = a.say(&conversation, "probe").await["position"].as_i64().expect("a position");
        a.wait_until_position(&conversation, probe).await;
        let mut seen = a.positions(&conversation);
        seen.retain(|position| *position > snapshot && *position <= probe);
        seen.dedup();
        assert_eq!(seen, (snapshot + 1..=probe).collect::<Vec<_>>(), "connect {connects}");
        a.leave().await;
    }
    sender.await.expect("sends");
    assert!(connects > 5, "only {connects} connects raced");
}
