//! Records of every topic, as bytes: decoded with the schemas that are compiled in, and with those that a registry told.

use std::fmt::Debug;
use std::sync::LazyLock;

use super::{CASES, Draw, MAX_LEN};
use crate::codec::records::*;
use crate::codec::{Codec, Record, SCHEMAS};
use crate::domain::conversation::{Conversation, decide, evolve};
use crate::domain::{Timestamp, user};
use crate::gateway::fakes::FakeKeys;
use crate::gateway::ports::EventRow;
use crate::gateway::shapes::Opener;
use crate::log::Fetched;
use crate::sequencer::aggregate::Aggregate;
use crate::sequencer::conversations::Conversations;
use crate::sequencer::users::Users;

/// Added to an id: the same schema, but learned.
const LEARNED: u32 = 0x0100_0000;

static TOLD: LazyLock<Codec> = LazyLock::new(|| {
    let codec = Codec::with_ids(&Default::default()).expect("builds");
    for version in SCHEMAS {
        codec.learn(version.id + LEARNED, version.text).expect("learns");
    }
    codec
});

#[test]
fn records() {
    bolero::check!().with_iterations(CASES).with_max_len(MAX_LEN).for_each(|input: &[u8]| {
        let mut draw = Draw(input);
        match draw.below(4) {
            // Framed, as it stands in a topic.
            0 => decode(draw.rest(), 0),
            // With the header of a schema, so that chance gets as far as the datum.
            _ => {
                let version = &SCHEMAS[draw.below(SCHEMAS.len())];
                let framed = [&[0], &version.id.to_be_bytes()[..], draw.rest()].concat();
                decode(&framed, 0);
            }
        }
    });
}

fn decode(bytes: &[u8], depth: usize) {
    command(bytes);
    each::<Receipt>(bytes);
    each::<UserKey>(bytes);
    each::<Session>(bytes);
    each::<GatewayClaim>(bytes);
    each::<Presence>(bytes);
    each::<Marks>(bytes);
    each::<Notification>(bytes);
    each::<CrowdNotification>(bytes);
    each::<Signal>(bytes);
    each::<DeadLetter>(bytes);
    each::<Checkpoint>(bytes);
    if let Some(event) = each::<ConversationEvent>(bytes) {
        shown(event);
    }
    drop(each::<UserEvent>(bytes));
    if let Some(delivery) = each::<Delivery>(bytes) {
        assert!(delivery.users().count() <= bytes.len());
        // Only a record of a record: a gateway never looks deeper.
        if let Some(record) = delivery.record.filter(|_| depth == 0) {
            decode(&record, 1);
        }
    }
    if let Some(record) = each::<JournalRecord>(bytes) {
        // An error stops the partition; it must be one, and no panic.
        drop(Conversations::recorded(Codec::builtin(), &record));
        drop(Users::recorded(Codec::builtin(), &record));
        for value in record.records.iter().filter(|_| depth == 0).filter_map(|record| record.value.as_deref()) {
            decode(value, 1);
        }
    }
}

/// Decodes it, by the direct way and by that of learned schemas: where both can, they read the same. What was read can be written, and read again.
fn each<T: Record + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let codec = Codec::builtin();
    let told = relabelled(bytes).and_then(|bytes| TOLD.decode::<T>(&bytes).ok());
    let record: T = codec.decode(bytes).ok()?;
    if let Some(told) = told {
        assert_eq!(told, record);
    }
    let again = codec.encode(&record).expect("what was read can be written");
    assert_eq!(codec.decode::<T>(&again).expect("what was written can be read"), record);
    Some(record)
}

fn relabelled(bytes: &[u8]) -> Option<Vec<u8>> {
    let (&[0, a, b, c, d], datum) = bytes.split_first_chunk::<5>()? else { return None };
    let id = u32::from_be_bytes([a, b, c, d]).checked_add(LEARNED)?;
    Some([&[0], &id.to_be_bytes()[..], datum].concat())
}

/// What a sequencer does with a command, as the first of its conversation or user.
fn command(bytes: &[u8]) {
    let value = Some(bytes::Bytes::copy_from_slice(bytes));
    let fetched = Fetched { partition: 0, offset: 0, timestamp: Timestamp(1_795_000_000_000), key: None, value };
    if let Ok(command) = Conversations::command(Codec::builtin(), &fetched) {
        let mut state: Option<Conversation> = None;
        let decided = decide(state.as_ref(), &command.input);
        if let crate::domain::decision::Decision::Record(recorded) = decided {
            evolve(&mut state, command.aggregate, command.tenant, &recorded);
            drop(decide(state.as_ref(), &command.input));
        }
        let _ = Conversations::lookups(state.as_ref(), &command.input);
    }
    if let Ok(command) = Users::command(Codec::builtin(), &fetched) {
        drop(user::decide(None, &command.input));
    }
    each::<ConversationCommand>(bytes);
    each::<UserCommand>(bytes);
    each::<UserKeyRewrap>(bytes);
}

/// What a gateway makes of an event for its sockets.
fn shown(event: ConversationEvent) {
    let keys = FakeKeys::default();
    let row = EventRow {
        kind: event.r#type.clone(),
        position: event.position,
        at: event.occurred_at,
        actor: event.actor,
        causation: event.causation,
        event: event.event(),
    };
    if let Ok(shown) = Opener::new(&keys, event.tenant).event(event.conversation, row) {
        serde_json::to_string(&shown).expect("is JSON");
    }
}
