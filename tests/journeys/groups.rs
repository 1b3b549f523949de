//! Groups: members come and go while people send.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Person, Stack};

#[tokio::test]
async fn a_group_of_50_with_joins_and_leaves_while_people_send() {
    let stack = Stack::shared().await;
    let accounts = stack.accounts("member", 50).await;
    let mut people = Vec::new();
    for account in &accounts {
        people.push(Person::online(&stack.address, account, None).await.0);
    }
    let first: Vec<_> = accounts[1..40].iter().map(|a| a.user.clone()).collect();
    let created = people[0]
        .ok(
            "conversation.create",
            json!({"kind": "group", "name": "fifty", "members": first, "client_id": uuid::Uuid::now_v7()}),
        )
        .await;
    let group = created["conversation"].as_str().expect("an id").to_owned();

    // Ten join, ten leave, and the other thirty send, all at once.
    let owner = people.remove(0);
    let leavers = people.split_off(39 - 10);
    let (leavers, joiners) = {
        let mut l = leavers;
        let j = l.split_off(10);
        (l, j)
    };
    let joining: Vec<_> = joiners.iter().map(|p| p.account.user.clone()).collect();
    let adding = tokio::spawn({
        let group = group.clone();
        async move {
            let mut owner = owner;
            for user in joining {
                owner.ok("member.add", json!({"conversation": group, "users": [user]})).await;
                owner.say(&group, "welcome").await;
            }
            owner
        }
    });
    let leaving = leavers.into_iter().map(|mut person| {
        let group = group.clone();
        tokio::spawn(async move {
            person.say(&group, "goodbye").await;
            person.ok("conversation.leave", json!({"conversation": group})).await;
            person
        })
    });
    let leaving: Vec<_> = leaving.collect();
    let sending = people.into_iter().enumerate().map(|(n, mut person)| {
        let group = group.clone();
        tokio::spawn(async move {
            for i in 0..5 {
                person.say(&group, &format!("{n}: {i}")).await;
            }
            person
        })
    });
    let sending: Vec<_> = sending.collect();
    let mut owner = adding.await.expect("adds");
    let mut gone = Vec::new();
    for task in leaving {
        gone.push(task.await.expect("leaves"));
    }
    let mut staying = joiners;
    for task in sending {
        staying.push(task.await.expect("sends"));
    }
    let end = owner.say(&group, "the end").await;
    let last_position = end["position"].as_i64().expect("a position");
    assert_eq!(end["seq"], 10 + 10 + 29 * 5 + 1);

    // The log is whole, and everybody saw exactly their part of it, in order.
    let log = all_events(&mut owner, &group).await;
    assert_eq!(log.keys().copied().collect::<Vec<_>>(), (1..=last_position).collect::<Vec<_>>());
    for person in &mut staying {
        person.wait_until_position(&group, last_position).await;
        let seen = person.positions(&group);
        let user = &person.account.user;
        let joined = log.iter().find(|(_, e)| names(e, user)).map_or(1, |(p, _)| *p);
        assert_eq!(seen, (joined..=last_position).collect::<Vec<_>>(), "{user}");
    }
    for person in &mut gone {
        let user = person.account.user.clone();
        let left = log
            .iter()
            .find(|(_, e)| e["type"] == "member.left" && e["data"]["users"] == json!([user]))
            .map(|(p, _)| *p)
            .expect("left");
        person.wait_until_position(&group, left).await;
        person.settle().await;
        assert_eq!(person.positions(&group), (1..=left).collect::<Vec<_>>(), "nothing after the leave");
    }
    let members = owner.ok("inbox", json!({})).await["conversations"][0]["members_count"].clone();
    assert_eq!(members, 40);
}

fn names(event: &Value, user: &str) -> bool {
    let list = if event["type"] == "member.joined" { &event["data"]["users"] } else { &event["data"]["members"] };
    list.to_string().contains(user)
}

async fn all_events(person: &mut Person, conversation: &str) -> BTreeMap<i64, Value> {
    let mut events = BTreeMap::new();
    let mut after = 0;
    loop {
        let page =
            person.ok("events", json!({"conversation": conversation, "after_position": after, "limit": 50})).await;
        let list = page["events"].as_array().expect("events");
        if list.is_empty() {
            return events;
        }
        for event in list {
            after = event["position"].as_i64().expect("a position");
            events.insert(after, event.clone());
        }
    }
}

#[tokio::test]
async fn a_removed_member_neither_sends_nor_receives_from_the_next_message_on() {
    let stack = Stack::shared().await;
    let (ada, bob, eve) = (stack.account("Ada").await, stack.account("Bob").await, stack.account("Eve").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let (mut e, _) = Person::online(&stack.address, &eve, None).await;
    let group = a.group(&[&bob, &eve], "three").await;
    e.say(&group, "I am here").await;
    // Sent without waiting: the removal is ordered before the message.
    let removal = a.start("member.remove", json!({"conversation": group, "users": [eve.user]})).await;
    let sent = a.start("message.send", crate::support::message(&group, "without Eve", uuid::Uuid::now_v7())).await;
    let (removal, sent) = (a.reply(removal).await.expect("removed"), a.reply(sent).await.expect("sent"));
    assert_eq!(sent["position"].as_i64(), removal["position"].as_i64().map(|p| p + 1));
    let left = e.event("member.left").await;
    assert_eq!((&left["data"]["users"], &left["data"]["reason"]), (&json!([eve.user]), &json!("removed")));
    b.message("without Eve").await;
    assert_eq!(
        e.code("message.send", crate::support::message(&group, "still here?", uuid::Uuid::now_v7())).await,
        "not_a_member"
    );
    for (kind, data) in [
        ("history", json!({"conversation": group})),
        ("events", json!({"conversation": group, "after_position": 0})),
        ("read", json!({"conversation": group, "seq": 1})),
    ] {
        assert_eq!(e.code(kind, data).await, "not_a_member", "{kind}");
    }
    e.settle().await;
    assert!(!e.pushed.iter().any(|f| f["data"]["text"] == "without Eve"), "{:?}", e.pushed);
    // Added again, Eve starts at the newest message.
    a.ok("member.add", json!({"conversation": group, "users": [eve.user]})).await;
    e.event("member.joined").await;
    let entry = e.inbox_entry(&group).await;
    assert_eq!((&entry["unread"], &entry["read_seq"]), (&json!(0), &entry["last_seq"]));
    assert!(entry.get("left").is_none_or(|left| left == false), "{entry}");
}

#[tokio::test]
async fn roles_decide_who_manages_members() {
    let stack = Stack::shared().await;
    let (ada, bob, eve) = (stack.account("Ada").await, stack.account("Bob").await, stack.account("Eve").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let group = a.group(&[&bob], "roles").await;
    b.event("conversation.created").await;
    assert_eq!(b.code("member.add", json!({"conversation": group, "users": [eve.user]})).await, "forbidden");
    assert_eq!(b.code("member.remove", json!({"conversation": group, "users": [ada.user]})).await, "forbidden");
    let (mut e, _) = Person::online(&stack.address, &eve, None).await;
    assert_eq!(e.code("conversation.join", json!({"conversation": group})).await, "forbidden");
    let again = a.ok("member.add", json!({"conversation": group, "users": [bob.user]})).await;
    assert_eq!((&again["duplicate"], &again["position"]), (&json!(true), &json!(1)));
    // The last owner leaves: Bob is owner now.
    a.ok("conversation.leave", json!({"conversation": group})).await;
    b.event("member.left").await;
    b.ok("member.add", json!({"conversation": group, "users": [eve.user]})).await;
    // A channel can be joined.
    let channel = b
        .ok(
            "conversation.create",
            json!({"kind": "channel", "name": "open", "members": [], "client_id": uuid::Uuid::now_v7()}),
        )
        .await;
    e.ok("conversation.join", json!({"conversation": channel["conversation"]})).await;
    // Its owner writes, everybody reads.
    let channel = channel["conversation"].as_str().expect("an id");
    b.say(channel, "welcome").await;
    e.message("welcome").await;
    let thanks = crate::support::message(channel, "thanks", uuid::Uuid::now_v7());
    assert_eq!(e.code("message.send", thanks).await, "forbidden");
    e.ok("reaction.add", json!({"conversation": channel, "seq": 1, "emoji": "🙏"})).await;
}
