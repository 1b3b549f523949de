//! Each role restarts in the middle, orderly and killed: nobody loses or doubles a message.

use serde_json::json;

use crate::support::{Person, Role, Stack};

/// Ada sends to Bob all the time; Bob must have each text once, at gapless positions.
async fn send_through(stack: &Stack, disturb: impl AsyncFnOnce()) {
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let (mut b, _) = Person::online(&stack.address, &bob, None).await;
    let conversation = a.direct_until_heard(&bob).await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let sending = tokio::spawn({
        let conversation = conversation.clone();
        async move {
            let mut texts = Vec::new();
            while stopped.try_recv().is_err() {
                let text = format!("message {}", texts.len());
                a.say_until_heard(&conversation, &text).await;
                texts.push(text);
            }
            texts
        }
    });
    disturb().await;
    // It must still be going on after the disturbance.
    b.wait("a message", |f| f["type"] == "message.sent").await;
    stop.send(()).expect("still sending");
    let texts = sending.await.expect("sends");
    let last = texts.len() as i64 + 1;
    let events =
        b.ok_until_heard("events", json!({"conversation": conversation, "after_position": 1, "limit": 1000})).await;
    let events = events["events"].as_array().expect("events");
    let log: Vec<_> = events.iter().map(|e| e["data"]["text"].as_str().expect("text").to_owned()).collect();
    assert_eq!(log, texts[..log.len()], "each once, in order");
    assert!(log.len() == texts.len().min(1000));
    let history = b.ok_until_heard("history", json!({"conversation": conversation, "limit": 1})).await;
    assert_eq!(history["messages"][0]["seq"], last - 1);
}

struct Roles {
    gateway: Role,
    sequencer: Role,
    projector: Role,
    publisher: Role,
}

async fn roles(stack: &mut Stack) -> Roles {
    let sequencer = stack.role("sequencer").await;
    let (projector, publisher) = (stack.role("projector").await, stack.role("publisher").await);
    let gateway = stack.role("gateway").await;
    stack.address = gateway.address.clone();
    Roles { gateway, sequencer, projector, publisher }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roles_behind_restart_while_people_chat() {
    let mut stack = Stack::start().await;
    let Roles { gateway, sequencer, projector, publisher } = roles(&mut stack).await;
    let mut behind = [sequencer, projector, publisher].map(Some);
    for role in &mut behind {
        for kill in [false, true] {
            let running = role.take().expect("running");
            send_through(&stack, async || {
                *role = Some(if kill { running.kill_and_restart().await } else { running.restart().await });
            })
            .await;
        }
    }
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_restarts_and_clients_come_back_with_their_cursor() {
    let mut stack = Stack::start().await;
    let roles = roles(&mut stack).await;
    let second = stack.role("gateway").await;
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut a, _) = Person::online(&second.address, &ada, None).await;
    let (mut b, seen) = Person::online(&stack.address, &bob, None).await;
    let conversation = a.direct(&bob).await;
    a.say(&conversation, "before").await;
    b.message("before").await;
    let gateway = roles.gateway.kill_and_restart().await;
    assert_eq!(b.close_code().await, 1006);
    // Sent while Bob is nowhere, through the other gateway.
    a.say(&conversation, "during").await;
    let (mut b, _) = Person::online(&gateway.address, &bob, seen["cursor"].as_str()).await;
    let entry = b.wait("the change", |f| f["type"] == "inbox.changed").await;
    assert_eq!(entry["data"]["last_message"]["text"], "during");
    a.say(&conversation, "after").await;
    b.message("after").await;
    let gateway = gateway.restart().await;
    let bye = b.wait("bye", |f| f["type"] == "bye").await;
    assert!(bye["data"]["reconnect_after_ms"].is_array(), "{bye}");
    assert_eq!(b.close_code().await, 4001);
    let (mut b, _) = Person::online(&gateway.address, &bob, None).await;
    a.say(&conversation, "and again").await;
    b.message("and again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_all_roles_comes_and_goes_beside_single_ones() {
    let mut stack = Stack::start().await;
    let roles = roles(&mut stack).await;
    send_through(&stack, async || {
        // It takes a share of every role's partitions, and serves clients of its own.
        let all = stack.role("all").await;
        let (carl, dora) = (stack.account("Carl").await, stack.account("Dora").await);
        let (mut here, _) = Person::online(&all.address, &carl, None).await;
        let (mut there, _) = Person::online(&stack.address, &dora, None).await;
        let conversation = here.direct_until_heard(&dora).await;
        here.say_until_heard(&conversation, "from all to one").await;
        there.message("from all to one").await;
        there.say_until_heard(&conversation, "from one to all").await;
        here.message("from one to all").await;
        drop(all.restart().await);
    })
    .await;
    drop(roles);
}
