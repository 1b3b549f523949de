//! What everything at the gateway's edge shares, and how it asks the sequencers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
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
use super::ports::{Append, Appending, CatchUp, Keyring, Presence, Reads, Search, Sessions, Tokens};
use super::rate::Rate;
use super::seen::Seen;
use super::typing::Typing;
use crate::codec::records::{ConversationCommand, Reply, ReplyTo, Signal, UserCommand};
use crate::codec::{Codec, EncodeError};
use crate::config;
use crate::domain::conversation::MAX_USERS_A_COMMAND;
use crate::domain::decision::Done;
use crate::domain::{ErrorCode, IncarnationId, UserId};
use crate::log::{AppendError, partition_of, topics};

/// For what was asked to be answered, after the last socket was told to end.
const ANSWERS: Duration = Duration::from_secs(3);
/// What a closing socket takes at most: its goodbye, and its peer's.
const GOODBYES: Duration = Duration::from_secs(3);

/// Limits and times of the edge.
#[derive(Clone, Debug)]
pub struct Options {
    /// Partitions of every topic of conversations and users.
    pub partitions: i32,
    /// The most sockets at a time; further upgrades are `unavailable`. The listener counts connections only until they are upgraded.
    pub max_sockets: usize,
    /// The largest frame a client may send.
    pub max_frame_bytes: usize,
    /// What may wait for one socket.
    pub outbox_bytes: usize,
    /// The most bytes all sockets together may have waiting, before each may have less.
    pub outbox_total_bytes: usize,
    /// Resident for every socket, so small.
    pub read_buffer_bytes: usize,
    /// The largest body of an HTTP request.
    pub max_body_bytes: usize,
    /// From the upgrade to `hello`; half of it at most is waited for one's turn then.
    pub hello_timeout: Duration,
    /// How many clients are taken a second; more wait, and then come back later.
    pub hellos_per_second: u32,
    /// Between the server's pings; a socket that is silent for two of them is closed.
    pub ping_interval: Duration,
    /// How long a command waits for its reply.
    pub command_timeout: Duration,
    /// Of each socket, and of each user over HTTP.
    pub rate: Rate,
    /// Reads of one socket at a time; the others wait.
    pub reads_in_flight: usize,
    /// Frames of one socket without a reply; more are refused as `rate_limited`.
    pub frames_in_flight: usize,
    /// The most bytes of a message's text.
    pub message_text_bytes: usize,
    /// In which commands should be answered; where they are not, fewer are let in.
    pub answer_target: Duration,
    /// The most bytes of a conversation's name.
    pub name_bytes: usize,
    /// The most users one command may name.
    pub members_per_command: usize,
    /// The most users one socket may watch.
    pub watched_users: usize,
    /// The most members of whom `receipts` says who has read.
    pub receipts_listed_members: usize,
    /// How long an access token is good if its tenant does not say.
    pub token_ttl: Duration,
    /// The longest that a tenant may say.
    pub token_max_ttl: Duration,
}

impl Options {
    /// The defaults, for an installation with `partitions` a topic.
    pub const fn new(partitions: i32) -> Self {
        Self {
            partitions,
            max_sockets: 100_000,
            max_frame_bytes: 65_536,
            outbox_bytes: 1_048_576,
            outbox_total_bytes: 536_870_912,
            read_buffer_bytes: 2_048,
            max_body_bytes: 1_048_576,
            hello_timeout: Duration::from_secs(10),
            hellos_per_second: 3_000,
            ping_interval: Duration::from_secs(30),
            command_timeout: Duration::from_secs(10),
            rate: Rate { per_second: 100, burst: 200, refused_before_close: 1_000 },
            reads_in_flight: 8,
            frames_in_flight: 1_000,
            answer_target: Duration::from_secs(1),
            message_text_bytes: 20_000,
            name_bytes: 256,
            members_per_command: MAX_USERS_A_COMMAND,
            watched_users: 200,
            receipts_listed_members: 50,
            token_ttl: Duration::from_hours(24),
            token_max_ttl: Duration::from_hours(30 * 24),
        }
    }

    /// As configured, for an installation with `partitions` a topic.
    pub fn configured(config: &config::Config, partitions: i32) -> Self {
        let config::Config { gateway, limits, crypto, sequencer, .. } = config;
        Self {
            max_sockets: gateway.max_connections,
            max_frame_bytes: gateway.max_frame_bytes,
            outbox_bytes: gateway.outbox_bytes,
            outbox_total_bytes: gateway.outbox_total_bytes,
            read_buffer_bytes: gateway.read_buffer_bytes,
            max_body_bytes: gateway.max_body_bytes,
            hello_timeout: gateway.hello_timeout,
            hellos_per_second: gateway.hellos_per_second,
            ping_interval: gateway.ping_interval,
            command_timeout: gateway.command_timeout,
            rate: Rate {
                per_second: limits.commands_per_second,
                burst: limits.commands_burst,
                refused_before_close: limits.refused_before_close,
            },
            reads_in_flight: limits.reads_in_flight,
            answer_target: limits.answer_target,
            message_text_bytes: limits.message_text_bytes,
            name_bytes: limits.name_bytes,
            members_per_command: limits.members_per_command,
            watched_users: limits.watched_users,
            receipts_listed_members: sequencer.receipts_fanout_members,
            token_ttl: crypto.token_ttl,
            token_max_ttl: crypto.token_max_ttl,
            ..Self::new(partitions)
        }
    }
}

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

    /// Asks a conversation's owner. The command is appended before the first await, so commands are in order of these calls.
    ///
    /// # Errors
    /// What the owner says, or `unavailable`, which promises nothing: the command may still come to effect.
    pub async fn ask_conversation(&self, mut command: ConversationCommand) -> Result<Done, Failure> {
        let (key, actor) = (command.conversation.to_string(), command.actor);
        self.ask(topics::CONVERSATION_COMMANDS, &key, actor, |codec, reply_to| {
            command.reply_to = Some(reply_to);
            codec.encode(&command)
        })
        .await
    }

    /// Asks a user's owner.
    ///
    /// # Errors
    /// As [`Edge::ask_conversation`].
    pub async fn ask_user(&self, mut command: UserCommand) -> Result<Done, Failure> {
        let (key, user) = (command.user.to_string(), command.user);
        self.ask(topics::USER_COMMANDS, &key, user, |codec, reply_to| {
            command.reply_to = Some(reply_to);
            codec.encode(&command)
        })
        .await
    }

    async fn ask(
        &self,
        topic: &'static str,
        key: &str,
        actor: UserId,
        encode: impl FnOnce(&Codec, ReplyTo) -> Result<Bytes, EncodeError>,
    ) -> Result<Done, Failure> {
        let Identity { incarnation, partition } = self.identity()?;
        let _admitted = self.admission(topic).enter(self.partition_of(key))?;
        let mut waiting = self.pending.register(actor);
        let reply_to = ReplyTo { incarnation, partition, reference: waiting.reference };
        let value = encode(self.codec, reply_to).map_err(|error| not_encoded(&error))?;
        let appending = self.append(topic, key, &value)?;
        let replied = async {
            // A reply can overtake the report of the append; a failed append never has one.
            tokio::select! {
                reply = waiting.reply() => reply,
                Err(error) = appending => {
                    tracing::warn!(topic, error = &error as &dyn std::error::Error, "a command could not be appended");
                    None
                }
            }
        };
        match tokio::time::timeout(self.options.command_timeout, replied).await {
            Ok(Some(reply)) => done(reply),
            Ok(None) | Err(_) => {
                let unavailable =
                    Failure::unavailable("nobody has answered in time; send it again with the same client_id");
                Err(unavailable.after(self.options.answer_target))
            }
        }
    }

    fn admission(&self, topic: &'static str) -> &Admission {
        if topic == topics::USER_COMMANDS { &self.user_commands } else { &self.conversation_commands }
    }

    /// Sends what is shown and forgotten; the first thing that is not, when commands wait.
    ///
    /// # Errors
    /// `unavailable` if it cannot even be queued.
    pub fn signal(&self, signal: &Signal) -> Result<(), Failure> {
        if !self.conversation_commands.has_room_to_spare(self.partition_of(&signal.conversation.to_string())) {
            metrics::counter!("tidings_gateway_signals_shed_total").increment(1);
            return Ok(());
        }
        let value = self.codec.encode(signal).map_err(|error| not_encoded(&error))?;
        // Nobody waits for it, and a lost one harms nobody.
        self.append(topics::CONVERSATION_SIGNALS, &signal.conversation.to_string(), &value).map(drop)
    }

    fn append(&self, topic: &'static str, key: &str, value: &[u8]) -> Result<Appending, Failure> {
        self.ports.log.append(topic, self.partition_of(key), key, value).map_err(|error| {
            metrics::counter!("tidings_gateway_append_refused_total", "topic" => topic).increment(1);
            // A full queue is the ordinary sign of overload, and counted; anything else is worth a line.
            if !matches!(error.0, AppendError::Full) {
                tracing::warn!(topic, error = &error as &dyn std::error::Error, "cannot append");
            }
            Failure::unavailable("the log takes no more at the moment; try again").after(self.options.answer_target)
        })
    }
}

fn not_encoded(error: &EncodeError) -> Failure {
    tracing::error!(error = error as &dyn std::error::Error, "cannot encode");
    Failure::internal()
}

fn done(reply: Reply) -> Result<Done, Failure> {
    let Some(code) = reply.code else {
        let Reply { position, seq, at, duplicate, .. } = reply;
        return Ok(Done { position, seq, at, duplicate });
    };
    let code = code.parse().unwrap_or_else(|_| {
        tracing::error!(code, "a reply has a code that this gateway does not know");
        ErrorCode::Internal
    });
    let retry_after_ms = reply.retry_after_ms.and_then(|wait_ms| u64::try_from(wait_ms).ok());
    Err(Failure { retry_after_ms, ..Failure::new(code, reply.message) })
}
