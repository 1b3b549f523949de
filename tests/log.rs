//! Owning and reading partitions of a real Kafka.

#[path = "support/kafka.rs"]
mod kafka;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tidings::codec::Codec;
use tidings::codec::records::{JournalRecord, REJECTED};
use tidings::domain::{CommandId, EventId, TenantId, Timestamp, UserId};
use tidings::log::journal::{Head, JournalError, JournalReader};
use tidings::log::{Change, MAX_RECORD_BYTES, Ownership, Producer, ReadError, Reader, read_to_end, topics};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use kafka::Kafka;

const PATIENCE: Duration = Duration::from_secs(30);

async fn ready(kafka: &Kafka) {
    let layout = topics::Layout { partitions: 2, delivery_partitions: 1, replication: 1, min_insync: 1 };
    topics::ensure(&kafka.client, layout).await.expect("topics");
}

fn join(kafka: &Kafka) -> (Ownership, UnboundedReceiver<Change>) {
    Ownership::join(&kafka.client, "owners", topics::CONVERSATION_COMMANDS, 6_000).expect("joins")
}

/// Lets go of everything at once, until it has exactly so many partitions.
async fn until(changes: &mut UnboundedReceiver<Change>, ours: &mut HashSet<i32>, count: usize) {
    while ours.len() != count {
        match timeout(PATIENCE, changes.recv()).await.expect("in time").expect("the group goes on") {
            Change::Gained(partitions) => ours.extend(partitions),
            Change::Losing { partitions, done } => {
                ours.retain(|partition| !partitions.contains(partition));
                drop(done);
            }
            Change::Failed(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gave_a_partition_away_cannot_commit_for_it_although_it_is_a_member() {
    let kafka = Kafka::start().await;
    ready(&kafka).await;
    let (first, mut first_changes) = join(&kafka);
    let (mut of_first, mut of_second) = (HashSet::new(), HashSet::new());
    until(&mut first_changes, &mut of_first, 2).await;
    let (second, mut second_changes) = join(&kafka);
    tokio::join!(until(&mut first_changes, &mut of_first, 1), until(&mut second_changes, &mut of_second, 1),);
    assert!(of_first.is_disjoint(&of_second));
    let (kept, given) = (*of_first.iter().next().expect("one"), *of_second.iter().next().expect("one"));
    let at = |partition: i32, offset: i64| HashMap::from([(partition, (offset, "newest".to_owned()))]);
    second.commit(at(given, 7)).await.expect("is the owner's");
    first.commit(at(kept, 5)).await.expect("is the owner's");
    first.commit(at(given, 3)).await.expect_err("it is another's now");
    assert_eq!(second.committed(given).await.expect("asked").offset, Some(7));
    first.leave().await;
    until(&mut second_changes, &mut of_second, 2).await;
    second.commit(at(kept, 6)).await.expect("is the owner's");
    second.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_record_fits_and_a_lost_end_is_told() {
    let kafka = Kafka::start().await;
    ready(&kafka).await;
    let producer = Producer::new(&kafka.client).expect("configured");
    // Everything that belongs to a record counts.
    let large = vec![7; MAX_RECORD_BYTES - 1_000];
    for topic in [topics::DELIVERIES, topics::CONVERSATION_JOURNAL, topics::CONVERSATION_EVENTS] {
        producer.append(topic, 0, b"key", Some(&large)).expect("queued").await.expect("appended");
        let read = read_to_end(&kafka.client, topic, 0).await.expect("reads");
        assert_eq!(read.last().expect("a record").value.as_deref(), Some(&large[..]));
    }
    let reader = Reader::new(&kafka.client, topics::USER_JOURNAL).expect("a reader");
    // Checkpoints say that there was one record more than there is.
    let head = Head { next_offset: 1, offset: 0, index: 1, ..Head::default() };
    let opened = JournalReader::open(&reader, Codec::builtin(), topics::USER_JOURNAL, 0, head);
    let opened = timeout(PATIENCE, opened).await.expect("does not wait for records that may never come");
    assert!(matches!(opened.err(), Some(JournalError::Read(ReadError::OutOfRange { wanted: 1, high: 0, .. }))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_began_anew_is_not_read_from_a_checkpoint_of_before() {
    let kafka = Kafka::start().await;
    ready(&kafka).await;
    let id = EventId::generate();
    let record = JournalRecord {
        id,
        prev: EventId::generate(),
        index: 8,
        cause_epoch: 1,
        cause_offset: 0,
        tenant: TenantId::generate(),
        aggregate: UserId::generate().to_string(),
        r#type: REJECTED.to_owned(),
        position: 0,
        seq: 0,
        last_seq: 0,
        at: Timestamp(1),
        actor: UserId::generate(),
        causation: CommandId::generate(),
        reply_to: None,
        traceparent: None,
        rejection: None,
        records: Vec::new(),
    };
    let value = Codec::builtin().encode(&record).expect("encodes");
    let producer = Producer::new(&kafka.client).expect("configured");
    producer.append(topics::USER_JOURNAL, 0, b"key", Some(&value)).expect("queued").await.expect("appended");
    let reader = Reader::new(&kafka.client, topics::USER_JOURNAL).expect("a reader");
    for (head, expected) in
        [(Head::default(), None), (Head { epoch: 1, index: 7, id: record.prev, ..Head::default() }, Some(8))]
    {
        let journal = JournalReader::open(&reader, Codec::builtin(), topics::USER_JOURNAL, 0, head).await;
        let mut journal = journal.expect("opens");
        let read = async {
            loop {
                match journal.next(9).await {
                    Ok(accepted) if accepted.is_empty() => {}
                    read => return read,
                }
            }
        };
        match timeout(PATIENCE, read).await.expect("in time") {
            Ok(accepted) => assert_eq!(accepted.first().map(|accepted| accepted.record.index), expected),
            Err(error) => {
                assert!(matches!(error, JournalError::WrongEpoch { expected: 0, found: 1, .. }), "{error}");
                assert_eq!(expected, None);
            }
        }
    }
}
