//! What everything at the gateway's edge shares; [`ask`] is how it asks the sequencers.

mod ask;
mod options;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::Admission;
use super::arrivals::Arrivals;
use super::auth::Auth;
use super::closing::{Closing, Goodbye};
use super::failure::Failure;
use super::hub::Hub;
use super::outbox::Budget;
use super::pending::Pending;
use super::ports::{Append, CatchUp, Keyring, Presence, Reads, Search, Sessions, Tokens};
use super::seen::Seen;
use super::typing::Typing;
use crate::codec::Codec;
use crate::domain::IncarnationId;
use crate::log::{partition_of, topics};

pub use options::Options;

/// For what was asked to be answered, after the last socket was told to end.
const ANSWERS: Duration = Duration::from_secs(3);
/// What a closing socket takes at most: its goodbye, and its peer's.
const GOODBYES: Duration = Duration::from_secs(3);

/// Which gateway incarnation this is, as long as its claim holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// One life of a gateway process.
    pub incarnation: IncarnationId,
    /// Its partition of `deliveries`.
    pub partition: i32,
}

/// What the edge needs of others.
#[derive(Clone)]
pub struct Ports {
    /// Views.
    pub reads: Arc<dyn Reads>,
    /// What was said.
    pub search: Arc<dyn Search>,
    /// Data keys.
    pub keyring: Arc<dyn Keyring>,
    /// Access tokens.
    pub tokens: Arc<dyn Tokens>,
    /// Kafka.
    pub log: Arc<dyn Append>,
    /// Session records.
    pub sessions: Arc<dyn Sessions>,
    /// From `hello` to `caught_up`.
    pub catch_up: Arc<dyn CatchUp>,
    /// Who is there.
    pub presence: Arc<dyn Presence>,
}

/// The shared state of sockets, commands and HTTP.
pub struct Edge {
    /// Limits and times.
    pub options: Options,
    /// None before the first claim and after a lost one.
    identity: ArcSwapOption<Identity>,
    /// How records are written.
    pub codec: &'static Codec,
    /// What it needs of others.
    pub ports: Ports,
    /// Tokens and API keys.
    pub auth: Auth,
    /// Sockets by user.
    pub hub: Arc<Hub>,
    /// What their sockets have waiting.
    pub outboxes: Arc<Budget>,
    /// Commands that wait.
    pub pending: Arc<Pending>,
    /// How many of them there may be.
    conversation_commands: Admission,
    user_commands: Admission,
    /// Read your writes.
    pub seen: Arc<Seen>,
    /// Who was last said to type.
    pub typing: Typing,
    /// Who may say `hello` now.
    pub arrivals: Arrivals,
    /// Cancelled when the gateway begins to stop: it is not ready any more.
    stopping: CancellationToken,
    /// Cancelled a little later: no new sockets.
    pub draining: CancellationToken,
    /// How long all sockets take to come in elsewhere, where they are closed together; in milliseconds.
    spread_ms: AtomicU64,
    /// The tasks of all sockets, those before `hello` too.
    pub sockets: TaskTracker,
    ready: AtomicBool,
    /// What else must hold for it to be ready.
    required: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
}

impl Edge {
    /// The edge of one gateway process. It takes no work before [`Edge::begin`], and is not ready until [`Edge::set_ready`].
    pub fn new(options: Options, codec: &'static Codec, ports: Ports) -> Self {
        let hub = Arc::<Hub>::default();
        hub.tell();
        let admission = |topic| Admission::new(topic, options.partitions, options.answer_target);
        Self {
            conversation_commands: admission(topics::CONVERSATION_COMMANDS),
            user_commands: admission(topics::USER_COMMANDS),
            outboxes: Budget::new(options.outbox_total_bytes),
            arrivals: Arrivals::new(options.hellos_per_second),
            options,
            identity: ArcSwapOption::empty(),
            codec,
            auth: Auth::new(ports.tokens.clone(), ports.reads.clone()),
            ports,
            hub,
            pending: Arc::default(),
            seen: Arc::default(),
            typing: Typing::default(),
            stopping: CancellationToken::new(),
            draining: CancellationToken::new(),
            spread_ms: AtomicU64::new(0),
            sockets: TaskTracker::new(),
            ready: AtomicBool::new(false),
            required: OnceLock::new(),
        }
    }

    /// It is ready only while `condition` holds. To be called once.
    pub fn require(&self, condition: impl Fn() -> bool + Send + Sync + 'static) {
        // The first one stays.
        let _ = self.required.set(Box::new(condition));
    }

    /// From now on this process is `identity`, whose deliveries are being read.
    pub fn begin(&self, identity: Identity) {
        self.identity.store(Some(Arc::new(identity)));
    }

    /// The claim is lost: closes every socket, and tells all who wait that nobody will answer. Until [`Edge::begin`] nothing is taken.
    pub fn lose(&self) {
        self.identity.store(None);
        self.spread();
        self.hub.close_all(Closing::Draining);
        self.pending.give_up();
    }

    /// Which incarnation this is now.
    ///
    /// # Errors
    /// `unavailable` while it is none.
    pub fn identity(&self) -> Result<Identity, Failure> {
        let identity = self.identity.load();
        let identity = identity.as_deref().copied();
        identity.ok_or_else(|| Failure::unavailable("this gateway has no place at the moment; try again"))
    }

    /// Whether `/readyz` says so.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Whether this gateway takes work.
    pub fn is_ready(&self) -> bool {
        let begun = self.ready.load(Ordering::Relaxed) && self.identity.load().is_some();
        begun && !self.stopping.is_cancelled() && self.required.get().is_none_or(|holds| holds())
    }

    /// Whether one more may come and listen.
    ///
    /// # Errors
    /// `unavailable` while the gateway stops, and where it has as many sockets as it may have.
    pub fn has_room(&self) -> Result<(), Failure> {
        if self.draining.is_cancelled() {
            return Err(Failure::unavailable("this gateway is stopping; connect again"));
        }
        if self.sockets.len() >= self.options.max_sockets {
            metrics::counter!("tidings_gateway_upgrades_refused_total").increment(1);
            return Err(Failure::unavailable("this gateway has no room for another socket; connect again"));
        }
        Ok(())
    }

    /// Is not ready from now on; after `notice`, in which whoever asks for readiness hears of it, takes no new sockets and ends those there
    /// are, spread over `time`, each once what it asked is answered; and waits until the last has said goodbye. From `hurry` on it waits for
    /// neither time.
    pub async fn drain(&self, notice: Duration, time: Duration, hurry: &CancellationToken) {
        self.stopping.cancel();
        hurry.run_until_cancelled(tokio::time::sleep(notice)).await;
        self.draining.cancel();
        self.spread();
        self.hub.drain(time, hurry).await;
        self.sockets.close();
        if tokio::time::timeout(ANSWERS, self.sockets.wait()).await.is_err() {
            self.hub.close_all(Closing::Draining);
        }
        if tokio::time::timeout(GOODBYES, self.sockets.wait()).await.is_err() {
            tracing::warn!(sockets = self.sockets.len(), "sockets are left that did not end in time");
        }
    }

    /// All sockets there are now will come back together.
    fn spread(&self) {
        let spread = self.arrivals.time_for(self.hub.len());
        self.spread_ms.store(u64::try_from(spread.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What a client is told that is closed because of `closing`.
    pub fn goodbye(&self, closing: Closing) -> Goodbye {
        let mut goodbye = Goodbye::from(closing);
        let together = self.draining.is_cancelled() || self.identity.load().is_none();
        if let (true, Closing::Draining, Some([_, most])) = (together, closing, &mut goodbye.reconnect) {
            *most = (*most).max(self.spread_ms.load(Ordering::Relaxed));
        }
        goodbye
    }

    /// The partition of a conversation or user.
    pub fn partition_of(&self, id: &str) -> i32 {
        partition_of(id.as_bytes(), self.options.partitions)
    }
}
