//! Thousands of connects are raced against sends, over several gateways and sequencers that freeze, die and come back: no connection
//! may miss an event, or be sent one out of order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tidings_client::{Endpoint, Socket};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{Account, Person, Role, Stack};

const WATCHERS: usize = 40;
const CONVERSATIONS: usize = 12;
const MEMBERS: usize = 15;
const CONNECTS: usize = 2_000;
/// Longer than a takeover, with all that waits for it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A conversation that is written in all the time.
struct Talk {
    id: String,
    writer: Account,
    /// The newest position of which somebody was told that it is durable.
    acked: AtomicI64,
}

struct World {
    addresses: Vec<String>,
    talks: Vec<Talk>,
    connects: AtomicUsize,
    /// Positions that came again on one connection: allowed, dropped by clients, and only expected after a takeover.
    again: AtomicUsize,
    done: CancellationToken,
}

impl World {
    fn acked(&self) -> BTreeMap<&str, i64> {
        self.talks.iter().map(|talk| (talk.id.as_str(), talk.acked.load(Relaxed))).collect()
    }

    /// Waits until somebody was acknowledged something in every conversation that was sent after now.
    async fn all_go_on(&self) {
        let before: Vec<_> = self.talks.iter().map(|talk| talk.acked.load(Relaxed)).collect();
        let deadline = Instant::now() + PATIENCE;
        // The first may have been acknowledged before.
        while self.talks.iter().zip(&before).any(|(talk, before)| talk.acked.load(Relaxed) < before + 2) {
            if self.done.is_cancelled() {
                return;
            }
            assert!(Instant::now() < deadline, "a conversation stands still: {:?}, before: {before:?}", self.acked());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Ends everything when who holds it panics: nobody waits for what will not come.
struct Alarm(CancellationToken);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}

/// Writes until all is done, each message until it is acknowledged, at any gateway.
async fn write(world: Arc<World>, at: usize) {
    let mut rng = StdRng::seed_from_u64(at as u64);
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().expect("a client");
    let (talk, _alarm) = (&world.talks[at], Alarm(world.done.clone()));
    while !world.done.is_cancelled() {
        let message = json!({ "conversation": talk.id, "client_id": Uuid::now_v7(), "text": "on and on" });
        let deadline = Instant::now() + PATIENCE;
        let position = loop {
            assert!(Instant::now() < deadline, "a message to {} is never acknowledged", talk.id);
            let address = world.addresses.choose(&mut rng).expect("some");
            let url = format!("http://{address}/v1/commands/message.send");
            let sent = client.post(url).bearer_auth(&talk.writer.token).json(&message).send().await;
            if let Ok(response) = sent
                && response.status().is_success()
                && let Ok(answer) = response.json::<Value>().await
            {
                break answer["position"].as_i64().expect("a position");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        talk.acked.fetch_max(position, Relaxed);
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..60))).await;
    }
}

/// A client that goes by the rules: it keeps its cursor, and per conversation the last position.
struct Watcher {
    account: Account,
    talks: Vec<String>,
    cursor: Option<String>,
    held: BTreeMap<String, i64>,
}

/// What came on a connection before `caught_up`.
#[derive(Default)]
struct Early {
    snapshot: BTreeMap<String, i64>,
    pushed: BTreeMap<String, BTreeSet<i64>>,
}

impl Watcher {
    /// Connects, catches up and stays for a while. None if the connection ended before it had caught up.
    async fn connect(&mut self, world: &World, address: &str, stay: Duration) -> Option<()> {
        let acked = world.acked();
        let endpoint = Endpoint::new(&format!("http://{address}")).expect("an address");
        let mut socket = Socket::connect(&endpoint).await.ok()?;
        let hello = json!({"id": 1, "type": "hello", "data": {"token": self.account.token, "cursor": self.cursor}});
        socket.send_text(&hello.to_string()).await.ok()?;
        let mut early = Early::default();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = timeout_at(deadline, socket.next_text()).await.expect("caught up in time").ok()?;
            let frame: Value = serde_json::from_str(&text).expect("JSON");
            if frame["type"] == "error" {
                assert_eq!(frame["data"]["retryable"], true, "{frame}");
                return None;
            }
            if frame["type"] == "caught_up" {
                self.cursor = frame["data"]["cursor"].as_str().map(str::to_owned);
                break;
            }
            early.take(&frame);
        }
        self.caught_up(early, &acked);
        world.connects.fetch_add(1, Relaxed);
        let leaves = Instant::now() + stay;
        while let Ok(Ok(text)) = timeout_at(leaves, socket.next_text()).await {
            let frame: Value = serde_json::from_str(&text).expect("JSON");
            if let Some((talk, position)) = event(&frame) {
                self.pushed(world, talk, position);
            } else if let Some((talk, last)) = told(&frame) {
                // It is caught up again, after an owner that left a hole.
                let held = self.held.entry(talk.to_owned()).or_default();
                *held = last.max(*held);
            }
        }
        Some(())
    }

    /// Whatever was acknowledged before `hello` was told of or pushed, and what was pushed begins where that ends.
    fn caught_up(&mut self, early: Early, acked: &BTreeMap<&str, i64>) {
        for talk in &self.talks {
            let held = self.held.entry(talk.clone()).or_default();
            let before = *held;
            *held = before.max(early.snapshot.get(talk).copied().unwrap_or_default());
            let pushed = early.pushed.get(talk).cloned().unwrap_or_default();
            for position in pushed.range(*held + 1..) {
                assert_eq!(
                    *position,
                    *held + 1,
                    "{talk}: held {before}, then {early:?}",
                    early = early.snapshot.get(talk)
                );
                *held = *position;
            }
            assert!(
                *held >= acked[talk.as_str()],
                "{talk}: caught up to {held} of {}; had {before}",
                acked[talk.as_str()]
            );
        }
    }

    fn pushed(&mut self, world: &World, talk: &str, position: i64) {
        let held = self.held.entry(talk.to_owned()).or_default();
        if position <= *held {
            world.again.fetch_add(1, Relaxed);
            return;
        }
        assert_eq!(position, *held + 1, "{talk}: something was passed over");
        *held = position;
    }
}

impl Early {
    fn take(&mut self, frame: &Value) {
        if let Some((talk, position)) = event(frame) {
            self.pushed.entry(talk.to_owned()).or_default().insert(position);
        } else if let Some((talk, last)) = told(frame) {
            let held = self.snapshot.entry(talk.to_owned()).or_default();
            *held = last.max(*held);
        }
    }
}

fn told(frame: &Value) -> Option<(&str, i64)> {
    let data = Some(&frame["data"]).filter(|_| frame["type"] == "inbox.changed")?;
    Some((data["conversation"].as_str()?, data["last_position"].as_i64()?))
}

fn event(frame: &Value) -> Option<(&str, i64)> {
    Some((frame["conversation"].as_str()?, frame["position"].as_i64()?))
}

/// Comes and goes until there were enough connects, at any gateway. Gives what it is left with.
async fn watch(world: Arc<World>, mut watcher: Watcher, seed: u64) -> Watcher {
    let (mut rng, _alarm) = (StdRng::seed_from_u64(seed), Alarm(world.done.clone()));
    while !world.done.is_cancelled() {
        let address = world.addresses.choose(&mut rng).expect("some");
        let stay = Duration::from_millis(rng.random_range(0..400));
        if watcher.connect(&world, address, stay).await.is_none() {
            // The gateway is away.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    watcher
}

/// Gateways and sequencers freeze, die and drain, one after the other, until there were enough connects.
async fn disturb(world: &World, sequencers: &mut Vec<Role>, gateways: &mut Vec<Role>) -> usize {
    let mut rounds = 0;
    while !world.done.is_cancelled() && (rounds < 3 || world.connects.load(Relaxed) < CONNECTS) {
        let first = sequencers.remove(0);
        match rounds % 3 {
            // A zombie: the other takes over, then it wakes up.
            0 => {
                first.freeze().await;
                world.all_go_on().await;
                first.thaw().await;
                sequencers.push(first);
            }
            1 => sequencers.push(first.kill_and_restart().await),
            _ => sequencers.push(first.restart().await),
        }
        world.all_go_on().await;
        let gateway = gateways.remove(0);
        gateways.push(if rounds % 2 == 0 { gateway.kill_and_restart().await } else { gateway.restart().await });
        world.all_go_on().await;
        rounds += 1;
    }
    rounds
}

async fn started(stack: &mut Stack) -> (Vec<Role>, Vec<Role>, [Role; 2]) {
    let sequencers = vec![stack.role("sequencer").await, stack.role("sequencer").await];
    let others = [stack.role("projector").await, stack.role("publisher").await];
    let mut gateways = Vec::new();
    for _ in 0..3 {
        gateways.push(stack.role("gateway").await);
    }
    stack.address = gateways[0].address.clone();
    (sequencers, gateways, others)
}

/// Each conversation has its writer and some of the watchers.
async fn talks(stack: &Stack, accounts: &[Account]) -> (Vec<Talk>, Vec<Watcher>) {
    let mut rng = StdRng::seed_from_u64(1);
    let mut watchers: Vec<_> = accounts
        .iter()
        .map(|account| Watcher { account: account.clone(), talks: Vec::new(), cursor: None, held: BTreeMap::new() })
        .collect();
    let mut talks = Vec::new();
    for n in 0..CONVERSATIONS {
        let writer = stack.account(&format!("writer {n}")).await;
        let mut person = Person::online(&stack.address, &writer, None).await.0;
        let chosen = rand::seq::index::sample(&mut rng, WATCHERS, MEMBERS);
        let members: Vec<_> = chosen.iter().map(|at| &accounts[at]).collect();
        let id = person.group(&members, "on and on").await;
        chosen.iter().for_each(|at| watchers[at].talks.push(id.clone()));
        talks.push(Talk { id, writer, acked: AtomicI64::new(1) });
    }
    (talks, watchers)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_ever_misses_an_event() {
    let mut stack = Stack::start().await;
    let (mut sequencers, mut gateways, _others) = started(&mut stack).await;
    let accounts = stack.accounts("watcher", WATCHERS).await;
    let (talks, watchers) = talks(&stack, &accounts).await;
    let addresses = gateways.iter().map(|gateway| gateway.address.clone()).collect();
    let (connects, again, done) = Default::default();
    let world = Arc::new(World { addresses, talks, connects, again, done });
    let writing: Vec<_> = (0..CONVERSATIONS).map(|at| tokio::spawn(write(world.clone(), at))).collect();
    let watching = watchers.into_iter().enumerate();
    let watching: Vec<_> = watching.map(|(n, watcher)| tokio::spawn(watch(world.clone(), watcher, n as u64))).collect();
    let began = Instant::now();
    let rounds = disturb(&world, &mut sequencers, &mut gateways).await;
    world.done.cancel();
    for writer in writing {
        writer.await.expect("writes");
    }
    let last = world.acked();
    for watcher in watching {
        let mut watcher = timeout(PATIENCE, watcher).await.expect("ends in time").expect("misses nothing");
        watcher.connect(&world, &world.addresses[0], Duration::ZERO).await.expect("the gateway is there");
        for talk in &watcher.talks {
            assert_eq!(watcher.held[talk], last[talk.as_str()], "all of {talk}, and nothing that nobody sent");
        }
    }
    let (connects, again) = (world.connects.load(Relaxed), world.again.load(Relaxed));
    let events: i64 = last.values().sum();
    println!(
        "{connects} connects, {events} events, {rounds} rounds of faults in {:?}; {again} pushed again",
        began.elapsed()
    );
}
