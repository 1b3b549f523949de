//! Whether Kafka can be reached, and if not, why: without this a wrong certificate or password shows only as an endless wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

const TRY: Duration = Duration::from_secs(1);
/// Another broker may answer although one is set up wrongly.
const REFUSED_FOR: Duration = Duration::from_secs(2);

/// Kafka cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot reach Kafka at {brokers}: {reason}; check `kafka.brokers`, `kafka.security_protocol` and what belongs to it"
)]
pub struct Unreachable {
    /// Where it should be.
    pub brokers: String,
    /// As the client says.
    pub reason: String,
    /// Kafka, or the way to it, does not accept what we are: waiting does not help.
    pub refused: bool,
}

#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Option<(RDKafkaErrorCode, String)>>>);

impl Listener {
    fn last(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Listener {
    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        // That all are down only follows from what was said before.
        if code != RDKafkaErrorCode::AllBrokersDown {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Listener {}

/// Resolves when Kafka has answered once.
///
/// # Errors
/// If it has not within `patience`, or refuses what we are.
pub async fn reach(client: &ClientConfig, patience: Duration) -> Result<(), Unreachable> {
    let brokers = client.get("bootstrap.servers").unwrap_or_default().to_owned();
    let mut client = client.clone();
    // A group id is demanded even of those who never join.
    client.set("group.id", "tidings-reach");
    let asked = tokio::task::spawn_blocking(move || ask(&client, patience)).await;
    let asked = asked.unwrap_or_else(|error| Err((error.to_string(), false)));
    asked.map_err(|(reason, refused)| Unreachable { brokers, reason, refused })
}

fn ask(client: &ClientConfig, patience: Duration) -> Result<(), (String, bool)> {
    let (began, listener) = (Instant::now(), Listener::default());
    let consumer: BaseConsumer<Listener> =
        client.create_with_context(listener.clone()).map_err(|error| (error.to_string(), true))?;
    loop {
        let Err(error) = consumer.fetch_metadata(None, TRY) else { return Ok(()) };
        // What the client learned is told when it is polled.
        while consumer.poll(Duration::ZERO).is_some() {}
        let last = listener.last();
        let refused = matches!(last, Some((RDKafkaErrorCode::SSL | RDKafkaErrorCode::Authentication, _)));
        if began.elapsed() >= patience || refused && began.elapsed() >= REFUSED_FOR {
            return Err((last.map_or_else(|| error.to_string(), |(_, reason)| reason), refused));
        }
    }
}
