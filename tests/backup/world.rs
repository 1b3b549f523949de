//! People, what they do, and what is known of it.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;
use tidings::codec::Codec;
use tidings::log::{Checkpoints, Reader, topics};
use tidings::projector::catalog;
use uuid::Uuid;

use crate::support::person::PATIENCE;
use crate::support::{Account, Person, Stack, message, rows};

/// As `Stack::bare` configures it.
pub const PARTITIONS: i32 = 4;

/// People with conversations.
pub struct World {
    pub people: Vec<Account>,
    pub direct: String,
    pub group: String,
    /// Of Ada, from before the first backup.
    pub cursor: String,
    /// A message of Ada, as she sent it.
    pub sent: (Value, Value),
    /// A message that is removed between backups: its seq, and Kafka's key of it.
    pub removed: (Value, String),
}

/// What an installation answers and holds.
#[derive(Debug, PartialEq)]
pub struct Known {
    pub answers: Vec<Value>,
    pub rows: Vec<String>,
}

impl World {
    /// Everything that happens before the first backup.
    pub async fn begin(stack: &Stack) -> Self {
        let people = stack.accounts("person", 4).await;
        let (mut ada, caught_up) = Person::online(&stack.address, &people[0], None).await;
        let (mut bob, _) = Person::online(&stack.address, &people[1], None).await;
        let direct = ada.direct(&people[1]).await;
        let group = ada.group(&[&people[1], &people[2]], "to be restored").await;
        for n in 0..25 {
            ada.say(&direct, &format!("direct {n}")).await;
            bob.say(&group, &format!("group {n}")).await;
        }
        bob.ok("read", json!({"conversation": direct, "seq": 4})).await;
        let removed = ada.say(&group, "to be forgotten").await;
        let removed = (removed["seq"].clone(), format!("{group}/{}", removed["position"]));
        let cursor = caught_up["cursor"].as_str().expect("a cursor").to_owned();
        ada.leave().await;
        bob.leave().await;
        published(stack).await;
        Self { people, direct, group, cursor, sent: Default::default(), removed }
    }

    /// What happens between backups.
    pub async fn go_on(&mut self, stack: &Stack, what: &str) {
        let (mut ada, caught_up) = Person::online(&stack.address, &self.people[0], None).await;
        let (mut cyd, _) = Person::online(&stack.address, &self.people[2], None).await;
        self.cursor = caught_up["cursor"].as_str().expect("a cursor").to_owned();
        let new = stack.account(what).await;
        ada.ok("member.add", json!({"conversation": self.group, "users": [new.user]})).await;
        self.people.push(new);
        for n in 0..5 {
            ada.say(&self.group, &format!("{what} {n}")).await;
            cyd.say(&self.group, &format!("{what} too {n}")).await;
        }
        self.change(&mut ada, &mut cyd).await;
        let sending = message(&self.direct, what, Uuid::now_v7());
        let answer = ada.ok("message.send", sending.clone()).await;
        self.sent = (sending, answer);
        cyd.ok("read", json!({"conversation": self.group, "seq": 12})).await;
        ada.leave().await;
        cyd.leave().await;
        published(stack).await;
    }

    /// What makes more than messages: edits, a removal, reactions, rules, and what each keeps for itself.
    async fn change(&self, ada: &mut Person, cyd: &mut Person) {
        let slip = ada.say(&self.group, "a slip of the tongue").await["seq"].clone();
        let kept = ada.say(&self.group, "wurld").await["seq"].clone();
        let of = |data: Value| {
            let mut data = data;
            data["conversation"] = json!(self.group);
            data
        };
        for (kind, data) in [
            ("message.edit", json!({"seq": kept, "text": "world"})),
            ("reaction.add", json!({"seq": kept, "emoji": "👍"})),
            ("reaction.add", json!({"seq": slip, "emoji": "😳"})),
            ("message.pin", json!({"seq": kept})),
            ("message.delete", json!({"seq": slip, "scope": "everyone"})),
            ("message.delete", json!({"seq": self.removed.0, "scope": "everyone"})),
            ("member.mute", json!({"users": [self.people.last().expect("somebody new").user]})),
            ("conversation.update", json!({"topic": "what is kept"})),
            ("conversation.settings", json!({"pinned": true})),
            ("draft.set", json!({"text": "not yet"})),
            ("invite.create", json!({"max_uses": 3})),
        ] {
            ada.ok(kind, of(data)).await;
        }
        let asked = of(json!({"client_id": Uuid::now_v7(), "poll": {"question": "who?", "options": ["we", "they"]}}));
        let asked = ada.ok("message.send", asked).await["seq"].clone();
        cyd.ok("message.report", of(json!({"seq": kept, "reason": "spam", "comment": "no world"}))).await;
        cyd.ok("poll.vote", of(json!({"seq": asked, "options": [1]}))).await;
        ada.ok("poll.close", of(json!({"seq": asked}))).await;
        cyd.ok("message.send", of(json!({"client_id": Uuid::now_v7(), "text": "so be it", "thread": asked}))).await;
        ada.ok("thread.read", of(json!({"thread": asked, "thread_seq": 1}))).await;
        cyd.ok("message.delete", of(json!({"seq": kept, "scope": "me"}))).await;
        cyd.ok("block", json!({"user": self.people[3].user})).await;
    }

    /// Everything that people see, and all rows.
    pub async fn known(&self, stack: &Stack) -> Known {
        let mut answers = Vec::new();
        for account in &self.people {
            let mut paths = vec!["/v1/inbox".to_owned()];
            for conversation in [&self.direct, &self.group] {
                paths.push(format!("/v1/conversations/{conversation}/messages"));
                paths.push(format!("/v1/conversations/{conversation}/events?after_position=0"));
                paths.push(format!("/v1/conversations/{conversation}/members"));
            }
            for path in paths {
                let (_, answer) = stack.get(&path, &account.token).await;
                answers.push(answer);
            }
        }
        Known { answers, rows: self.rows(stack).await }
    }

    pub async fn rows(&self, stack: &Stack) -> Vec<String> {
        let pool = PgPool::connect(stack.postgres_url()).await.expect("connects");
        let mut all = Vec::new();
        // Presence has no journal, and so no place in one.
        let views = catalog::all().iter().filter(|view| view.source != topics::PRESENCE);
        for view in views.map(|view| &view.name) {
            let found = rows(&pool, view).await;
            assert!(!found.is_empty(), "{view} is empty, so nothing is shown");
            all.extend(found);
        }
        all
    }
}

/// Waits until all that was accepted is in the views and in the public streams.
pub async fn published(stack: &Stack) {
    let client = stack.kafka();
    let pool = PgPool::connect(stack.postgres_url()).await.expect("connects");
    let checkpoints = Checkpoints::new(&client, Codec::builtin());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    for journal in topics::JOURNALS {
        let reader = Reader::new(&client, journal).expect("a reader");
        for partition in 0..PARTITIONS {
            let end = reader.ends(partition).await.expect("ends").high;
            loop {
                let published = checkpoints.get(journal, partition).await.expect("a checkpoint");
                let published = published.map_or(0, |checkpoint| checkpoint.next_offset);
                let seen =
                    sqlx::query_scalar("SELECT next_offset FROM checkpoints WHERE source = $1 AND partition = $2");
                let seen: Option<i64> = seen.bind(journal).bind(partition).fetch_optional(&pool).await.expect("a row");
                if published >= end && seen.unwrap_or(0) >= end {
                    break;
                }
                assert!(tokio::time::Instant::now() < deadline, "{journal}/{partition} is not published");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}
