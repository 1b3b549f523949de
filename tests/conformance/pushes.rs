//! Every push that is described comes, and as it is described.

use std::collections::BTreeSet;

use serde_json::json;
use uuid::Uuid;

use crate::stage::Stage;
use crate::support::spec::documents;
use crate::support::{Account, Person};

/// Who hears a push.
#[derive(Clone, Copy)]
enum By {
    Bob,
    /// Ada's other device.
    Ada,
}

use By::{Ada, Bob};

/// What Ada does, in this order, with what of it is heard by whom.
const HEARD: &[(&str, &str, &str, By)] = &[
    // Before she sends: who sends has read.
    ("delivered", r#"{"seq": 5}"#, "receipt.delivered", Bob),
    ("read", r#"{"seq": 5}"#, "receipt.read", Bob),
    ("thread.read", r#"{"thread": 1, "thread_seq": 1}"#, "thread.read", Ada),
    (
        "message.send",
        r#"{"client_id": "<new>", "text": "new", "reply_to": 2, "mentions": ["<bob>"]}"#,
        "message.sent",
        Bob,
    ),
    ("message.edit", r#"{"seq": 6, "text": "New", "mentions": ["all"]}"#, "message.edited", Bob),
    ("reaction.add", r#"{"seq": 6, "emoji": "👍"}"#, "reaction.added", Bob),
    ("reaction.remove", r#"{"seq": 6, "emoji": "👍"}"#, "reaction.removed", Bob),
    ("message.pin", r#"{"seq": 6}"#, "message.pinned", Bob),
    ("message.unpin", r#"{"seq": 6}"#, "message.unpinned", Bob),
    ("message.delete", r#"{"seq": 6, "scope": "everyone"}"#, "message.deleted", Bob),
    ("message.delete", r#"{"seq": 2, "scope": "me"}"#, "message.hidden", Ada),
    ("location.update", r#"{"seq": 3, "location": {"lat": 47.5, "lon": 8.5}}"#, "location.updated", Bob),
    ("poll.vote", r#"{"seq": 4, "options": [1]}"#, "poll.voted", Bob),
    ("poll.close", r#"{"seq": 4}"#, "poll.closed", Bob),
    ("typing", r#"{"active": true}"#, "typing", Bob),
    ("conversation.settings", r#"{"pinned": true}"#, "inbox.changed", Ada),
    ("draft.set", r#"{"text": "Dear all"}"#, "inbox.changed", Ada),
    ("conversation.update", r#"{"name": "New", "topic": "All"}"#, "conversation.updated", Bob),
    ("conversation.update", r#"{"name": null, "slow_mode_ms": 5, "frozen": true}"#, "conversation.updated", Bob),
    ("member.add", r#"{"users": ["<carol>"]}"#, "member.joined", Bob),
    ("member.role", r#"{"user": "<bob>", "role": "admin"}"#, "member.role", Bob),
    ("member.mute", r#"{"users": ["<carol>"], "until": "2030-01-01T00:00:00.000Z"}"#, "member.muted", Bob),
    ("member.unmute", r#"{"users": ["<carol>"]}"#, "member.unmuted", Bob),
    ("member.ban", r#"{"users": ["<carol>"], "until": "2030-01-01T00:00:00.000Z"}"#, "member.left", Bob),
    ("member.unban", r#"{"users": ["<carol>"]}"#, "member.unbanned", Bob),
    ("conversation.leave", "{}", "member.left", Bob),
];

#[tokio::test]
async fn every_push_comes_as_it_is_described() {
    let mut stage = Stage::new().await;
    let mut heard: BTreeSet<_> = ["caught_up", "conversation.created"].map(str::to_owned).into();
    stage.b.event("conversation.created").await;
    stage.b.message("first").await;
    let group = stage.group.clone();
    stage.a.ok("invite.revoke", json!({ "conversation": group, "invite": stage.invite["invite"] })).await;
    stage.a.ok("conversation.update", json!({ "conversation": group, "join": "request" })).await;
    stage.stack.post(&stage.carol, "conversation.join", json!({ "conversation": group })).await;
    stage.a.ok("member.decline", json!({ "conversation": group, "users": [stage.carol.user] })).await;
    for push in ["invite.created", "invite.revoked", "member.requested", "member.declined"] {
        stage.b.event(push).await;
        heard.insert(push.to_owned());
    }
    for (command, data, push, by) in HEARD {
        let data = data.replace("<bob>", &stage.bob.user).replace("<carol>", &stage.carol.user);
        let mut data: serde_json::Value =
            serde_json::from_str(&data.replace("<new>", &Uuid::now_v7().to_string())).expect("JSON");
        data["conversation"] = json!(group);
        stage.a.ok(command, data).await;
        match by {
            Bob => stage.b.event(push).await,
            Ada => stage.a2.event(push).await,
        };
        heard.insert((*push).to_owned());
    }
    stage.a.ok("privacy.set", json!({ "last_seen": "contacts" })).await;
    stage.a2.wait("her privacy", |frame| frame["type"] == "privacy.changed").await;
    heard.insert("privacy.changed".to_owned());
    stage.a.ok("presence.watch", json!({ "users": [stage.bob.user] })).await;
    stage.b.ok("presence.set", json!({ "status": "away" })).await;
    stage.a.wait("Bob away", |frame| frame["type"] == "presence" && frame["data"]["status"] == "away").await;
    heard.insert("presence".to_owned());

    let path = format!("/v1/users/{}/tokens", stage.ada.user);
    let (_, minted) = stage.stack.post_as_backend(&path, json!({ "ttl_ms": 2_000 })).await;
    let token = minted["access_token"].as_str().expect("a token").to_owned();
    let short = Account { token, ..stage.ada.clone() };
    let (mut short, _) = Person::online(&stage.stack.address, &short, None).await;
    assert_eq!(short.close_code().await, 4040);
    heard.extend(short.pushed.iter().filter_map(|frame| frame["type"].as_str()).map(str::to_owned));

    let described = documents().asyncapi["components"]["messages"].as_object().expect("messages").keys();
    let described: BTreeSet<_> = described.filter_map(|name| name.strip_prefix("push.")).map(str::to_owned).collect();
    assert_eq!(heard, described);
}
