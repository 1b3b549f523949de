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

use tokio::sync::watch;

pub use self::error::{ChildExit, DevError, MissingTool};
pub use self::jars::KAFKA_VERSION;
pub use self::progress::{Printer, Progress, Silent};

use self::data::DataDir;
use self::jars::Jars;
use self::kafka::Kafka;
use self::part::{Part, Running};
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
    /// More ways to reach Kafka.
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
    kafka: Running<Kafka>,
    postgres: Running<Postgres>,
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
            data.await_leftover(Kafka::NAME).await?;
            data.await_leftover(Postgres::NAME).await?;
            home::wipe(&data)?;
            data.wipe()?;
        }
        let PartsOptions { progress, fsync, quick, kafka_listeners, .. } = options;
        let around = Arc::new(Surroundings { tools, jars, data, progress, fsync, quick, kafka_listeners });
        let (deaths, death) = watch::channel(None);
        let (kafka, postgres) = tokio::try_join!(
            async { Running::start(Kafka::prepare(around.clone()).await?, deaths.clone()).await },
            async { Running::start(Postgres::prepare(around.clone()).await?, deaths.clone()).await },
        )?;
        let (kafka_address, postgres_url) = (kafka.part().address(), postgres.part().url());
        Ok(Self { kafka, postgres, kafka_address, postgres_url, death })
    }

    /// Kafka's bootstrap address, `127.0.0.1:PORT`. The port is the same at the next start, unless somebody else has it then.
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
        tokio::join!(self.kafka.stop(), self.postgres.stop());
    }

    /// Kafka's process, while it runs.
    #[must_use]
    pub fn kafka_pid(&self) -> Option<u32> {
        self.kafka.pid()
    }

    /// The postmaster's process, while it runs.
    #[must_use]
    pub fn postgres_pid(&self) -> Option<u32> {
        self.postgres.pid()
    }

    /// Ends Kafka in its own way; [`Parts::start_kafka`] brings it back.
    pub async fn stop_kafka(&self) {
        self.kafka.stop().await;
    }

    /// `kill -9` for Kafka.
    pub async fn kill_kafka(&self) {
        self.kafka.kill().await;
    }

    /// Brings Kafka back on the same port, and resolves when it answers.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start_kafka(&self) -> Result<(), DevError> {
        self.kafka.start_again().await
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
}
