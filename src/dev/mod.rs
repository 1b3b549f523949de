//! A private Kafka and a private Postgres, for `tidings dev` and for the tests that need the real ones.
//!
//! [`Parts::start`] brings both up on free loopback ports with their data in one directory, and resolves when both answer. They end
//! with this process however it ends (see `child`), and what they stored is there at the next start.
//!
//! Linux only: `setpriv` from util-linux and `/proc` are relied on. Kafka is the official build, fetched once by Maven into a
//! cache; Java, Maven and Postgres are those of the system.

mod child;
mod data;
mod error;
mod home;
mod jars;
mod kafka;
mod part;
mod ports;
mod postgres;
mod progress;
mod tools;

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};
use tokio::sync::watch;

pub use self::error::{ChildExit, DevError, MissingTool};
pub use self::jars::KAFKA_VERSION;
pub use self::progress::{Printer, Progress, Silent};

use self::data::DataDir;
use self::jars::Jars;
use self::kafka::Kafka;
use self::part::Running;
use self::postgres::Postgres;
use self::tools::Tools;

/// One more listener of Kafka, for whoever tries another way to reach it.
#[derive(Clone, Debug)]
pub struct KafkaListener {
    /// Such as `SECURE`.
    pub name: String,
    /// As Kafka calls it, such as `SASL_SSL`.
    pub protocol: String,
    /// A free one.
    pub port: u16,
    /// Where clients are told to go, if not to `port`: a proxy before it.
    pub advertised_port: Option<u16>,
    /// Lines of `server.properties` that it needs.
    pub properties: Vec<String>,
}

/// How to start the parts.
#[derive(Clone)]
pub struct PartsOptions {
    /// Where everything is kept; made if it is not there.
    pub data: PathBuf,
    /// Forget what is kept there first. Only what the parts made is removed.
    pub fresh: bool,
    /// Whether Postgres waits for the disk. Off for tests: a power cut may then cost the cluster.
    pub fsync: bool,
    /// Kafka for quick starts and little memory; off for measuring, when it gets the full compiler and 1 GB.
    pub quick: bool,
    /// Nodes of Kafka: 1, or 3 as in production. Not to be changed once there is data.
    pub kafka_nodes: usize,
    /// More ways to reach Kafka's first node.
    pub kafka_listeners: Vec<KafkaListener>,
    /// Who hears how it goes.
    pub progress: Arc<dyn Progress>,
}

impl PartsOptions {
    /// Data is kept and synced, starts are quick, and nothing is printed.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            fresh: false,
            fsync: true,
            quick: true,
            kafka_nodes: 1,
            kafka_listeners: Vec::new(),
            progress: Arc::new(Silent),
        }
    }
}

/// What each part needs to know about the run that it is part of.
pub(crate) struct Surroundings {
    tools: Tools,
    jars: Jars,
    data: DataDir,
    progress: Arc<dyn Progress>,
    fsync: bool,
    quick: bool,
    kafka_listeners: Vec<KafkaListener>,
}

/// The running parts. Dropping this kills them; [`Parts::stop`] ends them in their own way.
pub struct Parts {
    kafka: Vec<Running<Kafka>>,
    postgres: Running<Postgres>,
    deaths: watch::Sender<Option<ChildExit>>,
    kafka_address: String,
    postgres_url: String,
    /// The first part that ended without having been asked to.
    death: watch::Receiver<Option<ChildExit>>,
}

impl Parts {
    /// Starts both and resolves when both answer.
    ///
    /// # Errors
    /// Programs are missing, the directory is in use or not ours, or a part does not come up. Nothing is left running then.
    pub async fn start(options: PartsOptions) -> Result<Self, DevError> {
        let jars = Jars::locate()?;
        let tools = Tools::find(jars.are_cached())?;
        let data = DataDir::open(&options.data)?;
        if options.fresh {
            for name in Kafka::names().chain([postgres::NAME]) {
                data.await_leftover(name).await?;
            }
            home::wipe(&data)?;
            data.wipe()?;
        }
        let PartsOptions { progress, fsync, quick, kafka_nodes, kafka_listeners, .. } = options;
        let around = Arc::new(Surroundings { tools, jars, data, progress, fsync, quick, kafka_listeners });
        let (deaths, death) = watch::channel(None);
        let (kafka, postgres) = tokio::try_join!(
            async {
                let nodes = Kafka::prepare(around.clone(), kafka_nodes).await?;
                try_join_all(nodes.into_iter().map(|node| Running::start(node, deaths.clone()))).await
            },
            async { Running::start(Postgres::prepare(around.clone()).await?, deaths.clone()).await },
        )?;
        let addresses: Vec<_> = kafka.iter().map(|node| node.part().address()).collect();
        let (kafka_address, postgres_url) = (addresses.join(","), postgres.part().url());
        Ok(Self { kafka, postgres, deaths, kafka_address, postgres_url, death })
    }

    /// Kafka's bootstrap addresses, `127.0.0.1:PORT` of each node with commas. The port is the same at the next start, unless somebody else has it then.
    #[must_use]
    pub fn kafka(&self) -> &str {
        &self.kafka_address
    }

    /// The database's address with user and password. The port is another one at the next start.
    #[must_use]
    pub fn postgres_url(&self) -> &str {
        &self.postgres_url
    }

    /// Resolves when a part has ended without having been asked to.
    pub async fn child_died(&self) -> ChildExit {
        let mut death = self.death.clone();
        let died = death.wait_for(Option::is_some).await.map(|death| death.clone());
        match died {
            Ok(Some(exit)) => exit,
            // The senders live in `self`.
            _ => std::future::pending().await,
        }
    }

    /// Ends both: Postgres with a fast shutdown, Kafka with SIGTERM, each by force after 30 s.
    pub async fn stop(self) {
        tokio::join!(join_all(self.kafka.iter().map(Running::stop)), self.postgres.stop());
    }

    /// The process of a node of Kafka (from 0), while it runs.
    #[must_use]
    pub fn kafka_pid(&self, node: usize) -> Option<u32> {
        self.kafka.get(node).and_then(Running::pid)
    }

    /// The postmaster's process, while it runs.
    #[must_use]
    pub fn postgres_pid(&self) -> Option<u32> {
        self.postgres.pid()
    }

    /// Ends a node of Kafka (from 0) in its own way; [`Parts::start_kafka`] brings it back.
    pub async fn stop_kafka(&self, node: usize) {
        self.kafka[node].stop().await;
    }

    /// `kill -9` for a node of Kafka (from 0).
    pub async fn kill_kafka(&self, node: usize) {
        self.kafka[node].kill().await;
    }

    /// Brings a node of Kafka (from 0) back on the same port, and resolves when it answers.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start_kafka(&self, node: usize) -> Result<(), DevError> {
        self.kafka[node].start_again().await
    }

    /// Ends Postgres in its own way; [`Parts::start_postgres`] brings it back.
    pub async fn stop_postgres(&self) {
        self.postgres.stop().await;
    }

    /// `kill -9` for the postmaster; its children end with it.
    pub async fn kill_postgres(&self) {
        self.postgres.kill().await;
    }

    /// Brings Postgres back on the same port, and resolves when it answers.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start_postgres(&self) -> Result<(), DevError> {
        self.postgres.start_again().await
    }

    /// Starts another Postgres that follows this one by streaming.
    ///
    /// # Errors
    /// The cluster cannot be copied, or the copy does not come up.
    pub async fn start_standby(&self) -> Result<Standby, DevError> {
        Standby::follow(self.postgres.part(), self.deaths.clone()).await
    }
}

/// A Postgres that follows another by streaming. It ends with this value, or with this process.
pub struct Standby {
    postgres: Running<Postgres>,
    url: String,
    deaths: watch::Sender<Option<ChildExit>>,
}

impl Standby {
    async fn follow(of: &Postgres, deaths: watch::Sender<Option<ChildExit>>) -> Result<Self, DevError> {
        let postgres = Running::start(of.prepare_standby("Postgres' standby").await?, deaths.clone()).await?;
        let url = postgres.part().url();
        Ok(Self { postgres, url, deaths })
    }

    /// As [`Parts::postgres_url`].
    #[must_use]
    pub fn postgres_url(&self) -> &str {
        &self.url
    }

    /// Makes it the primary; what it followed should be gone.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn promote(&self) -> Result<(), DevError> {
        self.postgres.part().promote().await
    }

    /// As [`Parts::start_standby`], of this one.
    ///
    /// # Errors
    /// As there.
    pub async fn start_standby(&self) -> Result<Self, DevError> {
        Self::follow(self.postgres.part(), self.deaths.clone()).await
    }

    /// As [`Parts::kill_postgres`].
    pub async fn kill(&self) {
        self.postgres.kill().await;
    }

    /// As [`Parts::start_postgres`].
    ///
    /// # Errors
    /// As there.
    pub async fn start(&self) -> Result<(), DevError> {
        self.postgres.start_again().await
    }
}
