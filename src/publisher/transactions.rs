//! The producer of one journal partition: what it appends is committed together with the checkpoint, or not at all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::codec::records::StreamRecord;
use crate::domain::Timestamp;
use crate::log::journal::Accepted;
use crate::log::{MAX_RECORD_BYTES, checkpoint_key, topics};

/// An open transaction hides what follows it from every reader, so a dead publisher's is ended soon.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Tried again by whoever opens; short, as nothing can interrupt it.
const INIT_TIMEOUT: Duration = Duration::from_secs(5);
const ABORT_TIMEOUT: Duration = Duration::from_secs(2);

/// One batch: what is accepted, and how far that is.
pub(super) struct Batch {
    /// What is published.
    pub accepted: Vec<Accepted>,
    /// Framed value of the checkpoint after it.
    pub checkpoint: bytes::Bytes,
}

/// A transactional producer. Every call blocks a thread made for that, never the caller's.
pub(super) struct Transactions {
    /// None only while it is dropped.
    producer: Option<Arc<BaseProducer>>,
    partition: i32,
    checkpoint_key: Arc<str>,
}

/// `publisher/<journal>/<partition>`: whoever comes next with it ends what the one before left open, and fences it.
pub fn transactional_id(journal: &str, partition: i32) -> String {
    format!("publisher/{journal}/{partition}")
}

impl Transactions {
    /// Fences whoever had this partition before, and waits until its open transaction is ended.
    pub async fn open(client: &ClientConfig, journal: &str, partition: i32) -> Result<Self, KafkaError> {
        let mut config = client.clone();
        config.set("transactional.id", transactional_id(journal, partition));
        config.set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string());
        config.set("message.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string());
        config.set("message.max.bytes", MAX_RECORD_BYTES.to_string());
        config.set("linger.ms", "1").set("queue.buffering.max.messages", "20000");
        let opening = move || {
            let producer: BaseProducer = config.create()?;
            producer.init_transactions(INIT_TIMEOUT)?;
            Ok(Arc::new(producer))
        };
        let producer = blocking(opening).await?;
        Ok(Self { producer: Some(producer), partition, checkpoint_key: checkpoint_key(journal, partition).into() })
    }

    /// Commits `batch`. After an error this producer is of no use: open a new one and read the checkpoint again, which also tells
    /// whether a commit of unknown end took place.
    pub async fn publish(&self, batch: Batch) -> Result<(), KafkaError> {
        let (producer, partition, key) = (self.producer.clone(), self.partition, Arc::clone(&self.checkpoint_key));
        let producer = producer.ok_or(KafkaError::Canceled)?;
        blocking(move || {
            let result = publish(&producer, partition, &key, &batch);
            if result.is_err() && producer.client().fatal_error().is_none() {
                // If this fails too, the next `open` or the transaction's time-out ends it.
                let _ = producer.abort_transaction(ABORT_TIMEOUT);
            }
            result
        })
        .await
    }
}

impl Drop for Transactions {
    fn drop(&mut self) {
        let producer = self.producer.take();
        // Ending the client joins its threads, which blocks for up to half a second.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(producer));
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, KafkaError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| KafkaError::Canceled)?
}

fn publish(producer: &BaseProducer, partition: i32, key: &str, batch: &Batch) -> Result<(), KafkaError> {
    producer.begin_transaction()?;
    let deadline = Instant::now() + TRANSACTION_TIMEOUT;
    for accepted in &batch.accepted {
        for record in &accepted.record.records {
            send(producer, partition, record, accepted.record.at, deadline)?;
        }
    }
    let checkpoint = StreamRecord {
        stream: topics::CHECKPOINTS.to_owned(),
        key: key.to_owned(),
        value: Some(batch.checkpoint.clone()),
    };
    send(producer, 0, &checkpoint, Timestamp::now(), deadline)?;
    commit(producer, deadline)
}

fn send(
    producer: &BaseProducer,
    partition: i32,
    record: &StreamRecord,
    at: Timestamp,
    deadline: Instant,
) -> Result<(), KafkaError> {
    let mut sending = BaseRecord::to(&record.stream).partition(partition).key(record.key.as_str()).timestamp(at.0);
    sending.payload = record.value.as_deref();
    while let Err((error, back)) = producer.send(sending) {
        let full = matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
        if !full || Instant::now() >= deadline {
            return Err(error);
        }
        producer.poll(Duration::from_millis(10));
        sending = back;
    }
    Ok(())
}

fn commit(producer: &BaseProducer, deadline: Instant) -> Result<(), KafkaError> {
    // `commit_transaction` would wait for these too, but in steps of 100 ms.
    // Polled without a wait: with one below a millisecond left, rdkafka 0.39 spins until it is over (40 % of all CPU under load).
    loop {
        producer.poll(Duration::ZERO);
        if producer.in_flight_count() == 0 || Instant::now() >= deadline {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match producer.commit_transaction(left) {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && !left.is_zero() => {
                tracing::debug!(%error, "commit is tried again");
            }
            result => return result,
        }
    }
}
