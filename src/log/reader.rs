//! Reading partitions from given offsets. Who reads what is decided elsewhere ([`super::Ownership`], or simply everything).

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::domain::Timestamp;

/// How many records wait for a slow taker before its partition is paused.
const QUEUE_RECORDS: usize = 2_048;
/// What a patient reader is answered with before its time.
const BATCH_BYTES: &str = "65536";
const BROKER_TIMEOUT: Duration = Duration::from_secs(20);
/// A leader that is asked and gone is waited for no longer; meanwhile there may be another.
const TRY: Duration = Duration::from_secs(3);

/// A record as it stands in the log.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Partition.
    pub partition: i32,
    /// Offset there.
    pub offset: i64,
    /// The broker's append time where the topic says so, else the writer's.
    pub timestamp: Timestamp,
    /// Key.
    pub key: Option<Bytes>,
    /// Value; none is a tombstone.
    pub value: Option<Bytes>,
}

/// Why reading stopped. Nothing is skipped: whoever reads must start again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// As the client says.
    #[error("cannot read `{topic}`")]
    Kafka {
        /// What was read.
        topic: String,
        /// As the client says.
        #[source]
        source: KafkaError,
    },
    /// The offset is not kept any more, or not there yet: somebody trimmed, truncated or restored the topic.
    #[error(
        "`{topic}`/{partition} holds offsets {low} to {high}, but the checkpoint says {wanted}; never reset this by hand, see docs/operations.md"
    )]
    OutOfRange {
        /// What was read.
        topic: String,
        /// There.
        partition: i32,
        /// First offset kept.
        low: i64,
        /// First offset not written.
        high: i64,
        /// Asked for.
        wanted: i64,
    },
    /// The reader was dropped.
    #[error("the reader of `{topic}` has ended")]
    Ended {
        /// What was read.
        topic: String,
    },
}

enum Item {
    Record(Fetched),
    /// Everything that was there has been handed over.
    End,
    Failed(ReadError),
}

struct Lane {
    /// Tells this reading of the partition from the next one.
    number: u64,
    start: i64,
    sender: mpsc::Sender<Item>,
    /// Taken from the client, not yet by the taker; not empty means paused.
    waiting: VecDeque<Item>,
}

struct Shared {
    topic: String,
    consumer: BaseConsumer,
    lanes: Mutex<HashMap<i32, Lane>>,
    numbers: AtomicU64,
}

/// Reads partitions of one topic through one client, each from its own offset.
pub struct Reader {
    shared: Arc<Shared>,
}

/// The records of one partition, in order. Dropping it stops the reading.
pub struct Records {
    receiver: mpsc::Receiver<Item>,
    shared: Arc<Shared>,
    partition: i32,
    number: u64,
    next_offset: i64,
    at_end: bool,
}

/// First offset kept and first offset not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// First offset kept.
    pub low: i64,
    /// First offset not written; with `read_committed` the last stable offset.
    pub high: i64,
}

impl Ends {
    /// Whether a reading can go on at `offset` of the partition.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] if that is not kept any more, or not there yet.
    pub(super) fn check(self, topic: &str, partition: i32, offset: i64) -> Result<(), ReadError> {
        let Self { low, high } = self;
        if (low..=high).contains(&offset) {
            return Ok(());
        }
        Err(ReadError::OutOfRange { topic: topic.to_owned(), partition, low, high, wanted: offset })
    }
}

fn consumer(client: &ClientConfig) -> Result<BaseConsumer, KafkaError> {
    let mut config = client.clone();
    // A group id is demanded even of those who never join or commit.
    config.set("group.id", "tidings-reader").set("enable.auto.commit", "false").set("auto.offset.reset", "error");
    config.set("isolation.level", "read_committed").set("allow.auto.create.topics", "false");
    config.set("enable.partition.eof", "true");
    // How long an idle fetch waits, and so how long it takes to learn that the end was reached, or of another partition to read.
    if config.get("fetch.wait.max.ms").is_none() {
        config.set("fetch.wait.max.ms", "100");
    }
    config.set("fetch.queue.backoff.ms", "5");
    config.set("queued.min.messages", "4096").set("queued.max.messages.kbytes", "16384");
    config.create()
}

impl Reader {
    /// A reader of `topic` that reads nothing yet.
    ///
    /// # Errors
    /// If the client's configuration is refused.
    pub fn new(client: &ClientConfig, topic: &str) -> Result<Self, ReadError> {
        let failed = |source| ReadError::Kafka { topic: topic.to_owned(), source };
        let shared = Arc::new(Shared {
            topic: topic.to_owned(),
            consumer: consumer(client).map_err(failed)?,
            lanes: Mutex::default(),
            numbers: AtomicU64::new(0),
        });
        let polled = Arc::clone(&shared);
        let name = format!("read {topic}");
        let spawned = thread::Builder::new().name(name).spawn(move || poll(&polled));
        spawned.map_err(|_| failed(KafkaError::Canceled))?;
        Ok(Self { shared })
    }

    /// A reader for who works in batches: the broker answers once [`BATCH_BYTES`] are there, or after `wait`, and not at each append. Where
    /// few records a second come, most of what reading costs, here and in the broker, is the number of answers.
    ///
    /// # Errors
    /// If the client's configuration is refused.
    pub fn patient(client: &ClientConfig, topic: &str, wait: Duration) -> Result<Self, ReadError> {
        let mut client = client.clone();
        client.set("fetch.min.bytes", BATCH_BYTES).set("fetch.wait.max.ms", wait.as_millis().to_string());
        Self::new(&client, topic)
    }

    /// What it reads.
    pub fn topic(&self) -> &str {
        &self.shared.topic
    }

    /// What `partition` holds now.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub async fn ends(&self, partition: i32) -> Result<Ends, ReadError> {
        let shared = Arc::clone(&self.shared);
        let ends = tokio::task::spawn_blocking(move || shared.ends(partition)).await;
        ends.map_err(|_| ReadError::Ended { topic: self.shared.topic.clone() })?
    }

    /// Starts to read `partition` at `offset`.
    ///
    /// # Errors
    /// If the offset is not in the partition, which is never mended silently.
    pub async fn read(&self, partition: i32, offset: i64) -> Result<Records, ReadError> {
        let topic = &self.shared.topic;
        self.ends(partition).await?.check(topic, partition, offset)?;
        let (sender, receiver) = mpsc::channel(QUEUE_RECORDS);
        let number = self.shared.numbers.fetch_add(1, Ordering::SeqCst);
        self.shared.lock().insert(partition, Lane { number, start: offset, sender, waiting: VecDeque::new() });
        let mut list = TopicPartitionList::new();
        let failed = |source| ReadError::Kafka { topic: topic.clone(), source };
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).map_err(failed)?;
        self.shared.consumer.incremental_assign(&list).map_err(failed)?;
        let shared = Arc::clone(&self.shared);
        Ok(Records { receiver, shared, partition, number, next_offset: offset, at_end: false })
    }
}

impl Records {
    /// The next records, at most `max`, waiting for something to happen. None of them when the end was reached: see [`Records::at_end`].
    ///
    /// # Errors
    /// See [`ReadError`]; after one there is nothing more.
    pub async fn next(&mut self, max: usize) -> Result<Vec<Fetched>, ReadError> {
        let mut items = Vec::new();
        if self.receiver.recv_many(&mut items, max).await == 0 {
            return Err(ReadError::Ended { topic: self.shared.topic.clone() });
        }
        let mut records = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Item::Record(record) => {
                    self.at_end = false;
                    self.next_offset = record.offset + 1;
                    records.push(record);
                }
                Item::End => self.at_end = true,
                Item::Failed(error) => return Err(error),
            }
        }
        Ok(records)
    }

    /// Whether everything that was in the partition when this reading began has been taken, and nothing came since.
    pub fn at_end(&self) -> bool {
        self.at_end
    }

    /// The offset after the last record taken.
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// What the partition holds now.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub async fn ends(&self) -> Result<Ends, ReadError> {
        let (shared, partition) = (Arc::clone(&self.shared), self.partition);
        let ends = tokio::task::spawn_blocking(move || shared.ends(partition)).await;
        ends.map_err(|_| ReadError::Ended { topic: self.shared.topic.clone() })?
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        let mut lanes = self.shared.lock();
        if lanes.get(&self.partition).is_some_and(|lane| lane.number == self.number) {
            lanes.remove(&self.partition);
            let mut list = TopicPartitionList::new();
            list.add_partition(&self.shared.topic, self.partition);
            // Fails only where it is not assigned any more.
            let _ = self.shared.consumer.incremental_unassign(&list);
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i32, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ends(&self, partition: i32) -> Result<Ends, ReadError> {
        watermarks(&self.consumer, &self.topic, partition)
    }

    fn pause(&self, partition: i32, pause: bool) {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        let result = if pause { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        if let Err(error) = result {
            tracing::warn!(topic = self.topic, partition, %error, "cannot pause or resume reading");
        }
    }

    /// Hands `item`, which was polled for when the next lane's number was `polled_at`, to its lane.
    fn dispatch(&self, partition: i32, polled_at: u64, item: Item) {
        let mut lanes = self.lock();
        let Some(lane) = lanes.get_mut(&partition) else { return };
        if lane.number >= polled_at {
            // The lane began during the poll, so this may be of the reading before it: start over, rather than guess.
            let offset = Offset::Offset(lane.start);
            if let Err(error) = self.consumer.seek(&self.topic, partition, offset, BROKER_TIMEOUT) {
                let error = ReadError::Kafka { topic: self.topic.clone(), source: error };
                let _ = lane.sender.try_send(Item::Failed(error));
            }
            return;
        }
        if !lane.waiting.is_empty() {
            lane.waiting.push_back(item);
            return;
        }
        if let Err(TrySendError::Full(item)) = lane.sender.try_send(item) {
            lane.waiting.push_back(item);
            self.pause(partition, true);
        }
    }

    /// Moves on what slow takers have made room for. Whether anybody is still slow.
    fn refill(&self) -> bool {
        let mut slow = false;
        for (partition, lane) in self.lock().iter_mut() {
            if lane.waiting.is_empty() {
                continue;
            }
            while let Some(item) = lane.waiting.pop_front() {
                if let Err(TrySendError::Full(item)) = lane.sender.try_send(item) {
                    lane.waiting.push_front(item);
                    break;
                }
            }
            if lane.waiting.is_empty() { self.pause(*partition, false) } else { slow = true }
        }
        slow
    }
}

fn poll(shared: &Arc<Shared>) {
    let mut slow = false;
    // Ends when only this thread is left.
    while Arc::strong_count(shared) > 1 {
        let timeout = if slow { Duration::from_millis(1) } else { Duration::from_millis(100) };
        let polled_at = shared.numbers.load(Ordering::SeqCst);
        match shared.consumer.poll(timeout) {
            Some(Ok(message)) => shared.dispatch(message.partition(), polled_at, Item::Record(copy(&message))),
            Some(Err(KafkaError::PartitionEOF(partition))) => shared.dispatch(partition, polled_at, Item::End),
            Some(Err(error)) if transient(&error) => {
                tracing::debug!(topic = shared.topic, %error, "kafka is away; reading goes on when it is back")
            }
            Some(Err(error)) => {
                tracing::error!(topic = shared.topic, %error, "reading stops");
                for (_, lane) in shared.lock().drain() {
                    let error = ReadError::Kafka { topic: shared.topic.clone(), source: error.clone() };
                    let _ = lane.sender.try_send(Item::Failed(error));
                }
            }
            None => {}
        }
        slow = shared.refill();
    }
}

/// What a partition holds, as the consumer's isolation shows it. Blocks.
pub(super) fn watermarks(consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<Ends, ReadError> {
    let deadline = Instant::now() + BROKER_TIMEOUT;
    loop {
        match consumer.fetch_watermarks(topic, partition, TRY) {
            Ok((low, high)) => return Ok(Ends { low, high }),
            // A leader is being elected, of a topic just made or of a broker just gone.
            Err(error) if transient(&error) && Instant::now() < deadline => thread::sleep(Duration::from_millis(50)),
            Err(source) => return Err(ReadError::Kafka { topic: topic.to_owned(), source }),
        }
    }
}

/// Whether the client mends it by itself.
fn transient(error: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    !matches!(code, Some(Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::TopicAuthorizationFailed | Code::Fatal))
}

fn copy(message: &BorrowedMessage<'_>) -> Fetched {
    Fetched {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: Timestamp(message.timestamp().to_millis().unwrap_or_default()),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
    }
}

/// What a partition holds now.
///
/// # Errors
/// If the broker does not answer.
pub async fn ends(client: &ClientConfig, topic: &str, partition: i32) -> Result<Ends, ReadError> {
    Reader::new(client, topic)?.ends(partition).await
}

/// All that a partition holds now, oldest first.
///
/// # Errors
/// See [`ReadError`].
pub async fn read_to_end(client: &ClientConfig, topic: &str, partition: i32) -> Result<Vec<Fetched>, ReadError> {
    let reader = Reader::new(client, topic)?;
    let Ends { low, high } = reader.ends(partition).await?;
    let mut all = Vec::new();
    if low == high {
        return Ok(all);
    }
    let mut records = reader.read(partition, low).await?;
    // Offsets of compacted and transactional topics have holes, also at their end, so the last record does not tell.
    while !records.at_end() && records.next_offset() < high {
        all.extend(records.next(QUEUE_RECORDS).await?.into_iter().filter(|record| record.offset < high));
    }
    Ok(all)
}
