//! A gateway is told to stop: it says so, takes nobody new, ends sockets and streams over a time with when to come back, and answers what
//! they had begun.

use serde_json::json;
use tokio::time::{Duration, Instant};

use crate::support::person::PATIENCE;
use crate::support::{Account, Listener, Person, Role, Stack, message};

const SOCKETS: usize = 40;

async fn start(notice_ms: u64, drain_ms: u64) -> (Stack, [Role; 3]) {
    let mut stack = Stack::start().await;
    for (name, value) in [("TIDINGS_GATEWAY__DRAIN_NOTICE_MS", notice_ms), ("TIDINGS_GATEWAY__DRAIN_MS", drain_ms)] {
        stack.env.push((name.into(), value.to_string()));
    }
    let behind = [stack.role("sequencer").await, stack.role("publisher").await, stack.role("projector").await];
    (stack, behind)
}

async fn status(address: &str, path: &str) -> Option<u16> {
    Some(reqwest::get(format!("http://{address}{path}")).await.ok()?.status().as_u16())
}

/// Waits until `/readyz` says no.
async fn unready(gateway: &Role) {
    let deadline = Instant::now() + PATIENCE;
    while status(&gateway.address, "/readyz").await != Some(503) {
        assert!(Instant::now() < deadline, "still ready");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// When it is closed after `since`, and the code.
async fn closed(mut person: Person, since: Instant) -> (Duration, u16, bool) {
    let code = person.close_code().await;
    (since.elapsed(), code, person.pushed.iter().any(|frame| frame["type"] == "bye"))
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_and_streams_are_told_and_ended_evenly_after_load_balancers_have_heard() {
    let (mut stack, [sequencer, _publisher, _projector]) = start(1_000, 1_500).await;
    let mut gateway = stack.role("gateway").await;
    stack.address = gateway.address.clone();
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut asking, _) = Person::online(&stack.address, &ada, None).await;
    let conversation = asking.direct_until_heard(&bob).await;
    let (mut listener, _) = Listener::online(&stack.address, &bob, None).await;
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        sockets.push(Person::online(&stack.address, &bob, None).await.0);
    }
    // Begun before the end, and answered only after the time to drain.
    sequencer.freeze().await;
    let asked = asking.start("message.send", message(&conversation, "the last", uuid::Uuid::now_v7())).await;
    gateway.ask_to_end().await;
    let began = Instant::now();
    unready(&gateway).await;
    // Load balancers have not all heard of it: whoever still comes is served.
    let mut late = Person::connect(&stack.address, &bob).await;
    late.hello(None).await.expect("is taken");
    let all = sockets.into_iter().map(|person| closed(person, began));
    let ends = async {
        let ends = futures_util::future::join_all(all).await;
        sequencer.thaw().await;
        ends
    };
    let (mut ends, stream) = tokio::join!(ends, listener.rest());
    let last = stream.last().expect("a bye");
    assert_eq!((&last["type"], &last["data"]["reason"]), (&json!("bye"), &json!("draining")));
    assert!(ends.iter().all(|(_, code, bye)| *code == 4001 && *bye), "{ends:?}");
    ends.sort_unstable();
    let at: Vec<_> = ends.iter().map(|(at, ..)| at.as_millis()).collect();
    assert!(at[0] >= 950, "nobody is closed before the notice is over: {at:?}");
    let middle = at[at.len() / 2] - at[0];
    assert!((400..=1_300).contains(&middle), "evenly: {at:?}");
    let reply = asking.reply(asked).await.expect("what was begun is answered");
    assert_eq!(reply["position"], 2);
    assert_eq!((asking.close_code().await, late.close_code().await), (4001, 4001));
    assert!(gateway.end().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_drains_nobody_new_is_taken_and_its_metrics_say_how_many_are_left() {
    let (mut stack, _behind) = start(0, 4_000).await;
    let mut gateway = stack.role("gateway").await;
    stack.address = gateway.address.clone();
    let bob = stack.account("Bob").await;
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        sockets.push(Person::online(&stack.address, &bob, None).await.0);
    }
    gateway.ask_to_end().await;
    unready(&gateway).await;
    let refused = Listener::open(&stack.address, &bob, None).await.err().expect("is refused");
    assert_eq!((refused.0, &refused.1["code"]), (503, &json!("unavailable")));
    let socket = tidings_client::Socket::connect(&endpoint(&stack.address)).await;
    assert!(matches!(socket, Err(tidings_client::Error::Connect { status: Some(503), .. })));
    // What is no socket is still answered.
    assert_eq!(stack.get("/v1/inbox", &bob.token).await.0, 200);
    let mut left = Vec::new();
    while let Ok(response) = reqwest::get(format!("http://{}/metrics", gateway.address)).await {
        let text = response.text().await.unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("tidings_gateway_sockets_draining "));
        left.extend(line.and_then(|number| number.parse::<f64>().ok()));
        if left.last() == Some(&0.0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(left.iter().any(|left| (5.0..SOCKETS as f64).contains(left)), "{left:?}");
    assert!(left.is_sorted_by(|a, b| a >= b), "{left:?}");
    assert!(gateway.end().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_waiting_and_nothing_else() {
    let (mut stack, _behind) = start(60_000, 60_000).await;
    let mut gateway = stack.role("gateway").await;
    stack.address = gateway.address.clone();
    let account: Account = stack.account("Ada").await;
    let (person, _) = Person::online(&stack.address, &account, None).await;
    gateway.ask_to_end().await;
    unready(&gateway).await;
    let began = Instant::now();
    gateway.ask_to_end().await;
    let (_, code, bye) = closed(person, began).await;
    assert_eq!((code, bye), (4001, true));
    assert!(gateway.end().await.success());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

fn endpoint(address: &str) -> tidings_client::Endpoint {
    tidings_client::Endpoint::new(&format!("http://{address}")).expect("an address")
}
