//! Appending to the log.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::future_producer::Delivery;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};

/// Why a record may not be in the log. It may still be there: a time-out says nothing.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The local queue is full: Kafka is slower than its callers. Nothing was sent.
    #[error("the queue to Kafka is full")]
    Full,
    /// Whatever else the client reports.
    #[error("cannot append to `{topic}`")]
    Kafka {
        /// Where to.
        topic: String,
        /// As the client says.
        #[source]
        source: KafkaError,
    },
}

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// An append under way. It goes on when this is dropped.
pub struct Appending(DeliveryFuture);

impl Future for Appending {
    type Output = Result<Appended, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let failed = |topic: &str, source| AppendError::Kafka { topic: topic.to_owned(), source };
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll(context)) {
            Ok(Ok(Delivery { partition, offset, .. })) => Ok(Appended { partition, offset }),
            Ok(Err((error, message))) => Err(failed(rdkafka::Message::topic(&message), error)),
            Err(_) => Err(failed("", KafkaError::Canceled)),
        })
    }
}

/// How long to wait for room in the queue, and how often to look.
const FULL_FOR: Duration = Duration::from_secs(30);
const ROOM: Duration = Duration::from_millis(5);
/// The largest record: a message to 100,000 members at one gateway is one of 2 MB.
pub const MAX_RECORD_BYTES: usize = 4_000_000;

/// An idempotent producer: `acks=all`, in order within a partition.
#[derive(Clone)]
pub struct Producer {
    inner: FutureProducer,
}

impl Producer {
    /// Connects in the background; nothing is sent yet.
    ///
    /// # Errors
    /// If the client's configuration is refused.
    pub fn new(client: &ClientConfig) -> Result<Self, KafkaError> {
        let mut config = client.clone();
        config.set("enable.idempotence", "true").set("acks", "all");
        // Every caller waits or answers `unavailable` long before this.
        config
            .set("message.timeout.ms", "30000")
            .set("request.timeout.ms", "10000")
            .set("queue.buffering.max.kbytes", "262144");
        config.set("message.max.bytes", MAX_RECORD_BYTES.to_string());
        if config.get("linger.ms").is_none() {
            config.set("linger.ms", "0");
        }
        Ok(Self { inner: config.create()? })
    }

    /// Starts to append. `value` none is a tombstone.
    ///
    /// # Errors
    /// If it cannot even be queued; the rest is told by the future.
    pub fn append(
        &self,
        topic: &str,
        partition: i32,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<Appending, AppendError> {
        let mut record = FutureRecord::to(topic).partition(partition).key(key);
        record.payload = value;
        match self.inner.send_result(record) {
            Ok(future) => Ok(Appending(future)),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Err(AppendError::Full),
            Err((source, _)) => Err(AppendError::Kafka { topic: topic.to_owned(), source }),
        }
    }

    /// Starts to append, waiting for room while the queue is full.
    ///
    /// # Errors
    /// As [`Producer::append`], but [`AppendError::Full`] only after 30 s.
    pub async fn append_patiently(
        &self,
        topic: &str,
        partition: i32,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<Appending, AppendError> {
        let deadline = Instant::now() + FULL_FOR;
        loop {
            match self.append(topic, partition, key, value) {
                Err(AppendError::Full) if Instant::now() < deadline => tokio::time::sleep(ROOM).await,
                done => return done,
            }
        }
    }

    /// Waits until everything queued is sent or has failed, at most `timeout`.
    pub async fn flush(&self, timeout: Duration) {
        let inner = self.inner.clone();
        // A failure to flush shows in the futures of the records.
        let _ = tokio::task::spawn_blocking(move || inner.flush(timeout)).await;
    }
}
