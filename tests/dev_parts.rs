//! The embedded Kafka and Postgres: they keep what they are given, come back after faults, and never outlive their launcher.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};
use tidings::dev::{DevError, Parts, PartsOptions};

const TOPIC: &str = "kept";
/// Set for the process that `a_launcher` is.
const LAUNCH_IN: &str = "TIDINGS_TEST_LAUNCH_IN";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_outlives_stops_and_kills() {
    let dir = data_dir(0o755);
    let parts = Parts::start(options(dir.path())).await.expect("the parts start");
    make_topic(parts.kafka()).await;
    store(&parts, "before the stop").await;

    let refused = Parts::start(options(dir.path())).await.err().expect("a second start is refused");
    assert!(matches!(&refused, DevError::Busy { pid: Some(pid), .. } if *pid == std::process::id()), "{refused}");

    let address = parts.kafka().to_owned();
    parts.stop().await;
    let parts = Parts::start(options(dir.path())).await.expect("the parts start again");
    assert_eq!(parts.kafka(), address, "Kafka finds itself where it was, or it could not end what it had begun");
    assert_eq!(stored(&parts).await, ["before the stop"]);

    parts.kill_kafka(0).await;
    parts.kill_postgres().await;
    assert_eq!((parts.kafka_pid(0), parts.postgres_pid()), (None, None));
    let (kafka, postgres) = tokio::join!(parts.start_kafka(0), parts.start_postgres());
    kafka.expect("Kafka is back");
    postgres.expect("Postgres is back");
    store(&parts, "after the kill").await;
    assert_eq!(stored(&parts).await, ["before the stop", "after the kill"]);

    parts.stop_kafka(0).await;
    let squatter = std::net::TcpListener::bind(parts.kafka()).expect("Kafka's port is free");
    let refused = within(30, parts.start_kafka(0)).await.expect_err("Kafka's port is taken");
    assert!(refused.to_string().contains("another process has taken its port"), "{refused}");
    drop(squatter);
    parts.start_kafka(0).await.expect("Kafka is back");

    // The ends above were asked for; this one is not.
    let asked_for_only = tokio::time::timeout(Duration::from_millis(50), parts.child_died()).await;
    assert!(asked_for_only.is_err(), "{asked_for_only:?}");
    kill(parts.postgres_pid().expect("it runs"));
    let died = within(10, parts.child_died()).await;
    assert_eq!(died.name, "Postgres");
    assert!(died.to_string().contains("signal: 9"), "{died}");
    parts.start_postgres().await.expect("Postgres is back");
    assert_eq!(stored(&parts).await, ["before the stop", "after the kill"]);
    parts.stop().await;

    let parts = Parts::start(PartsOptions { fresh: true, ..options(dir.path()) }).await.expect("a fresh start");
    let admin = connect(&parts).await;
    assert!(!has_table(admin).await, "a fresh start forgets");
    parts.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_outlives_a_killed_launcher() {
    // Closed to all but us: as root, Postgres' user cannot reach it.
    let dir = data_dir(0o700);

    let launcher = Launcher::start(dir.path());
    let children = launcher.await_children(2);
    launcher.kill_and_await(children);

    let mut launcher = Launcher::start(dir.path());
    launcher.await_line("ready");
    let children = launcher.await_children(2);
    assert!(children.len() > 5, "Kafka, the postmaster and its children: {children:?}");
    launcher.kill_and_await(children);

    // Straight after: the data is neither locked nor damaged.
    let parts = Parts::start(options(dir.path())).await.expect("the parts start after all that");
    make_topic(parts.kafka()).await;
    store(&parts, "still works").await;
    assert_eq!(stored(&parts).await, ["still works"]);
    parts.stop().await;
    if let Ok(location) = std::fs::read_to_string(dir.path().join("postgres.location")) {
        std::fs::remove_dir_all(location.trim()).expect("the cluster is removed");
    }
}

#[test]
fn missing_programs_are_named_with_what_to_install() {
    let dir = data_dir(0o755);
    let mut command = launcher_command(dir.path());
    command.env("PATH", "/nonexistent").env_remove("JAVA_HOME").env("XDG_CACHE_HOME", dir.path().join("cache"));
    let output = command.output().expect("the launcher runs");
    let text = String::from_utf8_lossy(&output.stdout);
    for wanted in ["java (runs Kafka", "mvn (fetches Kafka", "setpriv", "apt-get install default-jre-headless maven"] {
        assert!(text.contains(wanted), "{wanted} is not in: {text}");
    }
}

/// Not a test: the process that other tests start and kill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by other tests"]
async fn a_launcher() {
    let Some(dir) = std::env::var_os(LAUNCH_IN) else { return };
    match Parts::start(options(Path::new(&dir))).await {
        Ok(parts) => {
            println!("\nready");
            println!("\n{}", parts.child_died().await);
        }
        Err(error) => println!("\n{error}"),
    }
}

struct Launcher {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Launcher {
    fn start(dir: &Path) -> Self {
        let mut process = launcher_command(dir).spawn().expect("the launcher starts");
        let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        Self { process, lines }
    }

    fn await_line(&mut self, wanted: &str) {
        let mut seen = Vec::new();
        for line in self.lines.by_ref().map_while(Result::ok) {
            if line == wanted {
                return;
            }
            seen.push(line);
        }
        panic!("the launcher ended without {wanted:?}: {}", seen.join("\n"));
    }

    /// Waits until it has so many processes below it, and returns all of them.
    fn await_children(&self, count: usize) -> Vec<u32> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let children = descendants(self.process.id());
            if children.len() >= count {
                return children;
            }
            assert!(Instant::now() < deadline, "only {children:?} after 30 s");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn kill_and_await(mut self, mut children: Vec<u32>) {
        self.process.kill().expect("killed");
        self.process.wait().expect("reaped");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !children.is_empty() {
            children.retain(|pid| parent_of(*pid).is_some());
            assert!(Instant::now() < deadline, "left behind: {children:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn launcher_command(dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "a_launcher", "--ignored", "--nocapture"]).env(LAUNCH_IN, dir);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// The parent of a living process.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    (fields.next()? != "Z").then(|| fields.next()?.parse().ok()).flatten()
}

fn descendants(root: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: HashMap<u32, u32> = pids.filter_map(|pid| Some((pid, parent_of(pid)?))).collect();
    let is_below = |pid: &u32| std::iter::successors(parents.get(pid), |up| parents.get(up)).any(|up| *up == root);
    parents.keys().copied().filter(is_below).collect()
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(pid.try_into().expect("a pid")).expect("a pid");
    kill_process(pid, Signal::KILL).expect("killed");
}

fn data_dir(mode: u32) -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("tidings-dev-parts-").permissions(std::fs::Permissions::from_mode(mode));
    builder.tempdir().expect("a temporary directory")
}

fn options(dir: &Path) -> PartsOptions {
    PartsOptions { fsync: false, ..PartsOptions::new(dir) }
}

async fn within<T>(seconds: u64, what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), what).await.expect("it happens in time")
}

async fn make_topic(kafka: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka).create().expect("an admin client");
    let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(1));
    let made = admin.create_topics([&topic], &AdminOptions::new()).await.expect("an answer");
    assert_eq!(made, [Ok(TOPIC.to_owned())]);
}

async fn connect(parts: &Parts) -> PgConnection {
    within(10, PgConnection::connect(parts.postgres_url())).await.expect("Postgres lets us in")
}

/// Stores a text in both, so that it can be lost by both.
async fn store(parts: &Parts, text: &str) {
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", parts.kafka()).set("acks", "all").create().expect("a producer");
    let record = FutureRecord::<(), str>::to(TOPIC).payload(text);
    producer.send(record, Duration::from_secs(10)).await.expect("the record is acknowledged");

    let mut postgres = connect(parts).await;
    let table = "CREATE TABLE IF NOT EXISTS kept (id bigserial PRIMARY KEY, text text NOT NULL)";
    sqlx::query(table).execute(&mut postgres).await.expect("the table is made");
    sqlx::query("INSERT INTO kept (text) VALUES ($1)").bind(text).execute(&mut postgres).await.expect("stored");
}

/// What both have; they must agree.
async fn stored(parts: &Parts) -> Vec<String> {
    let mut postgres = connect(parts).await;
    let rows = sqlx::query_scalar("SELECT text FROM kept ORDER BY id").fetch_all(&mut postgres).await;
    let rows: Vec<String> = rows.expect("the rows");

    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", parts.kafka()).set("group.id", "dev-parts");
    let consumer: StreamConsumer = config.create().expect("a consumer");
    let mut from_start = TopicPartitionList::new();
    from_start.add_partition_offset(TOPIC, 0, Offset::Beginning).expect("added");
    consumer.assign(&from_start).expect("assigned");
    let mut records = Vec::new();
    while records.len() < rows.len() {
        let record = within(20, consumer.recv()).await.expect("a record");
        records.push(String::from_utf8_lossy(record.payload().unwrap_or_default()).into_owned());
    }
    let (_, end) = consumer.fetch_watermarks(TOPIC, 0, Duration::from_secs(10)).expect("the end of the topic");
    assert_eq!(usize::try_from(end).ok(), Some(rows.len()));
    assert_eq!(records, rows);
    rows
}

async fn has_table(mut postgres: PgConnection) -> bool {
    let found = sqlx::query_scalar("SELECT to_regclass('kept') IS NOT NULL").fetch_one(&mut postgres).await;
    found.expect("an answer")
}
