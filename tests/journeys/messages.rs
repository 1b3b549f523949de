//! What becomes of a message after it was sent: edits, reactions, pins, removal.

use std::collections::HashSet;

use serde_json::{Value, json};
use tidings::log::{Reader, partition_of, topics};

use crate::support::{PATIENCE, Person, Stack, message};

async fn pair(stack: &Stack) -> (Person, Person, String) {
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let (b, _) = Person::online(&stack.address, &bob, None).await;
    let conversation = a.direct(&bob).await;
    (a, b, conversation)
}

fn of(conversation: &str, seq: u64) -> Value {
    json!({ "conversation": conversation, "seq": seq })
}

async fn events(person: &mut Person, conversation: &str) -> Vec<(u64, Value)> {
    let data = json!({ "conversation": conversation, "after_position": 0, "limit": 1000 });
    let page = person.ok("events", data).await;
    let events = page["events"].as_array().expect("events");
    events.iter().map(|event| (event["position"].as_u64().expect("a position"), event.clone())).collect()
}

#[tokio::test]
async fn an_edit_reaches_everybody_and_keeps_what_was_said_before() {
    let stack = Stack::shared().await;
    let (mut a, mut b, conversation) = pair(stack).await;
    let mentioned = b.account.user.clone();
    a.ok("message.send", message(&conversation, "hello wurld", uuid::Uuid::now_v7())).await;
    let edit = json!({"conversation": conversation, "seq": 1, "text": "hello world", "mentions": [mentioned]});
    let edited = a.ok("message.edit", edit.clone()).await;
    assert_eq!((&edited["position"], &edited["duplicate"]), (&json!(3), &json!(false)));
    let again = a.ok("message.edit", edit).await;
    assert_eq!((&again["position"], &again["duplicate"]), (&json!(3), &json!(true)), "the same edit is one");

    let event = b.event("message.edited").await;
    let data = &event["data"];
    assert_eq!(
        (&data["seq"], &data["text"], &data["mentions"]),
        (&json!(1), &json!("hello world"), &json!([mentioned]))
    );
    assert_eq!((&event["position"], &event["at"]), (&json!(3), &data["edited_at"]));
    let shown = b.ok("history", json!({"conversation": conversation})).await["messages"][0].clone();
    assert_eq!((&shown["text"], &shown["edited_at"]), (&json!("hello world"), &event["at"]));
    let entry = b.inbox_entry(&conversation).await;
    assert_eq!((&entry["last_message"], &entry["mentions_unread"]), (&shown, &json!(1)));
    let log = events(&mut b, &conversation).await;
    assert_eq!(log[1].1["data"]["text"], "hello wurld", "the log says what was sent");
    assert_eq!(log[2].1, event);

    let by_bob = json!({"conversation": conversation, "seq": 1, "text": "mine now"});
    assert_eq!(b.code("message.edit", by_bob).await, "forbidden");
    let empty = json!({"conversation": conversation, "seq": 1, "text": ""});
    assert_eq!(a.code("message.edit", empty).await, "bad_request");
    assert_eq!(
        a.code("message.edit", json!({"conversation": conversation, "seq": 2, "text": "x"})).await,
        "bad_request"
    );
}

#[tokio::test]
async fn a_removed_message_is_gone_from_every_read_and_from_the_stream() {
    let stack = Stack::shared().await;
    let (mut a, mut b, conversation) = pair(stack).await;
    let client_id = uuid::Uuid::now_v7();
    let sent = a.ok("message.send", message(&conversation, "a secret", client_id)).await;
    a.ok("message.edit", json!({"conversation": conversation, "seq": 1, "text": "a better kept secret"})).await;
    a.ok("message.pin", of(&conversation, 1)).await;
    b.ok("reaction.add", json!({"conversation": conversation, "seq": 1, "emoji": "👍"})).await;
    let delete = json!({"conversation": conversation, "seq": 1, "scope": "everyone"});
    assert_eq!(b.code("message.delete", delete.clone()).await, "forbidden");
    let deleted = a.ok("message.delete", delete.clone()).await;
    assert_eq!(deleted["position"], 6);
    assert_eq!(b.ok("message.delete", delete).await["duplicate"], true, "it is gone, whoever asks");

    let event = b.event("message.deleted").await;
    assert_eq!(event["data"], json!({"seqs": [1], "reason": "author"}));
    let gone = json!({"conversation": conversation, "seq": 1, "deleted": true});
    assert_eq!(b.ok("history", json!({"conversation": conversation})).await["messages"], json!([gone]));
    let entry = b.inbox_entry(&conversation).await;
    assert_eq!((&entry["last_message"], &entry["unread"]), (&gone, &json!(1)));
    assert_eq!(b.ok("pins", json!({"conversation": conversation})).await["messages"], json!([]));
    let positions: Vec<_> = events(&mut b, &conversation).await.into_iter().map(|(position, _)| position).collect();
    assert_eq!(positions, [1, 4, 5, 6], "sent and edited are no more");
    let page = json!({"conversation": conversation, "after_position": 1, "limit": 1});
    assert_eq!(b.ok("events", page).await["events"][0]["position"], 4, "a page never ends where something is removed");

    let retried = a.ok("message.send", message(&conversation, "a secret", client_id)).await;
    assert_eq!((&retried["seq"], &retried["position"]), (&sent["seq"], &sent["position"]));
    assert_eq!(retried["duplicate"], true, "nothing is sent again");
    for (kind, data) in [
        ("message.edit", json!({"conversation": conversation, "seq": 1, "text": "x"})),
        ("reaction.add", json!({"conversation": conversation, "seq": 1, "emoji": "👍"})),
        ("message.pin", of(&conversation, 1)),
    ] {
        assert_eq!(a.code(kind, data).await, "not_found", "{kind}");
    }

    await_tombstones(stack, &conversation, &[2, 3]).await;
}

/// Waits until compaction will remove what stood at these positions of the public stream.
async fn await_tombstones(stack: &Stack, conversation: &str, positions: &[i64]) {
    let mut awaited: HashSet<_> = positions.iter().map(|position| format!("{conversation}/{position}")).collect();
    let kafka = stack.kafka();
    let partitions = topics::partitions(&kafka, topics::CONVERSATION_EVENTS).await.expect("partitions");
    let reader = Reader::new(&kafka, topics::CONVERSATION_EVENTS).expect("a reader");
    let mut records = reader.read(partition_of(conversation.as_bytes(), partitions), 0).await.expect("reads");
    let seen = async {
        while !awaited.is_empty() {
            for record in records.next(1_000).await.expect("reads") {
                let key = record.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                if record.value.is_none() {
                    awaited.remove(&*key);
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("tombstones in time");
}

#[tokio::test]
async fn reactions_are_counted_and_everybody_knows_its_own() {
    let stack = Stack::shared().await;
    let (mut a, mut b, conversation) = pair(stack).await;
    a.say(&conversation, "lunch?").await;
    let reaction = |emoji: &str| json!({"conversation": conversation, "seq": 1, "emoji": emoji});
    b.ok("reaction.add", reaction("👍")).await;
    assert_eq!(b.ok("reaction.add", reaction("👍")).await["duplicate"], true);
    a.ok("reaction.add", reaction("👍")).await;
    a.ok("reaction.add", reaction(":pizza:")).await;
    assert_eq!(a.event("reaction.added").await["data"], json!({"seq": 1, "emoji": "👍"}));
    let reactions = async |person: &mut Person| {
        let page = person.ok("history", json!({"conversation": conversation})).await;
        page["messages"][0]["reactions"].clone()
    };
    assert_eq!(
        reactions(&mut b).await,
        json!({"👍": {"count": 2, "mine": true}, ":pizza:": {"count": 1, "mine": false}})
    );
    b.ok("reaction.remove", reaction("👍")).await;
    assert_eq!(b.ok("reaction.remove", reaction("👍")).await["duplicate"], true);
    assert_eq!(a.event("reaction.removed").await["actor"], json!(b.account.user));
    assert_eq!(reactions(&mut b).await["👍"], json!({"count": 1, "mine": false}));
    assert_eq!(reactions(&mut a).await["👍"], json!({"count": 1, "mine": true}));
    for text in ["", "yes", "👍👍", "a very long way to say something that nobody could remove"] {
        assert_eq!(a.code("reaction.add", reaction(text)).await, "bad_request", "{text}");
    }
}

#[tokio::test]
async fn pinned_messages_are_listed_last_pinned_first() {
    let stack = Stack::shared().await;
    let (mut a, mut b, conversation) = pair(stack).await;
    for text in ["one", "two", "three"] {
        a.say(&conversation, text).await;
    }
    for seq in [2, 1, 3] {
        b.ok("message.pin", of(&conversation, seq)).await;
    }
    assert_eq!(a.ok("message.pin", of(&conversation, 1)).await["duplicate"], true);
    a.ok("message.unpin", of(&conversation, 2)).await;
    assert_eq!(b.event("message.unpinned").await["data"], json!({"seq": 2}));
    let pins = b.ok("pins", json!({"conversation": conversation})).await;
    let texts: Vec<_> = pins["messages"].as_array().expect("messages").iter().map(|m| m["text"].clone()).collect();
    assert_eq!(texts, ["three", "one"]);
    let over_http = stack.get(&format!("/v1/conversations/{conversation}/pins"), &a.account.token).await;
    assert_eq!(over_http, (200, pins));
}
