//! A second sequencer takes over while the first is frozen, and the first wakes up as a zombie.

use serde_json::json;

use crate::support::{Person, Stack};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sequencer_takes_over_from_a_frozen_one() {
    let mut stack = Stack::start().await;
    let first = stack.role("sequencer").await;
    let (_projector, _publisher) = (stack.role("projector").await, stack.role("publisher").await);
    let gateway = stack.role("gateway").await;
    stack.address = gateway.address.clone();
    let accounts = stack.accounts("pair", 12).await;
    let mut pairs = Vec::new();
    for pair in accounts.chunks(2) {
        let (mut a, _) = Person::online(&stack.address, &pair[0], None).await;
        let (b, _) = Person::online(&stack.address, &pair[1], None).await;
        let conversation = a.direct(&pair[1]).await;
        pairs.push((a, b, conversation));
    }
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let sending = pairs.into_iter().map(|(mut a, b, conversation)| {
        let stopped = stopped.clone();
        tokio::spawn(async move {
            let mut told = Vec::new();
            while !*stopped.borrow() {
                let text = format!("message {}", told.len());
                let sent = a.say_until_heard(&conversation, &text).await;
                told.push((text, sent["seq"].as_i64().expect("a seq"), sent["position"].as_i64().expect("a position")));
            }
            (a, b, conversation, told)
        })
    });
    let sending: Vec<_> = sending.collect();
    let second = stack.role("sequencer").await;
    let mut probe = Person::online(&stack.address, &stack.account("probe").await, None).await.0;
    let other = stack.account("other").await;
    let probe_conversation = probe.direct(&other).await;
    probe.say_until_heard(&probe_conversation, "both run").await;
    // The first freezes with commands in its hands; the second must take its partitions.
    first.freeze().await;
    for n in 0..6 {
        let other = stack.account(&format!("frozen {n}")).await;
        let conversation = probe.direct_until_heard(&other).await;
        probe.say_until_heard(&conversation, "while it is frozen").await;
    }
    first.thaw().await;
    for n in 0..6 {
        let other = stack.account(&format!("thawed {n}")).await;
        let conversation = probe.direct_until_heard(&other).await;
        probe.say_until_heard(&conversation, "with the zombie back").await;
    }
    stop.send(true).expect("listening");
    for task in sending {
        let (mut a, mut b, conversation, told) = task.await.expect("sends");
        let last = told.len() as i64 + 1;
        for (n, (text, seq, position)) in told.iter().enumerate() {
            assert_eq!((*seq, *position), (n as i64 + 1, n as i64 + 2), "{text}");
        }
        b.wait_until_position(&conversation, last).await;
        let mut seen = b.positions(&conversation);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, (1..=last).collect::<Vec<_>>(), "every push came");
        let history =
            a.ok_until_heard("history", json!({"conversation": conversation, "after_seq": 0, "limit": 200})).await;
        for (message, (text, seq, _)) in history["messages"].as_array().expect("messages").iter().zip(&told) {
            assert_eq!((&message["text"], &message["seq"]), (&json!(text), &json!(seq)));
        }
    }
    drop((first, second));
}
