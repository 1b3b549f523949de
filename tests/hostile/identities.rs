//! Ids of others: whoever is of another tenant hears what is said of an id that does not exist, word for word; whoever is no member
//! hears only that.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tidings::gateway::commands::Command;
use uuid::Uuid;

use crate::support::{Account, Person, Stack, message};

const NOTHING: &str = "cnv_00000000000000000000000000";
const NOBODY: &str = "usr_00000000000000000000000000";
const SECRET: &str = "the secret plan";

/// What stands in a command or path for the id of a conversation, and of a user.
fn asked(kind: &str, conversation: &str, user: &str) -> Option<Value> {
    let of_members = json!({ "conversation": conversation, "users": [user] });
    Some(match kind {
        "message.send" => message(conversation, "hello?", Uuid::now_v7()),
        "message.edit" => json!({ "conversation": conversation, "seq": 1, "text": "mine" }),
        "message.delete" => json!({ "conversation": conversation, "seq": 1, "scope": "everyone" }),
        "reaction.add" | "reaction.remove" => json!({ "conversation": conversation, "seq": 1, "emoji": "👍" }),
        "message.report" => json!({ "conversation": conversation, "seq": 1, "reason": "spam", "comment": "why" }),
        "report.resolve" => json!({ "conversation": conversation, "seq": 1, "outcome": "dismissed" }),
        "read" | "delivered" | "message.pin" | "message.unpin" | "message.get" | "poll.close" | "receipts" => {
            json!({ "conversation": conversation, "seq": 1 })
        }
        "conversation.update" => json!({ "conversation": conversation, "name": "mine" }),
        "conversation.settings" => json!({ "conversation": conversation, "pinned": true }),
        "location.update" => json!({ "conversation": conversation, "seq": 1, "location": { "lat": 1, "lon": 2 } }),
        "poll.vote" => json!({ "conversation": conversation, "seq": 1, "options": [0] }),
        "thread.read" => json!({ "conversation": conversation, "thread": 1, "thread_seq": 1 }),
        "draft.set" => json!({ "conversation": conversation, "text": "mine" }),
        "member.role" => json!({ "conversation": conversation, "user": user, "role": "owner" }),
        "permissions" => json!({ "conversation": conversation, "user": user, "action": "send", "target": user }),
        "block" | "unblock" => json!({ "user": user }),
        "typing" => json!({ "conversation": conversation, "active": true }),
        "conversation.join" | "conversation.leave" | "pins" | "threads" => json!({ "conversation": conversation }),
        "member.add" | "member.remove" | "member.decline" | "member.ban" | "member.unban" | "member.mute"
        | "member.unmute" => of_members,
        "conversation.create" => json!({ "kind": "direct", "members": [user], "client_id": Uuid::now_v7() }),
        "presence.watch" | "presence.unwatch" => json!({ "users": [user] }),
        "invite.create" | "invites" | "requests" => json!({ "conversation": conversation }),
        "invite.revoke" => json!({ "conversation": conversation, "invite": "inv_00000000000000000000000000" }),
        "invite.accept" => json!({ "link": format!("{conversation}.lnk_00000000000000000000000000") }),
        "search" => json!({ "conversation": conversation, "sender": user, "text": "secret plan" }),
        "history" => json!({ "conversation": conversation }),
        "events" => json!({ "conversation": conversation, "after_position": 0 }),
        // No id of others in them.
        "ping" | "auth.refresh" | "presence.set" | "privacy" | "privacy.set" | "inbox" | "blocks" | "channels"
        | "reports" => {
            return None;
        }
        other => panic!("{other} may name something of others: say here what"),
    })
}

const PATHS: &[&str] = &[
    "/v1/conversations/{conversation}",
    "/v1/conversations/{conversation}/messages",
    "/v1/conversations/{conversation}/messages/1",
    "/v1/conversations/{conversation}/threads",
    "/v1/conversations/{conversation}/events?after_position=0",
    "/v1/conversations/{conversation}/members",
    "/v1/conversations/{conversation}/pins",
    "/v1/conversations/{conversation}/permissions?action=send&user={user}",
    "/v1/users/{user}",
];

/// The answers to everything with an id in it, over a socket and over HTTP, with the ids themselves left out.
async fn answers(stack: &Stack, asker: &Account, conversation: &str, user: &str) -> Vec<(String, String)> {
    let (mut person, _) = Person::online(&stack.address, asker, None).await;
    let mut answers = Vec::new();
    let hide = |answer: &dyn std::fmt::Display| answer.to_string().replace(conversation, "CNV").replace(user, "USR");
    for kind in Command::NAMES {
        let Some(data) = asked(kind, conversation, user) else { continue };
        let answer = person.call(kind, data.clone()).await.unwrap_or_else(|error| error);
        answers.push(((*kind).to_owned(), hide(&answer)));
        let (status, answer) = stack.post(asker, kind, asked(kind, conversation, user).expect("as before")).await;
        answers.push((format!("POST {kind}"), hide(&format!("{status} {answer}"))));
    }
    for path in PATHS {
        let (status, answer) =
            stack.get(&path.replace("{conversation}", conversation).replace("{user}", user), &asker.token).await;
        answers.push(((*path).to_owned(), hide(&format!("{status} {answer}"))));
    }
    answers
}

#[tokio::test]
async fn of_others_nobody_learns_more_than_of_nobody() {
    let stack = Stack::shared().await;
    let (ada, bob, eve) = (stack.account("Ada").await, stack.account("Bob").await, stack.account("Eve").await);
    let mallory = stack.other_tenant_account("Mallory").await;
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let direct = a.direct(&bob).await;
    let group = a.group(&[&bob], "The quiet crew").await;
    let channel =
        json!({ "kind": "channel", "name": "The open crew", "members": [bob.user], "client_id": Uuid::now_v7() });
    let channel = a.ok("conversation.create", channel).await["conversation"].as_str().expect("an id").to_owned();
    for conversation in [&direct, &group, &channel] {
        a.say(conversation, SECRET).await;
    }
    // All at once: who is not there is waited for, and Ada would be silent for too long.
    let of_others = join_all([&direct, &group, &channel].map(|c| answers(stack, &mallory, c, &bob.user)));
    let strangers = join_all([&direct, &group].map(|c| answers(stack, &eve, c, NOBODY)));
    let (of_nothing, of_others, strangers) =
        tokio::join!(answers(stack, &mallory, NOTHING, NOBODY), of_others, strangers);
    for (conversation, of_others) in [&direct, &group, &channel].into_iter().zip(&of_others) {
        for (nothing, others) in of_nothing.iter().zip(of_others) {
            assert_eq!(nothing, others, "of another tenant's {conversation}");
        }
    }
    for (direct, group) in strangers[0].iter().zip(&strangers[1]) {
        assert_eq!(direct, group, "it tells what sort of conversation it is");
        for secret in [SECRET, "crew", &ada.user, &bob.user, "last_seq", "members_count"] {
            assert!(!group.1.contains(secret), "{group:?} tells {secret}");
        }
    }
    // Over HTTP whoever is no member is told so or that there is nothing; nothing was done either.
    let all = strangers.concat();
    let refused = |answer: &str| ["not_a_member", "not_found", "forbidden"].iter().any(|code| answer.contains(code));
    let told: Vec<_> = all.iter().filter(|(_, answer)| !refused(answer)).collect();
    let harmless = |kind: &str| kind.contains("typing") || kind.contains("presence");
    assert!(told.iter().all(|(kind, _)| harmless(kind)), "{told:?}");
    // Nobody saw the stranger type, and nobody came or went.
    a.settle().await;
    assert!(!a.pushed.iter().any(|frame| frame["type"] == "typing"), "{:?}", a.pushed);
    for (conversation, members) in [(&direct, 2), (&group, 2), (&channel, 2)] {
        assert_eq!(a.inbox_entry(conversation).await["members_count"], members);
    }
}

#[tokio::test]
async fn a_moderator_learns_of_another_tenant_no_more_than_of_nothing() {
    let stack = Stack::shared().await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let mallory = stack.other_tenant_account("Mallory").await;
    stack.moderates(&mallory, true).await;
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let group = a.group(&[&bob], "The quiet crew").await;
    a.say(&group, SECRET).await;
    b.ok("message.report", json!({ "conversation": group, "seq": 1, "reason": "spam" })).await;
    let (of_nothing, of_others) =
        tokio::join!(answers(stack, &mallory, NOTHING, NOBODY), answers(stack, &mallory, &group, &bob.user));
    assert_eq!(of_nothing, of_others);
    let (_, queue) = stack.get("/v1/reports", &mallory.token).await;
    assert!(!queue.to_string().contains(&group), "{queue}");
}

#[tokio::test]
async fn a_key_of_one_tenant_opens_nothing_of_another() {
    let stack = Stack::shared().await;
    let mallory = stack.other_tenant_account("Mallory").await;
    let mut heard = Vec::new();
    let mut times = Vec::new();
    for user in [mallory.user.as_str(), NOBODY] {
        let asked = tokio::time::Instant::now();
        let (status, answer) = stack.post_as_backend(&format!("/v1/users/{user}/tokens"), json!({})).await;
        times.push(asked.elapsed());
        assert_eq!(status, 404, "{answer}");
        heard.push(answer.to_string().replace(user, "USR"));
    }
    assert_eq!(heard[0], heard[1]);
    // Both are waited for as if they were just being registered.
    assert!(times.iter().all(|time| time.as_millis() >= 1_000), "{times:?}");
}
