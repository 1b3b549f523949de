//! Appending records as they were, with their times, as fast as Kafka takes them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use crate::backup::container::Entry;
use crate::log::MAX_RECORD_BYTES;

/// How long a record may take until Kafka has it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Hears of what became of records.
#[derive(Default)]
struct Reports {
    failed: Mutex<Option<(String, KafkaError)>>,
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert_with(|| (message.topic().to_owned(), error.clone()));
        }
    }
}

/// Appends in order within a partition; `acks=all`, and nothing twice.
pub struct Appender {
    producer: Arc<BaseProducer<Reports>>,
}

impl Appender {
    /// Connects in the background.
    ///
    /// # Errors
    /// If the client's configuration is refused.
    pub fn new(client: &ClientConfig) -> anyhow::Result<Self> {
        let mut config = client.clone();
        config.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "20");
        config.set("message.timeout.ms", PATIENCE.as_millis().to_string());
        config.set("message.max.bytes", MAX_RECORD_BYTES.to_string());
        config.set("queue.buffering.max.kbytes", "65536");
        Ok(Self { producer: Arc::new(config.create_with_context(Reports::default())?) })
    }

    /// Hands records to the client, waiting while its queue is full.
    ///
    /// # Errors
    /// If one cannot be appended, or one before it could not.
    pub async fn append(&self, topic: &'static str, partition: i32, entries: Vec<Entry>) -> anyhow::Result<()> {
        let producer = Arc::clone(&self.producer);
        tokio::task::spawn_blocking(move || {
            for entry in &entries {
                send(&producer, topic, partition, entry)?;
            }
            check(&producer)
        })
        .await?
    }

    /// Waits until Kafka has everything.
    ///
    /// # Errors
    /// If it does not take it.
    pub async fn finish(&self) -> anyhow::Result<()> {
        let producer = Arc::clone(&self.producer);
        tokio::task::spawn_blocking(move || {
            producer.flush(PATIENCE).context("Kafka does not take what is restored")?;
            check(&producer)
        })
        .await?
    }
}

fn check(producer: &BaseProducer<Reports>) -> anyhow::Result<()> {
    producer.poll(Duration::ZERO);
    let failed = producer.context().failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some((topic, error)) = failed else { return Ok(()) };
    Err(error).with_context(|| format!("cannot append to `{topic}`"))
}

fn send(producer: &BaseProducer<Reports>, topic: &str, partition: i32, entry: &Entry) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut record: BaseRecord<'_, [u8], [u8]> =
        BaseRecord::to(topic).partition(partition).timestamp(entry.timestamp.0);
    record.key = entry.key.as_deref();
    record.payload = entry.value.as_deref();
    while let Err((error, back)) = producer.send(record) {
        if !matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
            return Err(error).with_context(|| format!("cannot append to `{topic}`"));
        }
        if Instant::now() >= deadline {
            bail!("Kafka took nothing for {} s", PATIENCE.as_secs());
        }
        producer.poll(Duration::from_millis(10));
        record = back;
    }
    // Reports are heard here.
    producer.poll(Duration::ZERO);
    Ok(())
}
