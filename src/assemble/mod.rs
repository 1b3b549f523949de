//! The roles put together from the configuration. Roles never import each other; here is where they get what they need.

mod gateway;
mod indexer;
mod operations;
mod sequencer;
mod trimming;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rdkafka::config::ClientConfig;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::codec::Codec;
use crate::config::Config;
use crate::crypto::MasterKeys;
use crate::gateway::listener;
use crate::log::{reach, topics};
use crate::registry::{self, Auth};
use crate::store::Store;
use crate::{projector, publisher, scheduler};

pub use operations::Health;

/// How long Kafka may be away when a command begins.
const REACH_WITHIN: Duration = Duration::from_secs(15);
/// How often a role that waits for Kafka says so, and how often it tries to reach Postgres.
const WAITING: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(1);

const POSTGRES_AWAY: &str = "cannot connect to Postgres; check `postgres.url`";

/// When a process ends.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// In order: load balancers hear of it, and sockets are closed over a time.
    pub begin: CancellationToken,
    /// Still in order, but without that time.
    pub hurry: CancellationToken,
}

/// Which roles a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Holds sockets.
    pub gateway: bool,
    /// Decides.
    pub sequencer: bool,
    /// Keeps views.
    pub projector: bool,
    /// Publishes.
    pub publisher: bool,
    /// Asks for what is due.
    pub scheduler: bool,
    /// Makes searchable.
    pub indexer: bool,
}

impl Roles {
    /// None of them.
    pub const NONE: Self =
        Self { gateway: false, sequencer: false, projector: false, publisher: false, scheduler: false, indexer: false };
    /// All of them.
    pub const ALL: Self =
        Self { gateway: true, sequencer: true, projector: true, publisher: true, scheduler: true, indexer: true };
}

/// What every role needs.
#[derive(Clone)]
pub struct Installation {
    /// As configured.
    pub config: Arc<Config>,
    /// Where Kafka is.
    pub client: ClientConfig,
    /// Where the views are.
    pub store: Store,
    /// With the registry's ids.
    pub codec: &'static Codec,
}

impl Installation {
    /// Connects to what the configuration names.
    ///
    /// # Errors
    /// If something is missing in the configuration, or cannot be reached.
    pub async fn open(config: Config) -> anyhow::Result<Self> {
        let client = config.kafka.client();
        reach(&client, REACH_WITHIN).await?;
        let store = connect(&config).await?.context(POSTGRES_AWAY)?;
        Self::of(config, client, store).await
    }

    async fn of(config: Config, client: ClientConfig, store: Store) -> anyhow::Result<Self> {
        let codec = codec(&config).await?;
        Ok(Self { client, store, codec, config: Arc::new(config) })
    }

    /// As [`Installation::open`], but waits for what is away: the roles of a machine start in any order.
    ///
    /// # Errors
    /// If something is missing in the configuration, or waiting does not help.
    pub async fn await_open(config: Config) -> anyhow::Result<Self> {
        let client = config.kafka.client();
        while let Err(error) = reach(&client, WAITING).await {
            if error.refused {
                return Err(error.into());
            }
            tracing::warn!(%error, "waiting for Kafka");
        }
        let mut told = false;
        let store = loop {
            match connect(&config).await? {
                Ok(store) => break store,
                Err(error) if !crate::store::passes(&error) => {
                    return Err(anyhow::Error::from(error).context(POSTGRES_AWAY));
                }
                Err(error) if !told => {
                    tracing::warn!(%error, "waiting for Postgres; check `postgres.url` if it is not away")
                }
                Err(_) => {}
            }
            told = true;
            tokio::time::sleep(AGAIN).await;
        };
        Self::of(config, client, store).await
    }

    /// Makes topics and tables.
    ///
    /// # Errors
    /// If Kafka or Postgres refuse.
    pub async fn setup(&self) -> anyhow::Result<()> {
        let kafka = &self.config.kafka;
        let layout = topics::Layout {
            partitions: self.partitions(),
            delivery_partitions: self.delivery_partitions(),
            replication: i32::from(kafka.replication_factor),
            min_insync: i32::from(kafka.min_insync_replicas),
        };
        topics::ensure(&self.client, layout).await?;
        self.store.install().await
    }

    /// Fails if a restore is under way here, or did not end well: what is here then is not all that there should be.
    async fn ensure_whole(&self) -> anyhow::Result<()> {
        let Some(restore) = self.store.unfinished_restore().await? else { return Ok(()) };
        anyhow::bail!(
            "a restore of backup {} began here at {} and has not ended; wait for it, or, if it has failed, empty Kafka and Postgres and \
             restore again",
            restore.backup,
            restore.began_at
        )
    }

    /// What wraps data keys: for the roles that seal or read, and for no other.
    ///
    /// # Errors
    /// If the configuration has none, or one is malformed.
    pub fn master(&self) -> anyhow::Result<Arc<dyn MasterKeys>> {
        Ok(Arc::new(self.config.crypto.master_keys()?))
    }

    /// Partitions of every topic of conversations and users.
    pub fn partitions(&self) -> i32 {
        i32::try_from(self.config.kafka.partitions).unwrap_or(i32::MAX)
    }

    fn delivery_partitions(&self) -> i32 {
        i32::try_from(self.config.kafka.delivery_partitions).unwrap_or(i32::MAX)
    }

    fn session_timeout_ms(&self) -> u32 {
        u32::try_from(self.config.kafka.session_timeout.as_millis()).unwrap_or(u32::MAX)
    }
}

/// The outer error is of the configuration.
async fn connect(config: &Config) -> anyhow::Result<Result<Store, sqlx::Error>> {
    let postgres = config.postgres.connect_options()?;
    Ok(Store::connect(postgres, config.postgres.max_connections).await)
}

/// The ids of records, as the registry that is configured gives them. Once in a process.
///
/// # Errors
/// If the registry cannot be reached, or refuses our schemas.
pub async fn codec(config: &Config) -> anyhow::Result<&'static Codec> {
    let auth = match &config.registry.username {
        Some(username) => Auth::Basic(username.clone(), config.registry.password.expose().to_owned().into()),
        None => Auth::None,
    };
    Ok(registry::codec(config.registry.url.as_deref(), auth).await?)
}

/// The process' metrics. Once in a process.
///
/// # Errors
/// If they are installed already.
pub fn metrics() -> anyhow::Result<PrometheusHandle> {
    Ok(PrometheusBuilder::new().install_recorder()?)
}

/// Runs `roles` until `stop`, then ends them in order: sockets first, so that what they began is still answered.
///
/// # Errors
/// If one of them cannot go on; the others are ended then.
pub async fn run(
    installation: Installation,
    roles: Roles,
    listener: TcpListener,
    metrics: PrometheusHandle,
    health: Arc<Health>,
    stop: Stop,
) -> anyhow::Result<()> {
    installation.ensure_whole().await?;
    // The roles behind stop when the gateway has, or at once if there is none.
    let behind = CancellationToken::new();
    let failed = stop.begin.child_token();
    let mut running = JoinSet::new();
    if roles.sequencer {
        running.spawn(sequencer::run(installation.clone(), Arc::clone(&health), behind.clone()));
    }
    if roles.projector {
        let options = projector::Options {
            client: installation.client.clone(),
            codec: installation.codec,
            store: installation.store.clone(),
            batch_records: installation.config.projector.batch_records,
            interval: installation.config.projector.interval,
            stopped: Arc::clone(&health.projections),
            session_timeout_ms: installation.session_timeout_ms(),
        };
        running.spawn(projector::run(options, behind.clone()));
    }
    if roles.publisher {
        let mut options = publisher::Options::new(installation.client.clone(), installation.codec);
        options.interval = installation.config.publisher.interval;
        options.max_records = installation.config.publisher.batch_records;
        options.session_timeout_ms = installation.session_timeout_ms();
        options.trim = Some(publisher::trim::Options::new(trimming::needs(&installation)));
        running.spawn(publisher::run(options, behind.clone()));
    }
    if roles.scheduler {
        let options = scheduler::Options {
            client: installation.client.clone(),
            store: installation.store.clone(),
            codec: installation.codec,
            partitions: installation.partitions(),
            interval: installation.config.scheduler.interval,
            batch: installation.config.scheduler.batch_messages,
        };
        running.spawn(scheduler::run(options, behind.clone()));
    }
    if roles.indexer {
        running.spawn(indexer::run(installation.clone(), Arc::clone(&health), behind.clone()));
    }
    let serving = if roles.gateway {
        let stop = Stop { begin: failed.clone(), ..stop };
        tokio::spawn(gateway::run(installation, listener, metrics, Arc::clone(&health), stop))
    } else {
        let router = operations::router(Arc::clone(&health), metrics);
        let options = listener::Options {
            max_connections: 1_000,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(1),
        };
        health.set_ready();
        let stop = failed.clone();
        tokio::spawn(async move {
            listener::serve(listener, router, None, options, stop).await;
            Ok(())
        })
    };
    supervise(running, serving, &failed, &behind).await
}

async fn supervise(
    mut running: JoinSet<anyhow::Result<()>>,
    mut serving: tokio::task::JoinHandle<anyhow::Result<()>>,
    failed: &CancellationToken,
    behind: &CancellationToken,
) -> anyhow::Result<()> {
    // Whoever ends first ends all: a process that goes on without one of its roles looks alive and is not.
    let (mut result, served) = tokio::select! {
        Some(ended) = running.join_next() => (ended.map_err(anyhow::Error::from).flatten(), None),
        served = &mut serving => (Ok(()), Some(served)),
        () = failed.cancelled() => (Ok(()), None),
    };
    failed.cancel();
    let served = match served {
        Some(served) => served,
        None => serving.await,
    };
    let served = served.map_err(anyhow::Error::from).flatten();
    behind.cancel();
    while let Some(ended) = running.join_next().await {
        result = result.and(ended.map_err(anyhow::Error::from).flatten());
    }
    result.and(served)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A role that runs until it is told to stop.
    async fn obedient(stop: CancellationToken) -> anyhow::Result<()> {
        stop.cancelled().await;
        Ok(())
    }

    async fn supervised(
        role: impl Future<Output = anyhow::Result<()>> + Send + 'static,
        serving: impl Future<Output = anyhow::Result<()>> + Send + 'static,
        (failed, behind): (CancellationToken, CancellationToken),
    ) -> Result<anyhow::Result<()>, tokio::time::error::Elapsed> {
        let mut running = JoinSet::new();
        running.spawn(role);
        let supervising = supervise(running, tokio::spawn(serving), &failed, &behind);
        tokio::time::timeout(Duration::from_secs(20), supervising).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_serves_and_cannot_go_on_ends_the_process() {
        let stops = (CancellationToken::new(), CancellationToken::new());
        let serving = async { anyhow::bail!("no key") };
        let ended = supervised(obedient(stops.1.clone()), serving, stops).await.expect("ends");
        assert_eq!(ended.expect_err("fails").to_string(), "no key");
        // A gateway alone has no roles behind it.
        let (failed, behind) = (CancellationToken::new(), CancellationToken::new());
        let serving = tokio::spawn(async { anyhow::bail!("no key") });
        let supervising = supervise(JoinSet::new(), serving, &failed, &behind);
        let ended = tokio::time::timeout(Duration::from_secs(20), supervising).await.expect("ends");
        assert!(ended.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_role_that_cannot_go_on_ends_the_process() {
        let stops = (CancellationToken::new(), CancellationToken::new());
        let serving = obedient(stops.0.clone());
        let ended = supervised(async { anyhow::bail!("lost") }, serving, stops).await.expect("ends");
        assert_eq!(ended.expect_err("fails").to_string(), "lost");
    }
}
