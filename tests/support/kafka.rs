//! A Kafka of one test's own.

use rdkafka::config::ClientConfig;
use tempfile::TempDir;
use tidings::dev::{Parts, PartsOptions};

/// Ends with the test.
pub struct Kafka {
    pub client: ClientConfig,
    _parts: Parts,
    _data: TempDir,
}

impl Kafka {
    pub async fn start() -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let mut options = PartsOptions::new(data.path().join("parts"));
        options.fsync = false;
        let parts = Parts::start(options).await.expect("starts");
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", parts.kafka()).set("log_level", "0");
        // Tests often read to an end.
        client.set("fetch.wait.max.ms", "20");
        Self { client, _parts: parts, _data: data }
    }
}
