//! A new master key takes over from the old one while people write and join, with two sequencers; then the old one is taken away.

#[path = "support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use support::person::PATIENCE;
use support::{Account, Person, Role, Stack};

/// Beside those who talk: so that the rotation takes its time.
const BYSTANDERS: usize = 150;

fn set(env: &mut Vec<(String, String)>, name: &str, value: &str) {
    env.retain(|(other, _)| other != name);
    env.push((name.to_owned(), value.to_owned()));
}

struct Keys {
    file: String,
    old: String,
    new: String,
}

impl Keys {
    /// From now on processes start with these, the newest first.
    fn write(&self, lines: &[&str]) {
        std::fs::write(&self.file, lines.join("\n")).expect("written");
    }
}

async fn roles(stack: &mut Stack) -> Vec<Role> {
    let mut roles = Vec::new();
    for name in ["projector", "publisher", "sequencer", "sequencer", "gateway"] {
        roles.push(stack.role(name).await);
    }
    stack.address = roles.last().expect("started").address.clone();
    roles
}

async fn stop(roles: Vec<Role>) {
    // The gateway first: what it has begun is still answered.
    for mut role in roles.into_iter().rev() {
        assert!(role.terminate().await.success(), "{}", role.name);
    }
}

/// People who write.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    sent: AtomicUsize,
}

impl Load {
    /// Sends until it is over. A refusal ends the test.
    async fn write(self: Arc<Self>, address: String, account: Account, conversation: String) {
        let (mut person, _) = Person::online(&address, &account, None).await;
        while !self.over.load(Ordering::Relaxed) {
            let sent = self.sent.fetch_add(1, Ordering::Relaxed);
            person.say(&conversation, &format!("message {sent}")).await;
        }
    }

    /// Until so many more were sent.
    async fn more(&self, messages: usize) {
        let enough = self.sent.load(Ordering::Relaxed) + messages;
        let sending = async {
            while self.sent.load(Ordering::Relaxed) < enough {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, sending).await.expect("people write");
    }
}

/// Every text of a conversation, oldest first.
async fn texts(person: &mut Person, conversation: &str) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        let data = json!({ "conversation": conversation, "after_seq": texts.len(), "limit": 200 });
        let page = person.ok_until_heard("history", data).await;
        let messages = page["messages"].as_array().expect("messages");
        texts.extend(messages.iter().map(|message| message["text"].as_str().expect("readable").to_owned()));
        if page["has_more"] == false {
            return texts;
        }
    }
}

/// Asks as the tenant's backend for a user: its id.
async fn put(stack: &Stack, external_id: &str) -> String {
    let url = format!("http://{}/v1/users/{external_id}", stack.address);
    let client = reqwest::Client::new();
    loop {
        let answer =
            client.put(&url).bearer_auth(&stack.key).json(&json!({ "name": "Ada" })).send().await.expect("answers");
        let answer: Value = answer.json().await.expect("JSON");
        match answer["user"].as_str() {
            Some(user) => return user.to_owned(),
            None => assert_eq!(answer["retryable"], true, "{answer}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_is_rotated_under_load_and_the_old_one_is_taken_away() {
    let mut stack = Stack::start().await;
    let file = stack.env.iter().find(|(name, _)| name == "TIDINGS_CRYPTO__MASTER_KEYS_FILE").expect("set").1.clone();
    let old = std::fs::read_to_string(&file).expect("readable").trim().to_owned();
    let keys = Keys { file, old, new: tidings::crypto::generate_line("new").expect("random").to_string() };

    // Before: only the old key.
    let running = roles(&mut stack).await;
    let known = put(&stack, "known").await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    for _ in 0..BYSTANDERS / 10 {
        stack.accounts("bystander", 10).await;
    }
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let group = a.group(&[&bob], "The crew").await;
    a.say(&group, "before").await;
    let untouched = stack.run(&["admin", "rotate-master-key"]).await;
    assert!(untouched.contains("0 data keys are to be wrapped anew"), "{untouched}");
    a.leave().await;
    stop(running).await;

    // Both keys, the new one first; people write while it goes on, and new ones come.
    keys.write(&[&keys.new, &keys.old]);
    let running = roles(&mut stack).await;
    let checked = stack.run(&["admin", "rotate-master-key", "--check"]).await;
    assert!(checked.contains(&format!("{} data keys are to be wrapped anew", BYSTANDERS + 3)), "{checked}");
    let load = Arc::new(Load::default());
    let write = |account: &Account| Arc::clone(&load).write(stack.address.clone(), account.clone(), group.clone());
    let writing = [tokio::spawn(write(&ada)), tokio::spawn(write(&bob))];
    load.more(50).await;
    let (rotated, newcomer) = tokio::join!(stack.run(&["admin", "rotate-master-key"]), stack.account("Newcomer"));
    println!("{rotated}");
    assert!(rotated.contains("no data key needs `test` any more"), "{rotated}");
    assert!(rotated.contains("set `crypto.root_key`"), "{rotated}");
    let again = stack.run(&["admin", "rotate-master-key"]).await;
    assert!(again.contains("0 data keys are to be wrapped anew"), "{again}");
    // The gateway that has been there all the time seals and opens under what it has taken over.
    let (mut n, _) = Person::online(&stack.address, &newcomer, None).await;
    let direct = n.direct(&ada).await;
    n.say(&direct, "hello").await;
    load.more(50).await;
    load.over.store(true, Ordering::Relaxed);
    for writing in writing {
        writing.await.expect("nothing was refused");
    }
    let sent = load.sent.load(Ordering::Relaxed);
    assert!(stack.run(&["admin", "dead-letters"]).await.contains("no dead letters"));
    n.leave().await;
    stop(running).await;

    // The old key is gone. Without the root nobody starts, as every user would be somebody new.
    keys.write(&[&keys.new]);
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tidings"));
    command
        .arg("gateway")
        .envs(stack.env.iter().cloned())
        .env("TIDINGS_GATEWAY__LISTEN", "127.0.0.1:0")
        .kill_on_drop(true);
    let refused = tokio::time::timeout(PATIENCE, command.output()).await.expect("ends").expect("runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("crypto.root_key"), "{said}");
    set(&mut stack.env, "TIDINGS_CRYPTO__ROOT_KEY", &keys.old);
    let running = roles(&mut stack).await;
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let read = texts(&mut b, &group).await;
    assert_eq!(read.len(), sent + 1);
    assert_eq!(read[0], "before");
    assert_eq!(b.inbox_entry(&group).await["name"], "The crew");
    b.say_until_heard(&group, "after").await;
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    assert_eq!(texts(&mut a, &direct).await, ["hello"]);
    assert_eq!(put(&stack, "known").await, known, "a user has another id");
    stop(running).await;
}
