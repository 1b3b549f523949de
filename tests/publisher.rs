//! The publisher over a real Kafka: what is accepted reaches the public streams exactly once and in order, whatever is killed.

#[path = "support/kafka.rs"]
mod kafka;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tidings::codec::Codec;
use tidings::codec::records::{Checkpoint, JournalRecord, StreamRecord, UserKey};
use tidings::crypto::{Keyring, LocalMasterKeys, MasterKeys, generate_line, make_key};
use tidings::domain::{CommandId, ConversationId, EventId, TenantId, Timestamp, UserId};
use tidings::log::journal::Head;
use tidings::log::topics::{self, Layout};
use tidings::log::{Checkpoints, Producer, Reader, partition_of, read_to_end};
use tidings::publisher::{self, Options, transactional_id, trim};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use kafka::Kafka;

const PARTITIONS: i32 = 2;
const JOURNAL: &str = topics::CONVERSATION_JOURNAL;
const PATIENCE: Duration = Duration::from_secs(60);

/// A sequencer's journal partition, written by hand.
struct Owner {
    producer: Producer,
    partition: i32,
    head: EventId,
    index: i64,
}

impl Owner {
    fn new(kafka: &Kafka, partition: i32) -> Self {
        let producer = Producer::new(&kafka.client).expect("configured");
        Self { producer, partition, head: EventId::default(), index: 0 }
    }

    fn record(&self, prev: EventId, text: &str, streams: &[&str]) -> JournalRecord {
        let aggregate = ConversationId::generate().to_string();
        let record = |stream: &&str| StreamRecord {
            stream: (*stream).to_owned(),
            key: format!("{aggregate}/{text}"),
            value: Some(Bytes::copy_from_slice(text.as_bytes())),
        };
        JournalRecord {
            id: EventId::generate(),
            prev,
            index: self.index + 1,
            cause_epoch: 0,
            cause_offset: self.index,
            tenant: TenantId::generate(),
            records: streams.iter().map(record).collect(),
            aggregate,
            r#type: "message.sent".into(),
            position: 1,
            seq: 1,
            last_seq: 1,
            at: Timestamp::now(),
            actor: UserId::generate(),
            causation: CommandId::generate(),
            reply_to: None,
            traceparent: None,
            rejection: None,
        }
    }

    async fn append(&self, value: &[u8]) {
        let appending = self.producer.append(JOURNAL, self.partition, b"key", Some(value)).expect("queued");
        appending.await.expect("appended");
    }

    /// Appends what is accepted, and behind each a loser.
    async fn accept(&mut self, texts: std::ops::Range<usize>) {
        for number in texts {
            let text = format!("accepted {number:05}");
            let record = self.record(self.head, &text, &[topics::CONVERSATION_EVENTS, topics::RECEIPTS]);
            let loser = self.record(EventId::generate(), "loser", &[topics::CONVERSATION_EVENTS]);
            (self.head, self.index) = (record.id, record.index);
            for record in [record, loser] {
                self.append(&Codec::builtin().encode(&record).expect("encodes")).await;
            }
        }
    }
}

async fn start() -> Kafka {
    let kafka = Kafka::start().await;
    let layout = Layout { partitions: PARTITIONS, delivery_partitions: 1, replication: 1, min_insync: 1 };
    topics::ensure(&kafka.client, layout).await.expect("topics are made");
    kafka
}

struct Publisher {
    task: JoinHandle<anyhow::Result<()>>,
    shutdown: CancellationToken,
}

impl Publisher {
    fn start(kafka: &Kafka) -> Self {
        let shutdown = CancellationToken::new();
        let options = Options::new(kafka.client.clone(), Codec::builtin());
        Self { task: tokio::spawn(publisher::run(options, shutdown.clone())), shutdown }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        timeout(PATIENCE, self.task).await.expect("ends").expect("does not panic").expect("does not fail");
    }
}

async fn texts(kafka: &Kafka, topic: &str, partition: i32) -> Vec<String> {
    let records = read_to_end(&kafka.client, topic, partition).await.expect("read");
    records.into_iter().map(|r| String::from_utf8_lossy(r.value.as_deref().unwrap_or_default()).into_owned()).collect()
}

fn expected(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("accepted {number:05}")).collect()
}

async fn checkpoint(kafka: &Kafka, partition: i32) -> Option<Checkpoint> {
    Checkpoints::new(&kafka.client, Codec::builtin()).get(JOURNAL, partition).await.expect("read")
}

async fn published(kafka: &Kafka, partition: i32, index: i64) -> Checkpoint {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match checkpoint(kafka, partition).await {
            Some(checkpoint) if checkpoint.index >= index => return checkpoint,
            found => assert!(Instant::now() < deadline, "published up to {found:?}, not {index}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// What a publisher that was killed leaves behind: records in the streams and a checkpoint, without a commit.
fn killed(kafka: &Kafka, partition: i32, head: Head) -> BaseProducer {
    let mut config = kafka.client.clone();
    config.set("transactional.id", transactional_id(JOURNAL, partition));
    let producer: BaseProducer = config.create().expect("configured");
    producer.init_transactions(PATIENCE).expect("takes over");
    producer.begin_transaction().expect("begins");
    let key = format!("{JOURNAL}/{partition}");
    let far = Head { index: 1_000_000, next_offset: 1_000_000, ..head };
    let checkpoint = Codec::builtin().encode(&far.checkpoint(JOURNAL, partition)).expect("encodes");
    let sends = [
        BaseRecord::to(topics::CONVERSATION_EVENTS).partition(partition).key("k").payload(&b"never committed"[..]),
        BaseRecord::to(topics::CHECKPOINTS).partition(0).key(key.as_str()).payload(&checkpoint[..]),
    ];
    for send in sends {
        producer.send(send).map_err(|(error, _)| error).expect("queued");
    }
    producer.flush(PATIENCE).expect("in the log");
    producer
}

async fn take_over(kafka: &Arc<Kafka>, partition: i32) -> BaseProducer {
    let kafka = Arc::clone(kafka);
    tokio::task::spawn_blocking(move || killed(&kafka, partition, Head::default())).await.expect("takes over")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_is_published_once_and_in_order() {
    let kafka = start().await;
    let (mut first, mut second) = (Owner::new(&kafka, 0), Owner::new(&kafka, 1));
    first.accept(0..50).await;
    let publisher = Publisher::start(&kafka);
    tokio::join!(first.accept(50..300), second.accept(0..100));
    let checkpoint = published(&kafka, 0, 300).await;
    published(&kafka, 1, 100).await;
    assert_eq!((checkpoint.head, checkpoint.cause_offset), (first.head, 299));
    publisher.stop().await;
    // A second one goes on where the first ended.
    let publisher = Publisher::start(&kafka);
    first.accept(300..320).await;
    published(&kafka, 0, 320).await;
    an_idle_one_is_quick(&kafka, &mut first).await;
    publisher.stop().await;
    for topic in [topics::CONVERSATION_EVENTS, topics::RECEIPTS] {
        assert_eq!(texts(&kafka, topic, 0).await, expected(0..325), "{topic}");
        assert_eq!(texts(&kafka, topic, 1).await, expected(0..100), "{topic}");
    }
}

/// Appends 320 to 324, one at a time, and waits for each.
async fn an_idle_one_is_quick(kafka: &Kafka, owner: &mut Owner) {
    let reader = Reader::new(&kafka.client, topics::CONVERSATION_EVENTS).expect("reads");
    let high = reader.ends(0).await.expect("read").high;
    let mut records = reader.read(0, high).await.expect("read");
    let mut took = Vec::new();
    for number in 320..325 {
        let began = Instant::now();
        owner.accept(number..number + 1).await;
        while timeout(PATIENCE, records.next(1)).await.expect("comes").expect("read").is_empty() {}
        took.push(began.elapsed());
        sleep(Duration::from_millis(60)).await;
    }
    took.sort();
    eprintln!("idle: published after {took:?}");
    // Some 30 ms on a quiet machine.
    assert!(took[2] < Duration::from_secs(1), "an idle publisher is slow: {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_or_fenced_nothing_is_twice_and_nothing_missing() {
    let kafka = Arc::new(start().await);
    let mut owner = Owner::new(&kafka, 0);
    owner.accept(0..20).await;
    // Killed before its first commit.
    std::mem::forget(take_over(&kafka, 0).await);
    let publisher = Publisher::start(&kafka);
    published(&kafka, 0, 20).await;
    // Another takes the partition from the one that runs, and is killed between produce and commit.
    for round in 1..4 {
        let zombie = take_over(&kafka, 0).await;
        owner.accept(round * 20..round * 20 + 20).await;
        let index = (round as i64 + 1) * 20;
        assert_eq!(published(&kafka, 0, index).await.index, index);
        // The older one is fenced: what it left open is gone, and it commits nothing any more.
        let committed = tokio::task::spawn_blocking(move || zombie.commit_transaction(PATIENCE)).await.expect("ends");
        assert!(committed.is_err(), "a fenced publisher commits");
    }
    publisher.stop().await;
    assert_eq!(texts(&kafka, topics::CONVERSATION_EVENTS, 0).await, expected(0..80));
}

/// The last stable offset of `checkpoints` is before a checkpoint that stands after the beginning of another's transaction.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_of_another_hides_no_checkpoint() {
    let kafka = Arc::new(start().await);
    let open = take_over(&kafka, 1).await;
    let mut owner = Owner::new(&kafka, 0);
    owner.accept(0..10).await;
    let publisher = Publisher::start(&kafka);
    // The one of partition 1 ends the open transaction there; the one of partition 0 waits for that before it trusts what it reads.
    published(&kafka, 0, 10).await;
    publisher.stop().await;
    drop(open);
    let open = take_over(&kafka, 1).await;
    let reading = tokio::spawn({
        let kafka = Arc::clone(&kafka);
        async move { checkpoint(&kafka, 0).await }
    });
    sleep(Duration::from_millis(300)).await;
    assert!(!reading.is_finished(), "a reading does not wait for an open transaction");
    tokio::task::spawn_blocking(move || open.abort_transaction(PATIENCE)).await.expect("ends").expect("aborted");
    assert_eq!(reading.await.expect("read").map(|checkpoint| checkpoint.index), Some(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_stops_its_partition_only() {
    let kafka = start().await;
    let (mut first, mut second) = (Owner::new(&kafka, 0), Owner::new(&kafka, 1));
    let publisher = Publisher::start(&kafka);
    first.accept(0..5).await;
    published(&kafka, 0, 5).await;
    first.append(b"damaged").await;
    first.accept(5..10).await;
    second.accept(0..5).await;
    published(&kafka, 1, 5).await;
    assert_eq!(texts(&kafka, topics::CONVERSATION_EVENTS, 0).await, expected(0..5));
    publisher.stop().await;
}

struct Fixed(Option<i64>);

#[async_trait]
impl trim::Needs for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }

    async fn first_needed(&self, _: &str, _: i32) -> anyhow::Result<Option<i64>> {
        Ok(self.0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_is_trimmed_up_to_what_somebody_needs() {
    let kafka = start().await;
    let checkpoints = Checkpoints::new(&kafka.client, Codec::builtin());
    let mut owner = Owner::new(&kafka, 0);
    owner.accept(0..10).await;
    let trimmed = async |keep: Duration, needs: Vec<Option<i64>>| {
        let needs = needs.into_iter().map(|needed| Arc::new(Fixed(needed)) as Arc<dyn trim::Needs>).collect();
        let options = trim::Options { keep, ..trim::Options::new(needs) };
        trim::trim(&kafka.client, &options, &checkpoints, JOURNAL).await.expect("trims")
    };
    let hour = Duration::from_secs(3_600);
    assert_eq!(trimmed(Duration::ZERO, vec![]).await, [], "nothing is published");
    let publisher = Publisher::start(&kafka);
    let checkpoint = published(&kafka, 0, 10).await;
    assert_eq!(trimmed(hour, vec![]).await, [], "all is young");
    assert_eq!(trimmed(Duration::ZERO, vec![Some(4), None]).await, [], "one does not know");
    assert_eq!(trimmed(Duration::ZERO, vec![Some(9), Some(4)]).await, [(0, 4)]);
    assert_eq!(trimmed(Duration::ZERO, vec![]).await, [(0, checkpoint.head_offset)]);
    let ends = Reader::new(&kafka.client, JOURNAL).expect("reads").ends(0).await.expect("read");
    assert_eq!(ends.low, checkpoint.head_offset);
    // The record before the checkpoint is still there to be checked.
    publisher.stop().await;
    let publisher = Publisher::start(&kafka);
    owner.accept(10..15).await;
    published(&kafka, 0, 15).await;
    publisher.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyring_holds_what_is_in_the_topic_and_follows_it() {
    let kafka = start().await;
    let line = generate_line("a").expect("random");
    let master: Arc<dyn MasterKeys> = Arc::new(LocalMasterKeys::parse(&line).expect("parses"));
    let producer = Producer::new(&kafka.client).expect("configured");
    let tenant = TenantId::generate();
    let put = async |user: UserId, version: u32| {
        let key = make_key(&*master, tenant, user, version).await.expect("made");
        let record = UserKey {
            tenant,
            user,
            version: key.version,
            master: key.master,
            wrapped: key.wrapped,
            created_at: Timestamp::now(),
            epoch: 0,
            partition: 0,
            index: 1,
        };
        let partition = partition_of(user.to_string().as_bytes(), PARTITIONS);
        let value = Codec::builtin().encode(&record).expect("encodes");
        let key = format!("{user}/{version}");
        let appending = producer.append(topics::USER_KEYS, partition, key.as_bytes(), Some(&value));
        appending.expect("queued").await.expect("appended");
    };
    let users: Vec<_> = (0..20).map(|_| UserId::generate()).collect();
    for user in &users {
        put(*user, 1).await;
    }
    let shutdown = CancellationToken::new();
    let started = Keyring::start(&kafka.client, Codec::builtin(), Arc::clone(&master), shutdown.clone()).await;
    let keyring = started.expect("read");
    assert!(users.iter().all(|user| keyring.tenant_of(*user) == Some(tenant)) && keyring.users() == 20);
    let new = UserId::generate();
    let (found, ()) = tokio::join!(keyring.wait_for(tenant, new, PATIENCE), put(new, 1));
    assert_eq!((found, keyring.newest(new).map(|key| key.version())), (true, Some(1)));
    assert!(keyring.healthy());
    let partition = partition_of(new.to_string().as_bytes(), PARTITIONS);
    let appending = producer.append(topics::USER_KEYS, partition, format!("{new}/2").as_bytes(), Some(b"damaged"));
    appending.expect("queued").await.expect("appended");
    let deadline = Instant::now() + PATIENCE;
    while keyring.healthy() {
        assert!(Instant::now() < deadline, "a damaged record is noticed");
        sleep(Duration::from_millis(10)).await;
    }
    assert!(Keyring::start(&kafka.client, Codec::builtin(), master, shutdown).await.is_err());
}
