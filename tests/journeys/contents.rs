//! What messages hold beside text, and where they stand: threads, polls, places, contacts, forwards, messages that expire, links.

use serde_json::{Value, json};
use tidings::domain::Timestamp;
use uuid::Uuid;

use crate::support::{Person, Stack};

struct Crew {
    stack: &'static Stack,
    ada: Person,
    bob: Person,
    group: String,
}

impl Crew {
    async fn gather() -> Self {
        let stack = Stack::shared().await;
        let (a, b) = (stack.account("Ada").await, stack.account("Bob").await);
        let (mut ada, _) = Person::online(&stack.address, &a, None).await;
        let (bob, _) = Person::online(&stack.address, &b, None).await;
        let group = ada.group(&[&b], "The crew").await;
        Self { stack, ada, bob, group }
    }

    fn of(&self, mut data: Value) -> Value {
        data["conversation"] = json!(self.group);
        data
    }

    fn sending(&self, data: Value) -> Value {
        let mut data = self.of(data);
        data["client_id"] = json!(Uuid::now_v7());
        data
    }

    async fn shown(&mut self, seq: &Value) -> Value {
        let data = self.of(json!({ "seq": seq }));
        self.bob.ok("message.get", data).await
    }
}

fn from_now(ms: i64) -> String {
    Timestamp::now().plus(ms).to_string()
}

#[tokio::test]
async fn a_thread_has_its_own_unread() {
    let mut crew = Crew::gather().await;
    let root = crew.ada.say(&crew.group, "who brings cake?").await["seq"].clone();
    for text in ["me", "me too"] {
        let data = crew.sending(json!({ "text": text, "thread": root }));
        crew.bob.ok("message.send", data).await;
    }
    crew.ada.say(&crew.group, "beside the thread").await;
    let data = crew.of(json!({ "following": true }));
    let threads = crew.ada.ok("threads", data.clone()).await;
    let thread = &threads["threads"][0];
    assert_eq!((&thread["thread"], &thread["replies"], &thread["unread"]), (&root, &json!(2), &json!(2)), "{threads}");
    assert_eq!((&thread["root"]["text"], &threads["has_more"]), (&json!("who brings cake?"), &json!(false)));
    assert_eq!(crew.bob.ok("threads", data.clone()).await["threads"][0]["unread"], 0, "who writes has read it");
    assert_eq!(crew.shown(&root).await["replies"], 2);

    let read = crew.of(json!({ "thread": root, "thread_seq": 1 }));
    crew.ada.ok("thread.read", read.clone()).await;
    let told = crew.ada.wait("thread.read", |frame| frame["type"] == "thread.read").await;
    assert_eq!((&told["conversation"], &told["data"]["thread_seq"]), (&json!(crew.group), &json!(1)));
    assert_eq!(crew.ada.ok("threads", data.clone()).await["threads"][0]["unread"], 1);
    crew.ada.ok("thread.read", read).await;
    assert_eq!(crew.ada.ok("threads", data.clone()).await["threads"][0]["unread"], 1, "it never goes back");
    let beyond = crew.of(json!({ "thread": root, "thread_seq": 3 }));
    assert_eq!(crew.ada.code("thread.read", beyond).await, "bad_request");

    let page = crew.of(json!({ "thread": root, "after_seq": 0, "limit": 1 }));
    let page = crew.ada.ok("history", page).await;
    assert_eq!((&page["messages"][0]["text"], &page["messages"][0]["thread_seq"]), (&json!("me"), &json!(1)));
    assert_eq!(page["has_more"], true);
    let gone = crew.of(json!({ "seq": page["messages"][0]["seq"], "scope": "everyone" }));
    crew.bob.ok("message.delete", gone).await;
    let thread = crew.ada.ok("threads", data).await["threads"][0].clone();
    assert_eq!((&thread["replies"], &thread["last_thread_seq"]), (&json!(1), &json!(2)));
    let nested = crew.sending(json!({ "text": "deeper", "thread": thread["last_seq"] }));
    assert_eq!(crew.ada.code("message.send", nested).await, "bad_request");
}

#[tokio::test]
async fn votes_are_counted_once_for_everybody() {
    let mut crew = Crew::gather().await;
    let poll = json!({ "question": "When?", "options": ["Friday", "Saturday"] });
    let sending = crew.sending(json!({ "poll": poll }));
    let seq = crew.ada.ok("message.send", sending).await["seq"].clone();
    let shown = crew.shown(&seq).await["poll"].clone();
    assert_eq!((&shown["question"], &shown["voters"], &shown["mine"]), (&json!("When?"), &json!(0), &json!([])));
    assert_eq!(shown["options"], json!([{"text": "Friday", "votes": 0}, {"text": "Saturday", "votes": 0}]));

    let vote = |crew: &Crew, options: Value| crew.of(json!({ "seq": seq, "options": options }));
    let data = vote(&crew, json!([1]));
    crew.bob.ok("poll.vote", data.clone()).await;
    assert_eq!(crew.bob.ok("poll.vote", data).await["duplicate"], true);
    let heard = crew.ada.event("poll.voted").await;
    assert_eq!((&heard["actor"], &heard["data"]["options"]), (&json!(crew.bob.account.user), &json!([1])));
    for wrong in [json!([0, 1]), json!([2]), json!([-1]), json!([0, 0])] {
        let data = vote(&crew, wrong);
        assert_eq!(crew.ada.code("poll.vote", data).await, "bad_request");
    }
    let data = vote(&crew, json!([0]));
    crew.bob.ok("poll.vote", data.clone()).await;
    crew.ada.ok("poll.vote", data).await;
    let shown = crew.shown(&seq).await["poll"].clone();
    assert_eq!(shown["options"], json!([{"text": "Friday", "votes": 2}, {"text": "Saturday", "votes": 0}]), "instead");
    assert_eq!((&shown["voters"], &shown["mine"], &shown["closed"]), (&json!(2), &json!([0]), &json!(false)));

    let close = crew.of(json!({ "seq": seq }));
    assert_eq!(crew.bob.code("poll.close", close.clone()).await, "forbidden");
    crew.ada.ok("poll.close", close).await;
    let data = vote(&crew, json!([]));
    assert_eq!(crew.bob.code("poll.vote", data).await, "conflict");
    assert_eq!(crew.shown(&seq).await["poll"]["closed"], true);
}

#[tokio::test]
async fn a_live_location_moves_until_its_end() {
    let mut crew = Crew::gather().await;
    let place = json!({ "lat": 47.3769, "lon": 8.5417, "accuracy_m": 12.5 });
    let sending = crew.sending(json!({ "location": place }));
    let still = crew.ada.ok("message.send", sending).await["seq"].clone();
    assert_eq!(crew.shown(&still).await["location"], place);
    let moved = |crew: &Crew, seq: &Value, location: Value| crew.of(json!({ "seq": seq, "location": location }));
    let data = moved(&crew, &still, place);
    assert_eq!(crew.ada.code("location.update", data).await, "conflict", "it was never live");

    let live_until = from_now(3_600_000);
    let sending = crew.sending(json!({ "location": { "lat": 1.0, "lon": 2.0, "live_until": live_until } }));
    let seq = crew.ada.ok("message.send", sending).await["seq"].clone();
    let data = moved(&crew, &seq, json!({ "lat": 1.5, "lon": 2.5 }));
    assert_eq!(crew.bob.code("location.update", data.clone()).await, "forbidden");
    crew.ada.ok("location.update", data).await;
    let event = crew.bob.event("location.updated").await;
    let expected = json!({ "lat": 1.5, "lon": 2.5, "live_until": live_until });
    assert_eq!(event["data"], json!({ "seq": seq, "location": expected }));
    assert_eq!(crew.shown(&seq).await["location"], expected);
    let now = from_now(0);
    let data = moved(&crew, &seq, json!({ "lat": 1.6, "lon": 2.6, "live_until": now }));
    crew.ada.ok("location.update", data.clone()).await;
    assert_eq!(crew.ada.code("location.update", data).await, "conflict", "it has ended");
    assert_eq!(crew.shown(&seq).await["location"], json!({ "lat": 1.6, "lon": 2.6, "live_until": now }));
    for wrong in [json!({ "lat": 91, "lon": 0 }), json!({ "lat": 0, "lon": -181 }), json!({ "lat": 0 })] {
        let sending = crew.sending(json!({ "location": wrong }));
        assert_eq!(crew.ada.code("message.send", sending).await, "bad_request");
    }
}

#[tokio::test]
async fn a_forward_names_who_wrote_it_first_and_nothing_else() {
    let mut crew = Crew::gather().await;
    let contact = json!({ "name": "Cyd", "phones": ["+41 44 000 00 00"], "emails": [], "user": crew.bob.account.user });
    let sending = crew.sending(json!({ "text": "write to Cyd", "contact": contact }));
    let sent = crew.ada.ok("message.send", sending).await;
    let edit = crew.of(json!({ "seq": sent["seq"], "text": "call Cyd" }));
    crew.ada.ok("message.edit", edit).await;
    let dot = crew.stack.account("Dot").await;
    let (mut d, _) = Person::online(&crew.stack.address, &dot, None).await;
    let direct = crew.bob.direct(&dot).await;
    let forward = forward_of(&crew.group, &sent["seq"]);
    let data = json!({ "conversation": direct, "client_id": Uuid::now_v7(), "forward": forward });
    assert_eq!(d.code("message.send", data.clone()).await, "not_a_member", "it reads what it may read");
    let mut first = crew.bob.ok("message.send", data.clone()).await;
    let heard = d.event("message.sent").await["data"].clone();
    assert_eq!((&heard["text"], &heard["contact"]), (&json!("call Cyd"), &contact));
    assert_eq!(heard["sender"], json!(crew.bob.account.user));
    assert_eq!(heard["forwarded"], json!({ "author": crew.ada.account.user, "at": sent["at"] }));
    assert!(!heard.to_string().contains(&crew.group), "{heard}");

    // And on: it is still the first author's.
    let forward = forward_of(&direct, &heard["seq"]);
    let on = json!({ "conversation": direct, "client_id": Uuid::now_v7(), "forward": forward });
    let again = d.ok("message.send", on).await;
    let shown = d.ok("message.get", json!({ "conversation": direct, "seq": again["seq"] })).await;
    assert_eq!((&shown["forwarded"], &shown["contact"]), (&heard["forwarded"], &contact));
    let edit = json!({ "conversation": direct, "seq": again["seq"], "text": "other words" });
    assert_eq!(d.code("message.edit", edit).await, "conflict");
    let nothing = json!({ "conversation": crew.group, "seq": 99 });
    let missing = json!({ "conversation": direct, "client_id": Uuid::now_v7(), "forward": nothing });
    assert_eq!(crew.bob.code("message.send", missing).await, "not_found");

    // A retry is answered as the first try was, also where the original is not to be had any more.
    let delete = crew.of(json!({ "seq": sent["seq"], "scope": "everyone" }));
    crew.ada.ok("message.delete", delete).await;
    crew.bob.event("message.deleted").await;
    first["duplicate"] = json!(true);
    assert_eq!(crew.bob.ok("message.send", data).await, first);
    let new = json!({ "conversation": direct, "client_id": Uuid::now_v7(), "forward": forward_of(&crew.group, &sent["seq"]) });
    assert_eq!(crew.bob.code("message.send", new).await, "not_found", "but it is not sent anew");
}

fn forward_of(conversation: &str, seq: &Value) -> Value {
    json!({ "conversation": conversation, "seq": seq })
}

#[tokio::test]
async fn a_message_is_removed_when_its_time_is_over() {
    let mut crew = Crew::gather().await;
    let sending = crew.sending(json!({ "text": "burn this", "expires_in_ms": 1_000 }));
    let sent = crew.ada.ok("message.send", sending).await;
    let heard = crew.bob.event("message.sent").await["data"].clone();
    let expires_at = heard["expires_at"].as_str().expect("a time");
    assert!(expires_at > sent["at"].as_str().expect("a time"), "{heard}");
    let removed = crew.bob.event("message.deleted").await;
    assert_eq!(removed["data"], json!({ "seqs": [sent["seq"]], "reason": "expired" }));
    assert!(removed["at"].as_str().expect("a time") >= expires_at, "{removed}");
    let history = crew.of(json!({}));
    assert_eq!(crew.bob.ok("history", history).await["messages"][0]["deleted"], true);
    let link = crew.of(json!({ "seq": sent["seq"] }));
    assert_eq!(crew.bob.code("message.get", link).await, "not_found");
    let sending = crew.sending(json!({ "text": "for ever", "expires_in_ms": 999 }));
    assert_eq!(crew.ada.code("message.send", sending).await, "bad_request");
}

#[tokio::test]
async fn a_link_opens_one_message_for_members() {
    let mut crew = Crew::gather().await;
    let seq = crew.ada.say(&crew.group, "look here").await["seq"].clone();
    let path = format!("/v1/conversations/{}/messages/{seq}", crew.group);
    let (status, shown) = crew.stack.get(&path, &crew.bob.account.token).await;
    assert_eq!((status, &shown["text"]), (200, &json!("look here")));
    assert_eq!(shown, crew.shown(&seq).await);
    let stranger = crew.stack.account("Eve").await;
    assert_eq!(crew.stack.get(&path, &stranger.token).await.0, 403);
    let (status, _) =
        crew.stack.get(&format!("/v1/conversations/{}/messages/x", crew.group), &crew.bob.account.token).await;
    assert_eq!(status, 404);
    let threads = crew.stack.get(&format!("/v1/conversations/{}/threads", crew.group), &crew.bob.account.token).await;
    assert_eq!(threads, (200, json!({ "threads": [], "has_more": false })));
}
