//! A gateway ends, and all its clients are at the door of the other one at once: they come in at its rate, whoever is there already hears
//! everything in time, and in the end nobody misses anything.

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Duration, Instant};
use uuid::Uuid;

use crate::support::{Account, Person, Role, Stack};

const PEOPLE: usize = 40;
const SOCKETS: usize = 320;
/// Of each gateway: all come in within about 6 s.
const HELLOS_PER_SECOND: u32 = 60;
/// Half of it is waited at most: fewer than all fit into the queue.
const HELLO_TIMEOUT: Duration = Duration::from_secs(4);
/// What passes at once after a pause.
const BURST: usize = 8;

/// The number of a metric without labels.
async fn metric(role: &Role, name: &str) -> f64 {
    let text = reqwest::get(format!("http://{}/metrics", role.address)).await.expect("answers").text().await;
    let text = text.expect("a body");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

/// Sockets on the first gateway, several of each account: whose they are, and with which cursor they may come back.
async fn settle(first: &Role, accounts: &[Account]) -> Vec<(Account, String)> {
    let sockets = (0..SOCKETS).map(async |n| {
        let account = &accounts[n % PEOPLE];
        (account.clone(), Person::online_at_last(&first.address, account, None).await)
    });
    let sockets = join_all(sockets).await;
    let mut all = Vec::new();
    for (account, (person, caught_up)) in sockets {
        all.push((account, caught_up["cursor"].as_str().expect("a cursor").to_owned()));
        // Open until the gateway ends.
        tokio::spawn(async move { { person }.close_code().await });
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn all_clients_of_a_gateway_come_to_another_at_its_rate_and_miss_nothing() {
    let mut stack = Stack::start().await;
    for (name, value) in [
        ("TIDINGS_GATEWAY__HELLOS_PER_SECOND", HELLOS_PER_SECOND.to_string()),
        ("TIDINGS_GATEWAY__HELLO_TIMEOUT_MS", HELLO_TIMEOUT.as_millis().to_string()),
    ] {
        stack.env.push((name.into(), value));
    }
    let _behind = (stack.role("sequencer").await, stack.role("publisher").await, stack.role("projector").await);
    let (mut first, second) = (stack.role("gateway").await, stack.role("gateway").await);
    stack.address = first.address.clone();
    let accounts = stack.accounts("person", PEOPLE).await;
    let (mut ada, _) = Person::online(&second.address, &stack.account("Ada").await, None).await;
    let (mut eve, _) = Person::online(&second.address, &stack.account("Eve").await, None).await;
    let members: Vec<_> = accounts.iter().chain([&eve.account]).map(|account| account.user.clone()).collect();
    let create = json!({ "kind": "group", "members": members, "client_id": Uuid::now_v7() });
    let group = ada.ok_until_heard("conversation.create", create).await["conversation"].clone();
    let group = group.as_str().expect("an id").to_owned();
    let cursors = settle(&first, &accounts).await;
    let before = metric(&second, "tidings_gateway_hellos_total").await;
    assert_eq!(metric(&second, "tidings_gateway_hellos_waiting").await, 0.0);

    // Ada goes on talking all the time, and Eve hears her on the gateway that is stormed.
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let talking = tokio::spawn({
        let group = group.clone();
        async move {
            let (mut sent, mut slowest) = (Vec::new(), Duration::ZERO);
            while stopped.try_recv().is_err() {
                let began = Instant::now();
                let position = ada.say_until_heard(&group, "on and on").await["position"].as_i64().expect("one");
                eve.wait_until_position(&group, position).await;
                slowest = slowest.max(began.elapsed());
                sent.push(position);
            }
            (sent, slowest)
        }
    });
    first.kill().await;
    let began = Instant::now();
    // All at once, as after a failure: nobody was told to wait.
    let coming = cursors.into_iter().map(async |(account, cursor)| {
        let came = Person::online_at_last(&second.address, &account, Some(&cursor)).await;
        (came.0, came.1, began.elapsed())
    });
    let watching = async {
        let mut waiting: f64 = 0.0;
        let mut counted = Vec::new();
        loop {
            waiting = waiting.max(metric(&second, "tidings_gateway_hellos_waiting").await);
            let came_in = metric(&second, "tidings_gateway_hellos_total").await - before;
            counted.push((began.elapsed(), came_in));
            if came_in as usize >= SOCKETS {
                return (waiting, counted);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (came, (most_waiting, counted)) = tokio::join!(join_all(coming), watching);
    let _ = stop.send(());
    let (sent, slowest) = talking.await.expect("talks");

    // The rate, between any two looks, with what a look may be late.
    for (at, &(until, later)) in counted.iter().enumerate() {
        for &(since, sooner) in &counted[..at] {
            let most = (until - since).as_secs_f64() * f64::from(HELLOS_PER_SECOND) + BURST as f64 + 10.0;
            assert!(later - sooner <= most, "{} in {:?}: {counted:?}", later - sooner, until - since);
        }
    }
    let refused = metric(&second, "tidings_gateway_hellos_refused_total").await;
    assert!(most_waiting > 20.0 && refused > 50.0, "{most_waiting} waited, {refused} were sent away");
    assert!(most_waiting <= f64::from(HELLOS_PER_SECOND) * HELLO_TIMEOUT.as_secs_f64() / 2.0 + 1.0, "{most_waiting}");
    // Whoever is there already does not suffer.
    assert!(sent.len() > 20 && slowest < Duration::from_secs(2), "{} sent, the slowest in {slowest:?}", sent.len());

    // Everybody is caught up, from there on hears every push, and has missed nothing between.
    let last = *sent.last().expect("some");
    for (mut person, caught_up, _) in came {
        assert!(caught_up.get("reset").is_none_or(|reset| reset == false), "{caught_up}");
        let changed = person.pushed.iter().rev().find(|frame| frame["type"] == "inbox.changed");
        let snapshot = changed.expect("the group changed")["data"]["last_position"].as_i64().expect("one");
        if snapshot < last {
            person.wait_until_position(&group, last).await;
        }
        let mut seen = person.positions(&group);
        seen.retain(|position| *position > snapshot && *position <= last);
        seen.dedup();
        assert_eq!(seen, (snapshot + 1..=last).collect::<Vec<_>>());
    }
    let last_in = counted.last().expect("some").0;
    println!(
        "{SOCKETS} sockets came back in {last_in:?} at {HELLOS_PER_SECOND}/s: at most {most_waiting} waited, {refused} were sent away, a \
         message took {slowest:?} at most"
    );
    assert_eq!(metric(&second, "tidings_gateway_catch_ups_waiting").await, 0.0);
    assert!(metric(&second, "tidings_gateway_catch_up_batch_sessions_count").await >= 1.0);
    assert!(metric(&second, "tidings_gateway_hello_wait_seconds_count").await as usize > SOCKETS);
}
