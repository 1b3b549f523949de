//! A Kafka of one test's own.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

/// Ends with the test.
pub struct Kafka {
    broker: Child,
    _dir: TempDir,
    pub client: ClientConfig,
}

impl Kafka {
    /// Starts one with the class path in `TIDINGS_TEST_KAFKA_LIBS`.
    pub fn start() -> Self {
        let libs = std::env::var("TIDINGS_TEST_KAFKA_LIBS").expect("TIDINGS_TEST_KAFKA_LIBS names a folder of jars");
        let dir = tempfile::tempdir().expect("a folder");
        let (port, controller) = (free_port(), free_port());
        let properties = dir.path().join("server.properties");
        std::fs::write(&properties, server_properties(dir.path(), port, controller)).expect("written");
        let run = |class: &str, arguments: &[&str]| {
            let mut java = Command::new("java");
            java.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", &format!("{libs}/*"), class]);
            java.args(arguments).arg(&properties).stdout(Stdio::null()).stderr(Stdio::null());
            java
        };
        let formatted = run("kafka.tools.StorageTool", &["format", "-t", "dGlkaW5ncy10ZXN0LWlkLQ", "-c"]).status();
        assert!(formatted.expect("java runs").success(), "kafka's storage is formatted");
        let broker = run("kafka.Kafka", &[]).spawn().expect("java runs");
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", format!("127.0.0.1:{port}")).set("log_level", "0");
        // Tests often read to an end.
        client.set("fetch.wait.max.ms", "20");
        let kafka = Self { broker, _dir: dir, client };
        kafka.wait();
        kafka
    }

    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let consumer: BaseConsumer = self.client.create().expect("configured");
        while consumer.fetch_metadata(None, Duration::from_secs(2)).is_err() {
            assert!(Instant::now() < deadline, "kafka answers");
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let _ = self.broker.kill();
        let _ = self.broker.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

fn server_properties(dir: &Path, port: u16, controller: u16) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=BROKER://127.0.0.1:{port}
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={}/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=2
background.threads=2
",
        dir.display()
    )
}
