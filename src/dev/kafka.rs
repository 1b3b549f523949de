//! A Kafka node, broker and controller in one: the only one, or one of three as production has them.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rustix::process::Signal;

use super::child::{self, Child, ChildSpec, args, turn_log};
use super::data::{remove, write_atomically};
use super::error::{ChildExit, DevError, log_end};
use super::part::Part;
use super::ports::{free_port, take_port};
use super::{KafkaListener, Surroundings};

/// Of the nodes.
const NAMES: [&str; MAX_NODES] = ["Kafka", "Kafka's second node", "Kafka's third node"];
/// As many as production has.
pub(crate) const MAX_NODES: usize = 3;
/// The files of all nodes but the first.
const MORE: &str = "kafka-nodes";
const PORTS: &str = "kafka.ports";
const PROPERTIES: &str = include_str!("../../dev/kafka/server.properties");
/// In place of what the properties say for a single node.
const REPLICATED: &str = "offsets.topic.replication.factor=3\ntransaction.state.log.replication.factor=3\n\
    transaction.state.log.min.isr=2\nleader.imbalance.check.interval.seconds=5\n";
const LOGGING: &str = include_str!("../../dev/kafka/log4j2.yaml");
/// A start takes 3 to 6 s on two idle cores; this allows for a machine under load.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// Started in half the time and with less memory, but slower under load.
const QUICK_FLAGS: [&str; 3] = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m"];
const LOAD_FLAGS: [&str; 3] = ["-XX:+UseG1GC", "-Xms512m", "-Xmx1g"];
const POLL: Duration = Duration::from_millis(20);

pub(crate) struct Kafka {
    around: Arc<Surroundings>,
    port: u16,
    controller_port: u16,
    class_path: String,
    /// From 0.
    node: usize,
    /// The controllers' ports of the whole cluster.
    voters: Vec<u16>,
}

impl Kafka {
    /// Fetches the jars and formats the data directories of `nodes` nodes, each if that was not done before.
    pub(crate) async fn prepare(around: Arc<Surroundings>, nodes: usize) -> Result<Vec<Self>, DevError> {
        around.jars.fetch(&around.tools, around.progress.as_ref()).await?;
        let class_path = around.jars.class_path()?;
        write_atomically(&around.data.path("kafka-log4j2.yaml"), LOGGING)?;
        let mut all = Vec::new();
        for node in 0..nodes.clamp(1, MAX_NODES) {
            let (around, class_path) = (around.clone(), class_path.clone());
            let mut kafka = Self { around, port: 0, controller_port: 0, class_path, node, voters: Vec::new() };
            let folder = kafka.path("");
            fs::create_dir_all(&folder).map_err(DevError::io("create", &folder))?;
            kafka.choose_ports()?;
            all.push(kafka);
        }
        let voters: Vec<_> = all.iter().map(|kafka| kafka.controller_port).collect();
        let formatted = all[0].data().join("meta.properties").is_file();
        let cluster = if formatted { all[0].own_cluster_id()? } else { cluster_id() };
        for kafka in &mut all {
            kafka.voters.clone_from(&voters);
            kafka.format(&cluster).await?;
        }
        Ok(all)
    }

    /// The names of all nodes there may be.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        NAMES.into_iter()
    }

    /// A file of this node.
    fn path(&self, name: &str) -> PathBuf {
        match self.node {
            0 => self.around.data.path(name),
            node => self.around.data.path(MORE).join((node + 1).to_string()).join(name),
        }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    fn data(&self) -> PathBuf {
        self.path("kafka")
    }

    async fn format(&self, cluster: &str) -> Result<(), DevError> {
        if self.data().join("meta.properties").is_file() {
            return Ok(());
        }
        if self.data().exists() {
            let text = format!("{} holds no Kafka data; remove it, or start afresh", self.data().display());
            return Err(DevError::Surroundings(text));
        }
        self.around.progress.doing(self.name(), "preparing its data directory");
        // Formatted beside, then renamed: a start that is cut short leaves nothing half made.
        let beside = self.path("kafka.new");
        remove(&beside)?;
        let properties = self.write_properties("kafka-format.properties", &beside)?;
        let log = self.path("kafka-format.log");
        turn_log(&log)?;
        let mut spec = self.java("kafka.tools.StorageTool", log, args(QUICK_FLAGS));
        spec.name = "Kafka's storage tool";
        spec.args.extend(args(["format", "-t", cluster, "-c"]));
        spec.args.push(properties.into());
        child::run(&spec).await?;
        fs::rename(&beside, self.data()).map_err(DevError::io("rename", &beside))
    }

    fn write_properties(&self, name: &str, data: &Path) -> Result<PathBuf, DevError> {
        let folder = data.to_string_lossy();
        if folder.contains(',') {
            let text = format!("Kafka cannot keep data in a directory with a comma in its name: {folder}");
            return Err(DevError::Surroundings(text));
        }
        let (port, controller) = (self.port, self.controller_port);
        let mut text = PROPERTIES.to_owned();
        let (mut more, mut advertised) = (String::new(), String::new());
        let mut protocols = "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
        for KafkaListener { name, protocol, port, advertised_port, properties } in &self.around.kafka_listeners {
            let _ = write!(more, ",{name}://127.0.0.1:{port}");
            let _ = write!(advertised, ",{name}://127.0.0.1:{}", advertised_port.unwrap_or(*port));
            let _ = write!(protocols, ",{name}:{protocol}");
            let _ = write!(text, "\n{}", properties.join("\n"));
        }
        let _ = writeln!(text, "\nlistener.security.protocol.map={protocols}");
        let _ = writeln!(text, "listeners=BROKER://127.0.0.1:{port}{more},CONTROLLER://127.0.0.1:{controller}");
        let _ = writeln!(text, "advertised.listeners=BROKER://127.0.0.1:{port}{advertised}");
        let voters = self.voters.iter().enumerate();
        let voters: Vec<_> = voters.map(|(node, port)| format!("{}@127.0.0.1:{port}", node + 1)).collect();
        let _ = writeln!(text, "controller.quorum.voters={}", voters.join(","));
        let _ = writeln!(text, "node.id={}", self.node + 1);
        if voters.len() > 1 {
            text.push_str(REPLICATED);
        }
        let _ = writeln!(text, "log.dirs={}", escape_property(&folder));
        let path = self.path(name);
        write_atomically(&path, &text)?;
        Ok(path)
    }

    fn java(&self, class: &str, log: PathBuf, flags: Vec<OsString>) -> ChildSpec {
        let mut arguments = args(["-XX:-UsePerfData", "-XX:-CreateCoredumpOnCrash", "-Djava.awt.headless=true"]);
        let mut crash_report = OsString::from("-XX:ErrorFile=");
        crash_report.push(self.crash_report());
        arguments.push(crash_report);
        let mut logging = OsString::from("-Dlog4j2.configurationFile=");
        logging.push(self.around.data.path("kafka-log4j2.yaml"));
        arguments.push(logging);
        arguments.extend(flags);
        arguments.push(class.into());
        ChildSpec {
            name: self.name(),
            setpriv: self.around.tools.setpriv.clone(),
            program: self.around.tools.java.clone(),
            args: arguments,
            envs: vec![("CLASSPATH", self.class_path.clone().into())],
            user: None,
            log,
            death_signal: "KILL",
        }
    }

    /// Java's flags for a quick start, with the class archive: to use it, or to write it at exit if there is none yet.
    fn quick_flags(&self) -> Vec<OsString> {
        let archive = self.around.jars.class_archive(&self.around.tools.java);
        let (flag, file) = if archive.is_file() {
            ("-XX:SharedArchiveFile=", archive)
        } else {
            ("-XX:ArchiveClassesAtExit=", self.archive_being_written())
        };
        let mut flag = OsString::from(flag);
        flag.push(file);
        // An archive that does not fit is not worth a warning, and one that was damaged must not be used.
        let mut flags = args(QUICK_FLAGS);
        flags.extend(args(["-Xshare:auto", "-XX:+VerifySharedSpaces", "-Xlog:disable", "-Xlog:all=error:stderr"]));
        flags.push(flag);
        flags
    }

    fn archive_being_written(&self) -> PathBuf {
        let archive = self.around.jars.class_archive(&self.around.tools.java);
        archive.with_extension(format!("{}.{}.partial", self.around.data.id(), self.node))
    }

    /// Java's own, when it crashes.
    fn crash_report(&self) -> PathBuf {
        self.path("kafka-crash.log")
    }

    async fn await_ready(&self, child: &Child) -> Result<(), DevError> {
        let started = Instant::now();
        let own = self.own_cluster_id()?;
        let mut cause = None;
        while started.elapsed() < READY_WITHIN {
            if let Some(exit) = child.ended() {
                return Err(DevError::Died(exit));
            }
            // Cheaper than a client, which would also back off between its tries.
            if tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.is_ok() {
                match self.fetch_cluster_id().await {
                    Ok(answering) if answering == own => return Ok(()),
                    // Ours will find that out, and end.
                    Ok(_) => cause = Some("another Kafka answers on its port".to_owned()),
                    Err(error) => cause = Some(error.to_string()),
                }
            }
            tokio::time::sleep(POLL).await;
        }
        let log = child.log().to_owned();
        Err(DevError::NotReady { name: self.name(), after: READY_WITHIN, cause, said: log_end(&log), log })
    }

    /// As it was formatted.
    fn own_cluster_id(&self) -> Result<String, DevError> {
        let file = self.data().join("meta.properties");
        let text = fs::read_to_string(&file).map_err(DevError::io("read", &file))?;
        let id = text.lines().find_map(|line| line.strip_prefix("cluster.id="));
        id.map(|id| id.trim().to_owned())
            .ok_or_else(|| DevError::Surroundings(format!("{} names no cluster; start afresh", file.display())))
    }

    /// The id of the cluster that answers on our port: between choosing the port and using it another Kafka may have taken it.
    async fn fetch_cluster_id(&self) -> Result<String, KafkaError> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.address()).set("group.id", "tidings-dev-ready");
        let asked = tokio::task::spawn_blocking(move || {
            let client: BaseConsumer = config.create()?;
            let metadata = client.fetch_metadata(None, Duration::from_secs(2))?;
            let unknown = KafkaError::MetadataFetch(rdkafka::types::RDKafkaErrorCode::BrokerNotAvailable);
            let id = client.client().fetch_cluster_id(Duration::from_secs(2));
            id.filter(|_| !metadata.brokers().is_empty()).ok_or(unknown)
        });
        asked.await.unwrap_or(Err(KafkaError::Canceled))
    }
}

impl Part for Kafka {
    const STOP_SIGNAL: Signal = Signal::TERM;
    const STOP_WITHIN: Duration = Duration::from_secs(30);

    fn around(&self) -> &Arc<Surroundings> {
        &self.around
    }

    fn name(&self) -> &'static str {
        NAMES[self.node]
    }

    fn log(&self) -> PathBuf {
        self.path("kafka.log")
    }

    /// Those of the last start, where they are free: Kafka remembers its address, and after a kill it ends the transactions that were open
    /// by asking itself there. At another one it would find nobody, and the partitions could never be read to their end again.
    fn choose_ports(&mut self) -> Result<(), DevError> {
        let file = self.path(PORTS);
        let kept = fs::read_to_string(&file).ok().and_then(|text| {
            let mut ports = text.split_whitespace().map(str::parse::<u16>);
            Some((ports.next()?.ok()?, ports.next()?.ok()?))
        });
        // Asked for again within a start, they were lost to somebody.
        let kept = kept.filter(|(port, other)| *port != self.port && take_port(*port) && take_port(*other));
        (self.port, self.controller_port) = match kept {
            Some(kept) => kept,
            None => (free_port()?, free_port()?),
        };
        if let Some(voter) = self.voters.get_mut(self.node) {
            *voter = self.controller_port;
        }
        write_atomically(&file, &format!("{} {}\n", self.port, self.controller_port))
    }

    async fn spawn(&self) -> Result<Child, DevError> {
        let properties = self.write_properties("kafka.properties", &self.data())?;
        // One that is there later is of this start.
        remove(&self.crash_report())?;
        let flags = if self.around.quick { self.quick_flags() } else { args(LOAD_FLAGS) };
        let mut spec = self.java("kafka.Kafka", self.log(), flags);
        spec.args.push(properties.into());
        Child::spawn(&spec).await
    }

    async fn ready(&self, child: &Child) -> Result<(), DevError> {
        self.await_ready(child).await
    }

    /// Java itself crashes on a class archive that was cut short; without it a start is only slower.
    fn recovers_from(&self, _exit: &ChildExit) -> bool {
        let archive = self.around.jars.class_archive(&self.around.tools.java);
        self.around.quick && self.crash_report().is_file() && fs::remove_file(archive).is_ok()
    }

    fn stopped(&self, cleanly: bool) {
        let written = self.archive_being_written();
        if cleanly {
            self.around.jars.keep_archive(&written, &self.around.jars.class_archive(&self.around.tools.java));
        } else {
            let _ = fs::remove_file(written);
        }
    }

    fn stopping_text(&self) -> &'static str {
        let archive = self.around.jars.class_archive(&self.around.tools.java);
        if self.around.quick && !archive.is_file() {
            "stopping, and keeping its loaded classes so that the next start is quicker (once)"
        } else {
            "stopping"
        }
    }
}

/// A random cluster id in Kafka's form: 16 bytes in base64, not beginning with a dash.
fn cluster_id() -> String {
    let mut bytes = rand::random::<[u8; 16]>();
    bytes[0] &= 0x7f;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// Java reads property files as Latin-1 with backslash escapes.
fn escape_property(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for unit in value.encode_utf16() {
        match u8::try_from(unit) {
            Ok(b'\\') => escaped.push_str("\\\\"),
            Ok(ascii @ 0x20..=0x7e) => escaped.push(char::from(ascii)),
            _ => {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn property_values_survive_java() {
        assert_eq!(escape_property(r"/home/zoë/a\b"), r"/home/zo\u00eb/a\\b");
        assert_eq!(escape_property("/tmp/🦀"), r"/tmp/\ud83e\udd80");
    }

    #[test]
    fn cluster_ids_are_22_characters_without_a_leading_dash() {
        for _ in 0..200 {
            let id = cluster_id();
            assert_eq!(id.len(), 22);
            assert!(id.starts_with(|first: char| first.is_ascii_alphabetic()), "{id}");
        }
    }
}
