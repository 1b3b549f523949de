//! A command that cannot be decoded is set aside, and the partition moves on.

use tidings::codec::SCHEMAS;
use tidings::log::{Producer, topics};

use crate::support::{Person, Stack};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_decoded_is_listed_and_passed_over() {
    let mut stack = Stack::start().await;
    let all = stack.role("all").await;
    stack.address = all.address.clone();
    let (ada, bob) = (stack.account("Ada").await, stack.account("Bob").await);
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    let conversation = a.direct(&bob).await;
    let mut client = rdkafka::ClientConfig::new();
    client.set("bootstrap.servers", stack.parts.kafka());
    let producer = Producer::new(&client).expect("a producer");
    for partition in 0..4 {
        // No frame, a command that is cut short, and a schema that nobody knows.
        let id = SCHEMAS[0].id.to_be_bytes();
        let damaged = [0, id[0], id[1], id[2], id[3], 255, 255];
        for value in [&b"not a frame"[..], &damaged, &[0, 0, 0, 99, 0]] {
            let append =
                producer.append(topics::CONVERSATION_COMMANDS, partition, b"key", Some(value)).expect("queued");
            append.await.expect("appended");
        }
    }
    a.say(&conversation, "moves on").await;
    let listed = stack.run(&["admin", "dead-letters"]).await;
    let lines = listed.lines().filter(|line| line.contains("conversation-commands")).count();
    assert_eq!(lines, 12, "{listed}");
    assert!(listed.contains("wire format") && listed.contains("damaged") && listed.contains("25344"), "{listed}");
    // It stays so after a restart: they are not found again.
    let all = all.restart().await;
    stack.address = all.address.clone();
    let (mut a, _) = Person::online(&stack.address, &ada, None).await;
    a.say(&conversation, "and on").await;
    assert_eq!(stack.run(&["admin", "dead-letters"]).await, listed);
}
