//! The gateway: its edge, and one incarnation after the other behind it.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use axum::Router;
use axum::extract::Request;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{Health, Installation, Stop};
use crate::codec::records::Session;
use crate::crypto::{Keyring, MasterKeys};
use crate::gateway::adapters::{CatchingUp, Index, Keys, PresencePusher, Present, Resender, Views};
use crate::gateway::auth::tokens::TokenKeys;
use crate::gateway::catch_up;
use crate::gateway::claim::{Cluster, Incarnation, janitor, takeover};
use crate::gateway::deliveries::Strays;
use crate::gateway::failure::Failure;
use crate::gateway::ports::Sessions;
use crate::gateway::presence::Presences;
use crate::gateway::tls::Tls;
use crate::gateway::{Deliveries, Edge, Identity, Options, Ports, http, listener};
use crate::log::{Producer, ReadError, Reader, Records, topics};
use crate::registry;
use crate::sessions::SessionTable;

/// Before another incarnation begins, where one could not read its deliveries.
const RETRY: Duration = Duration::from_secs(1);

/// For the requests to be answered that have begun when all sockets are closed.
const REQUESTS: Duration = Duration::from_secs(3);

/// What belongs to one incarnation: it is another after a claim was lost.
#[derive(Default)]
struct Current {
    incarnation: ArcSwapOption<Incarnation>,
}

#[async_trait]
impl Sessions for Current {
    async fn register(&self, session: &Session) -> Result<i64, Failure> {
        let incarnation = self.incarnation.load_full().ok_or_else(nowhere)?;
        incarnation.register(session).await.map_err(|error| {
            tracing::warn!(%error, "cannot register a session");
            nowhere()
        })
    }

    fn unregister(&self, session: &Session) {
        if let Some(incarnation) = self.incarnation.load_full() {
            incarnation.unregister(session.session);
        }
    }
}

fn nowhere() -> Failure {
    Failure::unavailable("this gateway has no place at the moment; try again")
}

/// With another root every user would be somebody new, silently.
pub(super) async fn check_root(installation: &Installation, master: &dyn MasterKeys) -> anyhow::Result<()> {
    let is_ours = installation.store.is_root(&master.root_fingerprint()).await;
    let is_ours = is_ours
        .context("cannot look up the root of names and ids; has `tidings admin setup` been run since the upgrade?")?;
    anyhow::ensure!(
        is_ours,
        "the root of names and ids is not the one of this installation: `crypto.root_key`, or if it is not set the last line of \
         `crypto.master_keys`, must be what it was at the first start; see \"Rotation\" in docs/security.md"
    );
    Ok(())
}

/// Serves until `stop`, then drains.
///
/// # Errors
/// If what it needs cannot be read.
pub async fn run(
    installation: Installation,
    listener: TcpListener,
    metrics: PrometheusHandle,
    health: Arc<Health>,
    stop: Stop,
) -> anyhow::Result<()> {
    let config = Arc::clone(&installation.config);
    // Sockets are still served while they drain.
    let after = CancellationToken::new();
    let _ends = after.clone().drop_guard();
    let (client, codec) = (installation.client.clone(), installation.codec);
    let producer = Producer::new(&client)?;
    let master = installation.master()?;
    check_root(&installation, &*master).await?;
    let ring = Keyring::start(&client, codec, Arc::clone(&master), after.clone()).await?;
    // The claim is released with it, after everything else.
    let table_ends = CancellationToken::new();
    let _table_ends = table_ends.clone().drop_guard();
    let table = SessionTable::start_with(&client, codec, config.sessions.overdue, table_ends).await?;
    let views = Views::new(installation.store.clone(), codec, installation.partitions());
    let (catching_up, resender) = (Arc::new(CatchingUp::default()), Arc::new(Resender::default()));
    let current = Arc::new(Current::default());
    let pusher = Arc::new(PresencePusher::default());
    let partitions = (installation.partitions(), installation.delivery_partitions());
    let presences = Presences::start(
        &client,
        codec,
        producer.clone(),
        Arc::clone(&table),
        partitions.0,
        pusher.clone(),
        after.clone(),
    )
    .await?;
    let ports = Ports {
        reads: Arc::new(views.clone()),
        search: Arc::new(Index::new(installation.store.clone())),
        keyring: Arc::new(Keys::new(ring.clone(), master)),
        tokens: Arc::new(token_keys(&installation)?),
        log: Arc::new(producer.clone()),
        sessions: current.clone(),
        catch_up: catching_up.clone(),
        presence: Arc::new(Present(presences)),
    };
    let options = Options::configured(&config, installation.partitions());
    let edge = Arc::new(Edge::new(options, codec, ports));
    let (projections, index) = (Arc::clone(&health.projections), Arc::clone(&health.index));
    edge.require(move || ring.healthy() && projections.count() == 0 && index.count() == 0);
    pusher.serve(&edge);
    resender.serve(&edge);
    tokio::spawn(Arc::clone(&edge.seen).run(edge.ports.reads.clone(), after.clone()));
    let mut cluster = Cluster::new(client, codec, producer, Arc::clone(&table), partitions.0, partitions.1);
    (cluster.renewal, cluster.overdue) = (config.sessions.renew, config.sessions.overdue);
    tokio::spawn(janitor::run(cluster.clone(), after.clone()));

    let closing = CancellationToken::new();
    let _closes = closing.clone().drop_guard();
    let serving = serve(&installation, listener, Arc::clone(&edge), metrics, &closing)?;
    let behind = Behind { cluster, edge: Arc::clone(&edge), current, catching_up, resender, views, health };
    let mut incarnations = tokio::spawn(incarnate(behind, installation.partitions(), after.clone()));
    let ended = tokio::select! {
        () = stop.begin.cancelled() => Ok(()),
        () = table.ended().cancelled() => Err(anyhow::anyhow!("the sessions cannot be read any more")),
        // Only by a failure: it goes on until it is told to stop.
        ended = &mut incarnations => ended.map_err(anyhow::Error::from).flatten(),
    };
    edge.drain(config.gateway.drain_notice, config.gateway.drain, &stop.hurry).await;
    tracing::info!("sockets are closed");
    // Before deliveries end, which bring the answers to what HTTP has begun.
    closing.cancel();
    serving.await?;
    after.cancel();
    if !incarnations.is_finished() {
        incarnations.await??;
    }
    ended
}

fn token_keys(installation: &Installation) -> anyhow::Result<TokenKeys> {
    let crypto = &installation.config.crypto;
    anyhow::ensure!(
        crypto.token_key.is_set(),
        "crypto.token_key is not set: set TIDINGS_CRYPTO__TOKEN_KEY_FILE to an Ed25519 key (`openssl genpkey -algorithm ed25519` makes one)"
    );
    let previous = match &crypto.token_previous_keys_file {
        Some(path) => std::fs::read_to_string(path)
            .with_context(|| format!("crypto.token_previous_keys_file: cannot read {}", path.display()))?,
        None => String::new(),
    };
    TokenKeys::load(crypto.token_key.expose(), &previous, crypto.token_max_ttl).context("crypto.token_key")
}

fn serve(
    installation: &Installation,
    listener: TcpListener,
    edge: Arc<Edge>,
    metrics: PrometheusHandle,
    stop: &CancellationToken,
) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let gateway = &installation.config.gateway;
    let tls = gateway.tls().map(|(certificate, key)| Tls::load(&certificate, &key)).transpose()?;
    if let Some(tls) = tls.clone() {
        let stop = stop.clone();
        tokio::spawn(async move { tls.follow(stop).await });
    }
    let router = http::router(edge, Some(metrics));
    // With another registry, ours would name records by ids that they do not have.
    let router = if installation.config.registry.url.is_none() { with_registry(router) } else { router };
    let options = listener::Options {
        max_connections: gateway.max_connections,
        header_timeout: gateway.header_timeout,
        body_timeout: gateway.body_timeout,
        write_timeout: gateway.idle_timeout(),
        drain: REQUESTS,
    };
    Ok(tokio::spawn(listener::serve(listener, router, tls, options, stop.clone())))
}

/// Puts the registry of the compiled-in schemas beside, for Kafka's own tools. Each answers what it does not know in its own way, so the
/// first part of the path decides.
fn with_registry(gateway: Router) -> Router {
    const ROOTS: [&str; 5] = ["subjects", "schemas", "config", "mode", "associations"];
    let registry = registry::router();
    Router::new().fallback(move |request: Request| {
        let root = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default();
        let router = if ROOTS.contains(&root) { registry.clone() } else { gateway.clone() };
        router.oneshot(request)
    })
}

/// What one incarnation leaves to the next.
struct Behind {
    cluster: Cluster,
    edge: Arc<Edge>,
    current: Arc<Current>,
    catching_up: Arc<CatchingUp>,
    resender: Arc<Resender>,
    views: Views,
    health: Arc<Health>,
}

/// One incarnation after the other: usually there is only one.
async fn incarnate(behind: Behind, partitions: i32, stop: CancellationToken) -> anyhow::Result<()> {
    let Behind { cluster, edge, current, catching_up, resender, views, health } = behind;
    let partitions = usize::try_from(partitions).unwrap_or_default();
    while !stop.is_cancelled() {
        let Some(incarnation) = stop.run_until_cancelled(Incarnation::begin(&cluster)).await else { break };
        let incarnation = Arc::new(incarnation?);
        let (journal, sink) = (topics::CONVERSATION_JOURNAL, resender.clone());
        let catching = Arc::new(catch_up::CatchUp::new(views.clone(), sink, journal, partitions));
        let lost = incarnation.lost().clone();
        let gateway = incarnation.gateway();
        let records = match read_deliveries(&cluster, gateway.partition, incarnation.start_offset()).await {
            Ok(records) => records,
            Err(error) => {
                tracing::warn!(%error, partition = gateway.partition, "cannot read deliveries yet; the claim is given up");
                release(incarnation).await;
                stop.run_until_cancelled(tokio::time::sleep(RETRY)).await;
                continue;
            }
        };
        current.incarnation.store(Some(Arc::clone(&incarnation)));
        catching_up.begin(Arc::clone(&catching));
        edge.begin(Identity { incarnation: gateway.incarnation, partition: gateway.partition });
        edge.set_ready(true);
        health.set_ready();
        tracing::info!(incarnation = %gateway.incarnation, partition = gateway.partition, "gateway takes sockets");
        let done = Arc::new(AtomicI64::new(-1));
        let deliveries = Deliveries::new(Arc::clone(&edge), gateway.incarnation, Arc::clone(&done), strays(&cluster));
        let ended = tokio::select! {
            () = stop.cancelled() => None,
            () = lost.cancelled() => None,
            ended = deliveries.run(records, lost.clone()) => Some(ended),
            () = catching.run(lost.clone()) => None,
            () = acknowledge(&incarnation, &done) => None,
        };
        // Sockets first: what comes next is another incarnation's.
        if !stop.is_cancelled() {
            edge.lose();
            tracing::error!(error = ?ended, "the claim is lost, or deliveries cannot be read; every socket was closed");
        }
        current.incarnation.store(None);
        release(incarnation).await;
    }
    Ok(())
}

async fn read_deliveries(cluster: &Cluster, partition: i32, start: i64) -> Result<Records, ReadError> {
    Reader::new(&cluster.client, topics::DELIVERIES)?.read(partition, start).await
}

async fn release(incarnation: Arc<Incarnation>) {
    if let Some(incarnation) = Arc::into_inner(incarnation)
        && let Err(error) = incarnation.release().await
    {
        tracing::warn!(%error, "the claim was not released; it runs out by itself");
    }
}

/// Notifies users of messages that no socket here was for.
fn strays(cluster: &Cluster) -> Strays {
    let cluster = cluster.clone();
    Arc::new(move |delivery| {
        // Nobody waits for these: the sequencer has told who was offline when it sent.
        if let Err(error) = takeover::notify(&cluster, delivery) {
            tracing::warn!(%error, "users without a socket were not notified");
        }
    })
}

/// Tells the claim how far deliveries are done with.
async fn acknowledge(incarnation: &Incarnation, done: &AtomicI64) {
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    loop {
        ticks.tick().await;
        incarnation.set_acked(done.load(std::sync::atomic::Ordering::Acquire));
    }
}
