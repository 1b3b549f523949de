//! The end of a partition as of now, transactions that are open included, and waiting until they are decided.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use tokio::time::{Instant, sleep};

use super::reader::watermarks;
use super::{Ends, ReadError, Reader};

/// Longer than any publisher's transaction may stay open.
const OTHERS_FINISH: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Why it is not known what a partition holds.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The topic cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A transaction of some publisher stays open.
    #[error("a transaction on `{topic}`/{partition} stayed open for {}s; is a publisher stuck?", OTHERS_FINISH.as_secs())]
    Open {
        /// Where.
        topic: String,
        /// There.
        partition: i32,
    },
}

/// Asks for ends of partitions.
pub struct Settled {
    /// None only while it is dropped.
    consumer: Option<Arc<BaseConsumer>>,
}

impl Drop for Settled {
    fn drop(&mut self) {
        let consumer = self.consumer.take();
        // Ending the client joins its threads, which blocks.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(consumer));
        }
    }
}

impl Settled {
    /// Connects in the background.
    ///
    /// # Errors
    /// If the client's configuration is refused.
    pub fn new(client: &ClientConfig) -> Result<Self, KafkaError> {
        let mut config = client.clone();
        config.set("isolation.level", "read_uncommitted");
        Ok(Self { consumer: Some(Arc::new(config.create()?)) })
    }

    /// What a partition of `reader`'s topic holds. Everything that was written before this was called is before its `high`, and either
    /// readable or aborted.
    ///
    /// Not only up to the last stable offset of now: the marks of one transaction are not written to all its partitions at once, so
    /// a record may be readable while another of its transaction waits, and an open transaction hides what stands after its beginning.
    ///
    /// # Errors
    /// See [`SettleError`].
    pub async fn ends(&self, reader: &Reader, partition: i32) -> Result<Ends, SettleError> {
        let written = self.written(reader.topic(), partition).await?.high;
        let deadline = Instant::now() + OTHERS_FINISH;
        loop {
            let Ends { low, high } = reader.ends(partition).await?;
            if high >= written {
                return Ok(Ends { low, high: written });
            }
            if Instant::now() >= deadline {
                return Err(SettleError::Open { topic: reader.topic().to_owned(), partition });
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// First offset kept and first offset not written, whatever becomes of open transactions.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub async fn written(&self, topic: &str, partition: i32) -> Result<Ends, ReadError> {
        let failed = |source| ReadError::Kafka { topic: topic.to_owned(), source };
        let (consumer, asked) = (self.consumer.clone().ok_or_else(|| failed(KafkaError::Canceled))?, topic.to_owned());
        let ask = move || watermarks(&consumer, &asked, partition);
        tokio::task::spawn_blocking(ask).await.map_err(|_| failed(KafkaError::Canceled))?
    }
}
