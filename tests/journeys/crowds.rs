//! What is said to everybody of a few, and to nobody of many: receipts and typing.

use serde_json::{Value, json};
use tidings::log::partition_of;

use crate::support::{Account, Person, Stack};

/// A stack on which two are a few, and three are many.
async fn stack() -> Stack {
    let mut stack = Stack::start().await;
    for setting in ["RECEIPTS_FANOUT_MEMBERS", "TYPING_FANOUT_MEMBERS"] {
        stack.env.push((format!("TIDINGS_SEQUENCER__{setting}"), "2".to_owned()));
    }
    let role = stack.role("all").await;
    stack.address = role.address.clone();
    stack.role = Some(role);
    stack
}

fn pushed<'a>(person: &'a Person, kind: &str) -> Vec<&'a Value> {
    person.pushed.iter().filter(|frame| frame["type"] == kind).collect()
}

/// A group that lies with `other`: what is signalled in both stays in order.
async fn group_beside(person: &mut Person, with: &[&Account], other: &str, partitions: i32) -> String {
    loop {
        let group = person.group(with, "beside").await;
        if partition_of(group.as_bytes(), partitions) == partition_of(other.as_bytes(), partitions) {
            return group;
        }
    }
}

#[tokio::test]
async fn of_many_nobody_hears_each_receipt_and_all_can_ask() {
    let stack = stack().await;
    let (ada, bob, eve) = (stack.account("Ada").await, stack.account("Bob").await, stack.account("Eve").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let (mut phone, _) = Person::online(&stack.address, &bob, None).await;
    let crowd = a.group(&[&bob, &eve], "crowd").await;
    let seq = &a.say(&crowd, "who has read this?").await["seq"];
    let asked = json!({"conversation": crowd, "seq": seq});
    assert_eq!(a.ok("receipts", asked.clone()).await, json!({"seq": seq, "read": 1, "delivered": 1, "members": 3}));
    b.ok("delivered", asked.clone()).await;
    let delivered = json!({"seq": seq, "read": 1, "delivered": 2, "members": 3});
    assert_eq!(b.ok("receipts", asked.clone()).await, delivered);
    b.ok("read", asked.clone()).await;
    let own = phone.event("receipt.read").await;
    assert_eq!(own["data"], json!({"user": bob.user, "seq": seq}), "one's own devices hear of it");
    // Whatever was pushed of that comes before this.
    let position = b.say(&crowd, "I have").await["position"].as_i64().expect("a position");
    a.wait_until_position(&crowd, position).await;
    for kind in ["receipt.read", "receipt.delivered"] {
        assert_eq!(pushed(&a, kind), Vec::<&Value>::new());
    }
    let read = json!({"seq": seq, "read": 2, "delivered": 2, "members": 3});
    assert_eq!(a.ok("receipts", asked.clone()).await, read);
    assert_eq!(stack.post(&ada, "receipts", asked.clone()).await, (200, read));
    assert_eq!(a.code("receipts", json!({"conversation": crowd, "seq": 99})).await, "not_found");
    assert_eq!(a.code("receipts", json!({"conversation": crowd, "seq": 0})).await, "bad_request");

    a.ok("member.remove", json!({"conversation": crowd, "users": [eve.user]})).await;
    let (mut e, _) = Person::online(&stack.address, &eve, None).await;
    assert_eq!(e.code("receipts", asked.clone()).await, "not_a_member");
    // Now they are a few.
    let answer = a.ok("receipts", asked).await;
    let mut users = answer["users"].as_array().expect("who they are").clone();
    users.sort_by_key(|user| user["user"] != json!(ada.user));
    assert_eq!(users[0], json!({"user": ada.user, "read_seq": 1, "delivered_seq": 1}));
    assert_eq!(users[1], json!({"user": bob.user, "read_seq": 2, "delivered_seq": 2}));
    b.ok("read", json!({"conversation": crowd, "seq": 2})).await;
    a.ok("read", json!({"conversation": crowd, "seq": 2})).await;
    let heard = b.wait("Ada's receipt", |f| f["type"] == "receipt.read" && f["data"]["user"] == ada.user).await;
    assert_eq!(heard["data"]["seq"], 2);
}

#[tokio::test]
async fn of_many_nobody_is_shown_to_type() {
    let stack = stack().await;
    let (ada, bob, eve) = (stack.account("Ada").await, stack.account("Bob").await, stack.account("Eve").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let crowd = a.group(&[&bob, &eve], "crowd").await;
    let partitions = stack.setting("TIDINGS_KAFKA__PARTITIONS").parse().expect("a number");
    let few = group_beside(&mut a, &[&bob], &crowd, partitions).await;
    b.ok("typing", json!({"conversation": crowd, "active": true})).await;
    for active in [true, true, false] {
        b.ok("typing", json!({"conversation": few, "active": active})).await;
    }
    let typing = a.event("typing").await;
    assert_eq!(typing["conversation"], few, "the crowd's would have come first");
    assert_eq!(typing["data"], json!({"user": bob.user, "active": true, "expires_in_ms": 8_000}));
    let stopped = a.event("typing").await;
    assert_eq!(stopped["data"], json!({"user": bob.user, "active": false}), "the second time was not passed on");
}
