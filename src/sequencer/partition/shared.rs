//! What the owners of all partitions share, and why one stops.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::codec::{Codec, EncodeError};
use crate::domain::Timestamp;
use crate::log::journal::{Head, JournalError};
use crate::log::{AppendError, CheckpointError, Checkpoints, Ownership, Producer, ReadError, Reader};
use crate::sequencer::aggregate::{Aggregate, Command};
use crate::sequencer::owner::OwnerLimits;
use crate::sequencer::routing::{RouteError, Router};

/// What the view knows, in one snapshot.
pub struct Loaded<A: Aggregate> {
    /// The view's checkpoint of the partition.
    pub head: Head,
    /// The aggregates that exist.
    pub states: HashMap<A::Id, A::State>,
    /// What was looked up.
    pub found: HashMap<A::Id, A::Found>,
}

/// What the sequencer needs from outside the log.
#[async_trait]
pub trait Surroundings<A: Aggregate>: Send + Sync {
    /// Loads aggregates, with the client ids made since `recent_since`, and looks up what is asked of these and others, in one snapshot.
    async fn load(
        &self,
        partition: i32,
        ids: &[A::Id],
        lookups: &[(A::Id, A::Lookup)],
        recent_since: Timestamp,
    ) -> anyhow::Result<Loaded<A>>;
    /// The view's checkpoint of the partition.
    async fn view_head(&self, partition: i32) -> anyhow::Result<Head>;
    /// Adds to a command what `decide` needs and chance or keys must make. `exists`: whether the aggregate does.
    async fn prepare(&self, exists: bool, command: &mut Command<A>) -> anyhow::Result<()>;
}

/// What all partitions of a sequencer share.
pub struct Shared<A: Aggregate> {
    /// Of the installation.
    pub codec: &'static Codec,
    /// For the journal.
    pub producer: Producer,
    /// Where outcomes go.
    pub router: Router,
    /// Views and keys.
    pub surroundings: Arc<dyn Surroundings<A>>,
    /// Whose partitions are whose.
    pub ownership: Ownership,
    /// How far the public streams are: where an owner begins when nothing was committed.
    pub checkpoints: Checkpoints,
    /// Of the commands topic.
    pub commands: Reader,
    /// Of the journal.
    pub journal: Reader,
    /// Of the signals topic, if the aggregate has one.
    pub signals: Option<Reader>,
    /// What an owner may keep and how often it does what.
    pub options: Options,
}

/// What an owner may keep and how often it does what.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Partitions of the journal.
    pub partitions: i32,
    /// The most commands decided at a time.
    pub batch_commands: usize,
    /// How long a load may take before its commands are answered `unavailable`.
    pub load_timeout: Duration,
    /// How often marks are sent and offsets committed.
    pub commit_interval: Duration,
    /// See [`OwnerLimits`].
    pub limits: OwnerLimits,
    /// Typing is not shown in larger conversations.
    pub typing_members: usize,
}

/// Why an owner stops. It is started again from what is committed, as long as the partition is this process'.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The journal cannot be understood.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record of the journal cannot be understood.
    #[error("journal record at offset {offset} cannot be understood: {reason}")]
    Record {
        /// Where.
        offset: i64,
        /// Why.
        reason: String,
    },
    /// A newer program wrote it, and the registry is being asked what it is.
    #[error("the schema of the command at offset {0} is not known yet; the registry is asked")]
    Asked(i64),
    /// Kafka is away or full.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A defect.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Deliveries cannot be sent.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// Where the public streams are cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The view has what the journal has not.
    #[error(
        "the view has applied offsets up to {view}, and the journal ends at {journal}; if that stays so, see docs/operations.md"
    )]
    ViewAhead {
        /// Next offset of the view.
        view: i64,
        /// Of the journal.
        journal: i64,
    },
    /// Kafka and Postgres are not of the same restore.
    #[error(
        "the view is of epoch {view} and what was committed of epoch {committed}: Kafka and Postgres are not of the same installation, see docs/operations.md"
    )]
    Epoch {
        /// Of the view's checkpoint.
        view: i32,
        /// Of the owner before.
        committed: i32,
    },
    /// The group refuses: somebody else owns the partition.
    #[error("cannot commit")]
    Commit(#[source] rdkafka::error::KafkaError),
    /// What was committed cannot be read.
    #[error("the committed metadata of partition {0} cannot be read")]
    Metadata(i32),
    /// The view is older than what the owner still has; it must read more of the journal.
    #[error("the view is at offset {view}, before {kept}, the first that is kept in memory")]
    ViewTooOld {
        /// Its checkpoint.
        view: i64,
        /// First offset of the tail.
        kept: i64,
    },
    /// Keys cannot be made.
    #[error("cannot prepare a command")]
    Prepare(#[source] anyhow::Error),
    /// The table of sessions cannot be read.
    #[error("cannot read the sessions")]
    Sessions(#[source] anyhow::Error),
}

impl PartitionError {
    /// Whether the group has given the partition to another.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Commit(error) if is_taken(error))
    }
}

/// Whether this process is no member of the group any more: it was silent for too long.
pub fn is_taken(error: &rdkafka::error::KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode as Code;
    matches!(error.rdkafka_error_code(), Some(Code::UnknownMemberId | Code::FencedInstanceId))
}
