use std::path::PathBuf;
use std::time::Duration;

use rdkafka::ClientConfig;
use serde::Deserialize;

use super::problems::Problems;
use super::secret::Secret;
use super::values::{millis, optional};

const SASL_MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// `[kafka]`: how brokers are reached, and the shape of topics.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    pub brokers: String,
    pub security_protocol: SecurityProtocol,
    pub sasl_mechanism: String,
    #[serde(deserialize_with = "optional")]
    pub sasl_username: Option<String>,
    pub sasl_password: Secret,
    #[serde(deserialize_with = "optional")]
    pub sasl_password_file: Option<PathBuf>,
    #[serde(deserialize_with = "optional")]
    pub ssl_ca: Option<PathBuf>,
    #[serde(deserialize_with = "optional")]
    pub ssl_certificate: Option<PathBuf>,
    #[serde(deserialize_with = "optional")]
    pub ssl_key: Option<PathBuf>,
    pub replication_factor: u16,
    pub min_insync_replicas: u16,
    /// Of each topic of conversations and of users.
    pub partitions: u32,
    pub delivery_partitions: u32,
    #[serde(rename = "linger_ms", deserialize_with = "millis")]
    pub linger: Duration,
    #[serde(rename = "session_timeout_ms", deserialize_with = "millis")]
    pub session_timeout: Duration,
}

/// How a connection to a broker is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecurityProtocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl SecurityProtocol {
    fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }
}

impl Kafka {
    /// What every Kafka client is made of: brokers, security, and connections that are quick to send and to come back.
    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "tidings")
            .set("security.protocol", self.security_protocol.name())
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            // A restarted broker is back in seconds; librdkafka would wait for up to 10.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            // A broker that is gone without a word is given up in seconds, and who leads in its place is found without an error of its own.
            .set("socket.timeout.ms", "10000")
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("topic.metadata.refresh.interval.ms", "5000");
        if self.security_protocol.has_sasl() {
            client
                .set("sasl.mechanism", &self.sasl_mechanism)
                .set("sasl.username", self.sasl_username.as_deref().unwrap_or(""))
                .set("sasl.password", self.sasl_password.expose());
        }
        for (name, path) in [
            ("ssl.ca.location", &self.ssl_ca),
            ("ssl.certificate.location", &self.ssl_certificate),
            ("ssl.key.location", &self.ssl_key),
        ] {
            if let Some(path) = path {
                client.set(name, path.to_string_lossy());
            }
        }
        client
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        let is_address = |broker: &str| {
            broker.trim().rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        problems.require(
            self.brokers.split(',').all(is_address),
            "kafka.brokers",
            format!("{:?}", self.brokers),
            "host:port, separated by commas",
        );
        problems.range("kafka.replication_factor", self.replication_factor, 1..=100);
        problems.range("kafka.partitions", self.partitions, 1..=4_096);
        problems.range("kafka.delivery_partitions", self.delivery_partitions, 1..=4_096);
        problems.range("kafka.linger_ms", self.linger.as_millis(), 0..=1_000);
        problems.range("kafka.session_timeout_ms", self.session_timeout.as_millis(), 1_000..=300_000);
        problems.require(
            (1..=self.replication_factor).contains(&self.min_insync_replicas),
            "kafka.min_insync_replicas",
            self.min_insync_replicas,
            "1 to kafka.replication_factor",
        );
        self.check_security(problems);
    }

    fn check_security(&self, problems: &mut Problems) {
        problems.require(
            SASL_MECHANISMS.contains(&self.sasl_mechanism.as_str()),
            "kafka.sasl_mechanism",
            &self.sasl_mechanism,
            &SASL_MECHANISMS.join(", "),
        );
        let has_credentials = self.sasl_username.is_some() && self.sasl_password.is_set();
        let has_any = self.sasl_username.is_some() || self.sasl_password.is_set();
        let protocol = self.security_protocol.name();
        if self.security_protocol.has_sasl() && !has_credentials {
            problems.add(format!(
                "kafka.security_protocol = {protocol}: kafka.sasl_username and kafka.sasl_password must be set"
            ));
        }
        // Credentials that are silently not used are a cluster that is silently not protected.
        if !self.security_protocol.has_sasl() && has_any {
            problems.add(format!(
                "kafka.security_protocol = {protocol}: does not use kafka.sasl_username and kafka.sasl_password; \
                 unset them or use sasl_ssl"
            ));
        }
        let has_files = self.ssl_ca.is_some() || self.ssl_certificate.is_some() || self.ssl_key.is_some();
        if !self.security_protocol.has_tls() && has_files {
            problems.add(format!(
                "kafka.security_protocol = {protocol}: does not use the kafka.ssl_ settings; unset them or use ssl"
            ));
        }
        problems.both_or_neither(
            ("kafka.ssl_certificate", self.ssl_certificate.is_some()),
            ("kafka.ssl_key", self.ssl_key.is_some()),
        );
    }
}
