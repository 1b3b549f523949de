//! What a conversation shows of itself, who is what in it, and how each member sees it.

use serde_json::{Value, json};

use crate::support::{Account, Person, Stack};

async fn three(stack: &Stack) -> (Vec<Account>, Vec<Person>) {
    let mut accounts = Vec::new();
    let mut people = Vec::new();
    for name in ["Ada", "Bob", "Eve"] {
        let account = stack.account(name).await;
        people.push(Person::online(&stack.address, &account, None).await.0);
        accounts.push(account);
    }
    (accounts, people)
}

fn update(conversation: &str, data: Value) -> Value {
    let mut data = data;
    data["conversation"] = json!(conversation);
    data
}

#[tokio::test]
async fn name_topic_and_picture_change_and_go() {
    let stack = Stack::shared().await;
    let (accounts, mut people) = three(stack).await;
    let group = people[0].group(&[&accounts[1]], "old name").await;
    let set = json!({"name": "new name", "topic": "plans", "picture": "https://example.org/cat.png"});
    people[0].ok("conversation.update", update(&group, set.clone())).await;
    assert_eq!(people[1].event("conversation.updated").await["data"], set);
    let entry = people[1].inbox_entry(&group).await;
    assert_eq!((&entry["name"], &entry["topic"], &entry["picture"]), (&set["name"], &set["topic"], &set["picture"]));
    people[0].ok("conversation.update", update(&group, json!({"topic": null}))).await;
    assert_eq!(people[1].event("conversation.updated").await["data"], json!({"topic": null}));
    let entry = people[1].inbox_entry(&group).await;
    assert_eq!((&entry["name"], &entry["topic"]), (&json!("new name"), &json!(null)));
    assert_eq!(people[0].ok("conversation.update", update(&group, json!({}))).await["duplicate"], true);
    let by_member = update(&group, json!({"name": "mine"}));
    assert_eq!(people[1].code("conversation.update", by_member).await, "forbidden");
    let long = update(&group, json!({"name": "x".repeat(300)}));
    assert_eq!(people[0].code("conversation.update", long).await, "too_large");
}

#[tokio::test]
async fn ownership_is_handed_on_and_roles_say_what_one_may() {
    let stack = Stack::shared().await;
    let (accounts, mut people) = three(stack).await;
    let group = people[0].group(&[&accounts[1], &accounts[2]], "crew").await;
    let role = |user: &Account, role: &str| json!({"conversation": group, "user": user.user, "role": role});
    assert_eq!(people[0].code("member.role", role(&accounts[0], "member")).await, "conflict", "the last owner");
    people[0].ok("member.role", role(&accounts[1], "owner")).await;
    assert_eq!(people[2].event("member.role").await["data"], json!({"user": accounts[1].user, "role": "owner"}));
    people[0].ok("member.role", role(&accounts[0], "member")).await;
    assert_eq!(people[0].code("member.role", role(&accounts[2], "admin")).await, "forbidden");
    people[1].ok("member.role", role(&accounts[2], "admin")).await;
    assert_eq!(people[2].ok("member.role", role(&accounts[0], "guest")).await["duplicate"], false);
    assert_eq!(people[0].inbox_entry(&group).await["role"], "guest");
    assert_eq!(people[2].code("member.role", role(&accounts[1], "guest")).await, "forbidden");
}

#[tokio::test]
async fn who_joins_later_sees_the_past_only_where_it_is_shown() {
    let stack = Stack::shared().await;
    let (accounts, mut people) = three(stack).await;
    let group = people[0].group(&[&accounts[1]], "crew").await;
    people[0].say(&group, "before").await;
    people[0].ok("conversation.update", update(&group, json!({"history": "since_join"}))).await;
    let add = json!({"conversation": group, "users": [accounts[2].user]});
    people[0].ok("member.add", add).await;
    let joined = people[2].event("member.joined").await["position"].clone();
    let eve = &mut people[2];
    let history = json!({"conversation": group});
    assert_eq!(eve.ok("history", history.clone()).await, json!({"messages": [], "has_more": false}));
    assert_eq!(eve.inbox_entry(&group).await["last_message"], json!(null));
    let page = eve.ok("events", json!({"conversation": group, "after_position": 0})).await;
    assert_eq!(page["events"].as_array().map(Vec::len), Some(1), "{page}");
    assert_eq!(page["events"][0]["position"], joined);
    let old = json!({"conversation": group, "seq": 1, "emoji": "👍"});
    assert_eq!(eve.code("reaction.add", old.clone()).await, "bad_request");
    people[0].say(&group, "after").await;
    people[2].message("after").await;
    let texts = |page: Value| -> Vec<Value> {
        page["messages"].as_array().expect("messages").iter().map(|message| message["text"].clone()).collect()
    };
    assert_eq!(texts(people[2].ok("history", history.clone()).await), ["after"]);
    assert_eq!(texts(people[1].ok("history", history.clone()).await), ["after", "before"]);
    people[0].ok("conversation.update", update(&group, json!({"history": "all"}))).await;
    people[2].event("conversation.updated").await;
    assert_eq!(texts(people[2].ok("history", history).await), ["after", "before"]);
    people[2].ok("reaction.add", old).await;
}

#[tokio::test]
async fn pointers_tell_who_got_and_who_read_a_message() {
    let stack = Stack::shared().await;
    let (accounts, mut people) = three(stack).await;
    let direct = people[0].direct(&accounts[1]).await;
    people[0].say(&direct, "one").await;
    people[0].say(&direct, "two").await;
    let pointer = |seq: u64| json!({"conversation": direct, "seq": seq});
    people[1].ok("delivered", pointer(2)).await;
    let expected = json!({"user": accounts[1].user, "seq": 2});
    assert_eq!(people[0].event("receipt.delivered").await["data"], expected);
    people[1].ok("read", pointer(1)).await;
    assert_eq!(people[0].event("receipt.read").await["data"], json!({"user": accounts[1].user, "seq": 1}));
    people[1].ok("delivered", pointer(1)).await;
    assert_eq!(people[1].code("delivered", pointer(3)).await, "bad_request");
    assert_eq!(people[2].code("delivered", pointer(1)).await, "not_a_member");
    let entry = people[1].inbox_entry(&direct).await;
    assert_eq!((&entry["read_seq"], &entry["unread"]), (&json!(1), &json!(1)), "delivered is not read");
}

#[tokio::test]
async fn settings_drafts_and_hidden_messages_are_in_step_between_devices_and_nobody_elses() {
    let stack = Stack::shared().await;
    let (accounts, mut people) = three(stack).await;
    let (mut phone, _) = Person::online(&stack.address, &accounts[1], None).await;
    let group = people[0].group(&[&accounts[1]], "crew").await;
    people[0].say(&group, "one").await;
    phone.message("one").await;
    let laptop = &mut people[1];
    laptop.message("one").await;
    let set = |data: Value| update(&group, data);
    laptop.ok("conversation.settings", set(json!({"pinned": true, "archived": true, "notify": "mentions"}))).await;
    let changed = phone.wait("the settings", |frame| frame["type"] == "inbox.changed").await["data"].clone();
    assert_eq!(changed["conversation"], group);
    assert_eq!(
        (&changed["pinned"], &changed["archived"], &changed["notify"]),
        (&json!(true), &json!(true), &json!("mentions"))
    );
    laptop.ok("draft.set", set(json!({"text": "Dear Ada"}))).await;
    let changed = phone.wait("the draft", |frame| frame["type"] == "inbox.changed").await["data"].clone();
    assert_eq!(changed["draft"], "Dear Ada");
    laptop.ok("message.delete", set(json!({"seq": 1, "scope": "me"}))).await;
    let hidden = phone.event("message.hidden").await;
    assert_eq!((&hidden["conversation"], &hidden["data"]["seqs"]), (&json!(group), &json!([1])));
    let page = phone.ok("history", json!({"conversation": group})).await;
    assert_eq!(page["messages"], json!([{"conversation": group, "seq": 1, "deleted": true}]));
    let page = phone.ok("events", json!({"conversation": group, "after_position": 0})).await;
    assert!(!page.to_string().contains("\"one\""), "{page}");

    let ada = people[0].inbox_entry(&group).await;
    assert_eq!((&ada["pinned"], &ada["archived"], &ada["draft"]), (&json!(false), &json!(false), &json!(null)));
    let page = people[0].ok("history", json!({"conversation": group})).await;
    assert_eq!(page["messages"][0]["text"], "one");
    people[0].settle().await;
    assert!(!people[0].pushed.iter().any(|f| f["type"] == "message.hidden" || f["type"] == "inbox.changed"));

    // A new message brings it back, unless it is muted.
    people[0].say(&group, "two").await;
    phone.message("two").await;
    assert_eq!(phone.inbox_entry(&group).await["archived"], false);
    let muted = json!({"muted_until": "2999-01-01T00:00:00.000Z", "archived": true});
    phone.ok("conversation.settings", set(muted)).await;
    people[0].say(&group, "three").await;
    phone.message("three").await;
    let entry = phone.inbox_entry(&group).await;
    assert_eq!((&entry["archived"], &entry["muted_until"]), (&json!(true), &json!("2999-01-01T00:00:00.000Z")));
    phone.ok("conversation.settings", set(json!({"muted_until": null}))).await;
    assert_eq!(phone.inbox_entry(&group).await["archived"], false);
    assert_eq!(phone.code("conversation.settings", set(json!({"muted_until": "tomorrow"}))).await, "bad_request");

    // Who was away learns of it like of any change.
    let (_, caught_up) = Person::online(&stack.address, &accounts[1], None).await;
    let cursor = caught_up["cursor"].as_str().expect("a cursor").to_owned();
    phone.ok("draft.set", set(json!({"text": null}))).await;
    let (mut tablet, caught_up) = Person::online(&stack.address, &accounts[1], Some(&cursor)).await;
    assert_eq!(caught_up["reset"], json!(null));
    let told = tablet.wait("the change", |frame| frame["type"] == "inbox.changed").await["data"].clone();
    assert_eq!((&told["conversation"], &told["draft"]), (&json!(group), &json!(null)));
}

/// All pages of one conversation each.
async fn listed(person: &mut Person, mut data: Value) -> Vec<String> {
    let mut found = Vec::new();
    data["limit"] = json!(1);
    loop {
        let page = person.ok("inbox", data.clone()).await;
        let conversations = page["conversations"].as_array().expect("a list");
        found.extend(conversations.iter().map(|one| one["conversation"].as_str().expect("an id").to_owned()));
        if page["has_more"] == false {
            return found;
        }
        data["cursor"] = page["cursor"].clone();
    }
}

#[tokio::test]
async fn the_list_has_pinned_ones_first_and_archived_ones_apart() {
    let stack = Stack::shared().await;
    let (accounts, mut people) = three(stack).await;
    let mut groups = Vec::new();
    for name in ["oldest", "old", "new", "newest"] {
        groups.push(people[0].group(&[&accounts[1]], name).await);
    }
    let [oldest, old, new, newest] = groups.try_into().expect("four");
    let ada = &mut people[0];
    assert_eq!(listed(ada, json!({})).await, [&*newest, &new, &old, &oldest]);
    for (group, settings) in [(&oldest, json!({"pinned": true})), (&new, json!({"archived": true}))] {
        ada.ok("conversation.settings", update(group, settings)).await;
    }
    assert_eq!(listed(ada, json!({})).await, [&*oldest, &newest, &new, &old]);
    assert_eq!(listed(ada, json!({"archived": false})).await, [&*oldest, &newest, &old]);
    assert_eq!(listed(ada, json!({"archived": true})).await, [&*new]);
    let mut by_id = vec![oldest.clone(), old.clone(), new.clone(), newest.clone()];
    by_id.sort_unstable();
    assert_eq!(listed(ada, json!({"order": "id"})).await, by_id);
    by_id.retain(|id| *id != new);
    assert_eq!(listed(ada, json!({"order": "id", "archived": false})).await, by_id);
    let page = ada.ok("inbox", json!({"limit": 1})).await;
    let other = json!({"order": "id", "cursor": page["cursor"]});
    assert_eq!(ada.code("inbox", other).await, "bad_request", "a cursor is of one order");

    // A message brings it back, and to the top; unless it is muted.
    people[1].say(&old, "hello").await;
    people[1].say(&new, "hello").await;
    let ada = &mut people[0];
    assert_eq!(listed(ada, json!({"archived": false})).await, [&*oldest, &new, &old, &newest]);
    let away = json!({"archived": true, "muted_until": "2999-01-01T00:00:00.000Z"});
    ada.ok("conversation.settings", update(&old, away)).await;
    people[1].say(&old, "hello again").await;
    assert_eq!(listed(&mut people[0], json!({"archived": false})).await, [&*oldest, &new, &newest]);
    assert_eq!(listed(&mut people[0], json!({"archived": true})).await, [&*old]);
}
