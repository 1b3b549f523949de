//! More comes than is answered: what is too much is refused at once with when to come back, and the rest is answered once it can be.

use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::support::person::PATIENCE;
use crate::support::{Person, Stack, message};

const PEOPLE: usize = 4;
/// Of each: together twice what a gateway lets in for one partition at first.
const SENDS: usize = 500;
/// Of a gateway that holds 2,000 commands.
const MOST_KB: i64 = 400_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_refused_at_once_and_the_rest_is_answered() {
    let mut stack = Stack::start().await;
    for (name, value) in [
        ("TIDINGS_LIMITS__COMMANDS_PER_SECOND", "100000"),
        ("TIDINGS_LIMITS__COMMANDS_BURST", "100000"),
        // Longer than the sequencer is away: what was let in is answered.
        ("TIDINGS_GATEWAY__COMMAND_TIMEOUT_MS", "60000"),
    ] {
        stack.env.push((name.into(), value.into()));
    }
    let sequencer = stack.role("sequencer").await;
    let (_projector, _publisher) = (stack.role("projector").await, stack.role("publisher").await);
    let gateway = stack.role("gateway").await;
    stack.address = gateway.address.clone();
    let accounts = stack.accounts("person", PEOPLE).await;
    let mut people = Vec::new();
    for account in &accounts {
        people.push(Person::online(&stack.address, account, None).await.0);
    }
    let members: Vec<_> = accounts[1..].iter().map(|account| &account.user).collect();
    let create = json!({ "kind": "group", "members": members, "client_id": Uuid::now_v7() });
    let created = people[0].ok_until_heard("conversation.create", create).await;
    let conversation = created["conversation"].as_str().expect("an id").to_owned();

    sequencer.freeze().await;
    let began = Instant::now();
    let mut asked = Vec::new();
    for person in &mut people {
        for n in 0..SENDS {
            let id = person.start("message.send", message(&conversation, &format!("{n}"), Uuid::now_v7())).await;
            asked.push(id);
        }
    }
    // Refusals come while nobody answers anything.
    let refusals = "tidings_gateway_commands_refused_total{topic=\"conversation-commands\"} 1000";
    while !stack.get_text("/metrics").await.contains(refusals) {
        assert!(began.elapsed() < PATIENCE, "they are refused while the sequencer is frozen, not when it is back");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let (mut refused, mut let_in) = (0, Vec::new());
    for (n, person) in people.iter_mut().enumerate() {
        let ids = &asked[n * SENDS..(n + 1) * SENDS];
        // What was refused before this has come before its answer.
        person.ok("ping", json!({})).await;
        for id in ids {
            match person.take_reply(*id) {
                Some(Err(error)) => {
                    let wait = error["retry_after_ms"].as_u64();
                    assert_eq!(error["code"], "unavailable", "{error}");
                    assert!(wait.is_some_and(|ms| (1_000..=3_000).contains(&ms)), "{error}");
                    refused += 1;
                }
                Some(Ok(reply)) => panic!("nobody can have answered {reply}"),
                None => let_in.push((n, *id)),
            }
        }
    }
    assert_eq!((refused, let_in.len()), (PEOPLE * SENDS - 1_000, 1_000));
    // What nobody waits for goes first.
    people[0].ok("typing", json!({ "conversation": conversation, "active": true })).await;
    let metrics = stack.get_text("/metrics").await;
    assert!(metrics.contains("tidings_gateway_signals_shed_total 1"), "{metrics}");
    let resident = gateway.resident_kb();
    assert!(resident < MOST_KB, "the gateway takes {resident} kB");

    sequencer.thaw().await;
    for (n, id) in let_in {
        let reply: Result<Value, Value> = people[n].reply(id).await;
        reply.unwrap_or_else(|error| panic!("what was let in is answered, not {error}"));
    }
    people[1].say_until_heard(&conversation, "it flows again").await;
    people[2].wait_until_position(&conversation, 1_002).await;
}
