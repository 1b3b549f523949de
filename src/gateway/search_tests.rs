//! Searching over an index in memory.

use proptest::prelude::*;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::*;
use crate::domain::CommandId;
use crate::domain::conversation::MessageSent;
use crate::domain::policy::{ConversationKind, Role, Standing};
use crate::gateway::fakes::{FakeKeys, World};
use crate::gateway::ports::Searchable;

fn context(world: &World) -> Context {
    Context { tenant: world.tenant, user: world.user(), socket: None, reads: std::sync::Arc::new(Semaphore::new(1)) }
}

fn place(conversation: ConversationId) -> Searchable {
    let standing = Standing::new(ConversationKind::Group, Some(Role::Member));
    Searchable { conversation, standing, visible_after_seq: 0, last_at: Timestamp::FOREVER }
}

fn row(seq: i64, at: i64, text: &str) -> MessageRow {
    let sent = MessageSent { text: Some(FakeKeys::sealed(text)), ..MessageSent::new(seq, Uuid::nil()) };
    MessageRow::of(sent, seq, UserId::from_bytes([9; 16]), Timestamp(at), CommandId::default())
}

/// Says `text`; the index has `indexed` of it.
fn say(world: &World, conversation: ConversationId, row: MessageRow, indexed: &str) {
    let terms = Term::of_message(row.sender, Some(indexed));
    let bytes: Vec<_> = terms.iter().map(Term::bytes).collect();
    let hashes = world.edge.ports.keyring.terms(conversation, &bytes);
    world.search.indexed.lock().expect("not poisoned").push((row.at, row.sent.seq, hashes));
    world.search.messages.lock().expect("not poisoned").push((conversation, row));
}

fn words(text: &str) -> Asked {
    Asked { words: Words::of(text), ..Asked::default() }
}

/// Where and which they are, over all pages.
async fn all(world: &World, asked: &Asked, places: &[Searchable], limit: usize) -> Vec<(String, i64)> {
    let (context, mut from, mut found) = (context(world), None, Vec::new());
    loop {
        let page = search(&world.edge, &context, asked, places, from, limit).await.expect("finds");
        assert!(page.messages.len() <= limit);
        for message in &page.messages {
            let message = serde_json::to_value(message).expect("serializes");
            found.push((
                message["conversation"].as_str().expect("an id").to_owned(),
                message["seq"].as_i64().expect("a seq"),
            ));
        }
        match page.next {
            Some(next) => from = Some(next.to_string().parse().expect("a cursor")),
            None => return found,
        }
    }
}

#[tokio::test]
async fn what_the_index_has_and_the_text_has_not_is_not_shown() {
    let (world, here) = (World::new(), ConversationId::generate());
    say(&world, here, row(1, 1, "the old pier"), "the old pier");
    // Edited since, hidden from its reader, removed since.
    say(&world, here, row(2, 2, "somewhere else"), "the old pier");
    world.search.messages.lock().expect("not poisoned").retain(|(_, row)| row.sent.seq != 3);
    let found = all(&world, &words("pier"), &[place(here)], 9).await;
    assert_eq!(found, [(here.to_string(), 1)]);
    let hidden = Searchable { visible_after_seq: 1, ..place(here) };
    assert!(all(&world, &words("pier"), &[hidden], 9).await.is_empty());
    assert!(all(&world, &words("pier"), &[], 9).await.is_empty(), "nowhere to look");
}

#[tokio::test]
async fn a_text_without_a_key_is_passed_over() {
    let (world, here) = (World::new(), ConversationId::generate());
    say(&world, here, row(1, 1, "the old pier"), "the old pier");
    world.keys.missing.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(all(&world, &words("pier"), &[place(here)], 9).await.is_empty());
}

proptest! {
    /// Each once, newest first, whatever the pages: what a look at every message finds.
    #[test]
    fn pages_are_what_a_look_at_every_message_finds(
        said in prop::collection::vec((0_u8..3, 0_i64..4, prop::sample::select(vec!["pier", "old pier", "boat"]), any::<bool>()), 0..30),
        limit in 1_usize..6,
        asked in prop::sample::select(vec!["pier", "old pier", "boat", ""]),
        after in prop::option::of(0_i64..4),
        before in prop::option::of(0_i64..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let world = World::new();
        let places: Vec<_> = (0..3).map(|n| place(ConversationId::from_bytes([n; 16]))).collect();
        let (mut expected, mut clocks) = (Vec::new(), [0_i64; 3]);
        let asked = Asked { after: after.map(Timestamp), before: before.map(Timestamp), ..words(asked) };
        for (seq, (number, later, text, stale)) in (1..).zip(said) {
            let conversation = places[usize::from(number)].conversation;
            let clock = &mut clocks[usize::from(number)];
            *clock += later / 3;
            let now = if stale { "gone" } else { text };
            let message = row(seq, *clock, now);
            let (at, sender) = (message.at, message.sender);
            if asked.matches(&MessageSeen { at, sender }, Some(now)) && (asked.words.is_empty() || !stale) {
                expected.push((at, conversation, seq));
            }
            say(&world, conversation, message, text);
        }
        expected.sort_unstable_by_key(|point| Reverse(*point));
        let expected: Vec<_> = expected.into_iter().map(|(_, conversation, seq)| (conversation.to_string(), seq)).collect();
        prop_assert_eq!(runtime.block_on(all(&world, &asked, &places, limit)), expected);
    }
}
