//! Backups in a folder, one after another, and what a restore of them is worth.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sqlx::PgPool;
use tempfile::TempDir;
use tidings::log::{read_to_end, topics};

use crate::support::person::PATIENCE;
use crate::support::{Person, Stack, rows};
use crate::world::{Known, PARTITIONS, World, published};

/// Where the backups are, and what was known when the last was made.
pub struct Folder {
    folder: TempDir,
    known: Known,
    /// As [`World::sent`] was then.
    sent: (Value, Value),
}

impl Folder {
    pub fn path(&self) -> &str {
        self.folder.path().to_str().expect("a path")
    }
}

fn manifest(folder: &Path, number: u64) -> Value {
    let text = std::fs::read(folder.join(format!("manifests/{number:010}.json"))).expect("a manifest");
    serde_json::from_slice(&text).expect("JSON")
}

/// All files below.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Three of them: all, what came since, and nothing new.
pub async fn back_up(source: &Stack, world: &mut World) -> Folder {
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path().to_str().expect("a path");
    let said = source.run(&["admin", "backup", "--to", to]).await;
    assert!(said.contains("backup 1 (full)") && said.contains("master keys"), "{said}");
    let first: u64 = records(&manifest(folder.path(), 1));

    world.go_on(source, "later").await;
    source.run(&["admin", "backup", "--to", to]).await;
    let second = manifest(folder.path(), 2);
    assert_eq!(second["previous"]["number"], 1);
    let tombstones: u64 =
        second["objects"].as_array().expect("objects").iter().filter_map(|o| o["tombstones"].as_u64()).sum();
    // Two messages, and each with what happened to it.
    assert!(tombstones >= 2, "{tombstones}");
    assert!(records(&second) > 15 && records(&second) < first, "only what is new: {second}");
    let keys = files(&folder.path().join("keys"));
    assert!(!keys.is_empty() && keys.iter().all(|key| key.to_string_lossy().contains("0000000002")), "{keys:?}");

    // A service that makes one each interval, here for as long as it takes to make one.
    let every = ["admin", "backup", "--to", to, "--every", "1s", "--set", "log.level=info"];
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tidings"));
    let mut service = command.args(every).envs(source.env.iter().cloned()).kill_on_drop(true).spawn().expect("starts");
    let third = folder.path().join("manifests/0000000003.json");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !third.exists() {
        assert!(tokio::time::Instant::now() < deadline, "no backup is made");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let pid = service.id().expect("runs").to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
    let ended = tokio::time::timeout(PATIENCE, service.wait()).await.expect("ends in time").expect("a child");
    assert!(ended.success(), "{ended}");
    assert_eq!(records(&manifest(folder.path(), 3)), 0, "nothing is new");
    let listed = source.run(&["admin", "backups", "--from", to]).await;
    assert!(listed.lines().count() >= 3 && listed.contains("backup 2 (since 1)"), "{listed}");
    Folder { known: world.known(source).await, sent: world.sent.clone(), folder }
}

fn records(manifest: &Value) -> u64 {
    manifest["objects"].as_array().expect("objects").iter().filter_map(|object| object["records"].as_u64()).sum()
}

/// Into another installation, of which everything is then as it was, and goes on.
pub async fn restore(source: &Stack, folder: &Folder, world: &World) {
    let from = folder.path();
    let mut target = Stack::empty_like(source).await;
    damage_is_refused(&target, folder).await;
    let more = target.fails(&["admin", "restore", "--from", from, "--set", "kafka.partitions=8"]).await;
    assert!(more.contains("set `kafka.partitions` to 4"), "{more}");
    // A key that the master keys cannot unwrap, or a token of another installation, is not what this is about: they are the same.
    let began = std::time::Instant::now();
    let said = target.run(&["admin", "restore", "--from", from]).await;
    assert!(said.contains("the epoch is 1 now") && said.contains("master keys"), "{said}");
    eprintln!("restored in {:?}: {said}", began.elapsed());
    assert_eq!(world.rows(&target).await, folder.known.rows);
    forgotten(&target, world).await;
    let again = target.fails(&["admin", "restore", "--from", from]).await;
    assert!(again.contains("records in the topic `conversation-events`"), "{again}");

    let role = target.role("all").await;
    target.address = role.address.clone();
    let known = world.known(&target).await;
    for (restored, before) in known.answers.iter().zip(&folder.known.answers) {
        assert_eq!(restored, before);
    }
    let again = target.fails(&["admin", "restore", "--from", from]).await;
    assert!(again.contains("roles are running"), "{again}");
    was_seen(&target, &world.people[0].user).await;
    goes_on(&target, world, &folder.sent).await;
    backs_up_again(&target, folder).await;
    drop(role);
    half_is_not_served(&target, from).await;
}

/// A byte in a copy is another one: nothing is written then.
async fn damage_is_refused(target: &Stack, folder: &Folder) {
    let copy = tempfile::tempdir().expect("a folder");
    for file in files(folder.folder.path()) {
        let to = copy.path().join(file.strip_prefix(folder.folder.path()).expect("below"));
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        std::fs::copy(&file, &to).expect("copied");
    }
    let path = copy.path().to_str().expect("a path");
    assert!(target.run(&["admin", "restore", "--check", "--from", path]).await.contains("are whole"));
    let objects = files(&copy.path().join("streams"));
    let object = objects.iter().find(|file| file.to_string_lossy().contains("receipts")).expect("an object");
    let whole = std::fs::read(object).expect("bytes");
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(object, &bytes).expect("written");
    for args in [&["admin", "restore", "--check", "--from", path][..], &["admin", "restore", "--from", path]] {
        let said = target.fails(args).await;
        assert!(said.contains("is damaged: its SHA-256 is"), "{said}");
    }
    std::fs::write(object, &whole).expect("written");
    // The full backup of the chain is not the one that the next continued.
    let first = copy.path().join("manifests/0000000001.json");
    let other = std::fs::read_to_string(&first).expect("text").replace("\"epoch\": 0", "\"epoch\": 3");
    std::fs::write(&first, other).expect("written");
    let said = target.fails(&["admin", "restore", "--check", "--from", path]).await;
    assert!(said.contains("is not the one that the next backup continues"), "{said}");
}

/// What was removed is not in Kafka again.
async fn forgotten(target: &Stack, world: &World) {
    let mut events = 0;
    for partition in 0..PARTITIONS {
        for record in read_to_end(&target.kafka(), topics::CONVERSATION_EVENTS, partition).await.expect("reads") {
            events += 1;
            assert_ne!(record.key.as_deref(), Some(world.removed.1.as_bytes()));
        }
    }
    assert!(events > 30, "{events}");
}

/// When somebody was last seen is known, before anybody comes.
async fn was_seen(target: &Stack, user: &str) {
    let pool = PgPool::connect(target.parts.postgres_url()).await.expect("connects");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let seen = sqlx::query_scalar("SELECT EXISTS (SELECT FROM last_seen.last_seen WHERE user_id = $1)").bind(user);
        if seen.fetch_one(&pool).await.expect("a row") {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{user} was never seen");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Positions without a gap, clients of before, users and keys of tenants; and a view made anew is the one that lives.
async fn goes_on(target: &Stack, world: &World, (sending, answer): &(Value, Value)) {
    let (mut ada, caught_up) = Person::online(&target.address, &world.people[0], Some(&world.cursor)).await;
    assert_eq!(caught_up["reset"], true, "a cursor of before is told everything: {caught_up}");
    let changed = ada.pushed.iter().filter(|frame| frame["type"] == "inbox.changed").count();
    assert_eq!(changed, 2, "{:?}", ada.pushed);
    let (mut bob, _) = Person::online(&target.address, &world.people[1], None).await;

    let before = ada.inbox_entry(&world.group).await;
    let (position, seq) = (before["last_position"].as_i64().expect("one"), before["last_seq"].as_i64().expect("one"));
    let said = ada.say_until_heard(&world.group, "after the restore").await;
    assert_eq!((&said["position"], &said["seq"]), (&json!(position + 1), &json!(seq + 1)));
    bob.message("after the restore").await;
    let again = ada.ok("message.send", sending.clone()).await;
    assert_eq!((&again["seq"], &again["duplicate"]), (&answer["seq"], &json!(true)), "a retry from before");

    let new = target.account("New").await;
    target.other_tenant_account("Other").await;
    bob.direct(&new).await;
    ada.ok("member.add", json!({"conversation": world.group, "users": [new.user]})).await;
    bob.ok("read", json!({"conversation": world.group, "seq": seq + 1})).await;
    let (mut late, caught_up) = Person::online(&target.address, &new, None).await;
    late.say(&world.group, "hello").await;
    let cursor = caught_up["cursor"].as_str().expect("a cursor").to_owned();
    late.leave().await;
    bob.say(&world.group, "where are you?").await;
    // A cursor of this epoch is as good as ever: only what is new.
    let (mut late, caught_up) = Person::online(&target.address, &new, Some(&cursor)).await;
    assert!(caught_up.get("reset").is_none(), "{caught_up}");
    late.settle().await;
    published(target).await;

    let pool = PgPool::connect(target.parts.postgres_url()).await.expect("connects");
    for view in ["inbox", "messages", "users"] {
        let live = rows(&pool, view).await;
        target.run(&["admin", "rebuild", view]).await;
        assert_eq!(rows(&pool, view).await, live, "{view}");
    }
    ada.say(&world.group, "over").await;
    bob.message("over").await;
}

/// The restored installation goes on with the same backups, when somebody says that it is the same.
async fn backs_up_again(target: &Stack, folder: &Folder) {
    let to = folder.path();
    let said = target.fails(&["admin", "backup", "--to", to]).await;
    assert!(said.contains("in epoch 1") && said.contains("--full"), "{said}");
    let newest = *numbers(folder).last().expect("backups");
    target.run(&["admin", "backup", "--to", to, "--full"]).await;
    target.run(&["admin", "backup", "--to", to]).await;
    let (full, next) = (manifest(folder.folder.path(), newest + 1), manifest(folder.folder.path(), newest + 2));
    assert_eq!(
        (&full["previous"], &full["epoch"], &next["previous"]["number"]),
        (&Value::Null, &json!(1), &json!(newest + 1))
    );
    assert!(records(&next) < 5, "{next}");
    for at in ["2".to_owned(), (newest + 2).to_string()] {
        let said = target.run(&["admin", "restore", "--check", "--from", to, "--at", &at]).await;
        assert!(said.contains("are whole"), "{said}");
    }
}

fn numbers(folder: &Folder) -> Vec<u64> {
    let manifests = files(&folder.folder.path().join("manifests"));
    let number = |path: &PathBuf| path.file_stem().expect("a name").to_string_lossy().parse().expect("a number");
    let mut numbers: Vec<u64> = manifests.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// A restore that did not end.
async fn half_is_not_served(target: &Stack, from: &str) {
    let pool = PgPool::connect(target.parts.postgres_url()).await.expect("connects");
    sqlx::query("UPDATE restores SET ended_at = NULL").execute(&pool).await.expect("written");
    let said = target.fails(&["sequencer", "--set", "gateway.listen=127.0.0.1:0"]).await;
    assert!(said.contains("a restore of backup") && said.contains("has not ended"), "{said}");
    let said = target.fails(&["admin", "restore", "--from", from]).await;
    assert!(said.contains("has not ended"), "{said}");
}
