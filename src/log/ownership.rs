//! Which partitions this process owns: a consumer group that is used for nothing but that, and for committed offsets.
//!
//! What owners read, they read through [`super::Reader`] from where they want. A commit of somebody who is no longer the owner is
//! refused by the group's coordinator.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc as blocking;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long owners may take to finish what they have begun when a partition is taken from them. Shorter than any session timeout.
const DRAIN: Duration = Duration::from_secs(3);
const BROKER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the group decided.
#[derive(Debug)]
pub enum Change {
    /// These are this process' from now on.
    Gained(Vec<i32>),
    /// These are going: finish, commit, then drop `done`. After 3 s they are gone anyway.
    Losing {
        /// Which.
        partitions: Vec<i32>,
        /// Dropped when the owner has finished.
        done: blocking::Sender<()>,
    },
    /// The group cannot go on.
    Failed(KafkaError),
}

/// What an owner committed last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Offset of the first command that is not done; none if nothing was ever committed.
    pub offset: Option<i64>,
    /// Whatever it wrote with it.
    pub metadata: String,
}

/// Partitions that this process may commit for. The coordinator checks who is a member, not whose a partition is: a late commit of one that
/// was given away would be accepted over the next owner's. Held while a commit is on its way, so that none is when a partition goes.
type Ours = Arc<RwLock<HashSet<i32>>>;

struct Context {
    changes: mpsc::UnboundedSender<Change>,
    ours: Ours,
}

impl ClientContext for Context {}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else { return };
        let losing = partitions(list);
        let (done, drained) = blocking::channel();
        if self.changes.send(Change::Losing { partitions: losing.clone(), done }).is_ok() {
            // Nothing is ever sent: the owners drop their ends.
            let _ = drained.recv_timeout(DRAIN);
        }
        self.ours.write().unwrap_or_else(PoisonError::into_inner).retain(|partition| !losing.contains(partition));
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                // Membership only: the records are read elsewhere.
                if let Err(error) = consumer.pause(list) {
                    tracing::warn!(%error, "cannot pause an owned partition");
                }
                let gained = partitions(list);
                self.ours.write().unwrap_or_else(PoisonError::into_inner).extend(&gained);
                let _ = self.changes.send(Change::Gained(gained));
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => tracing::warn!(%error, "rebalance failed; it is tried again"),
        }
    }

    fn commit_callback(&self, _: KafkaResult<()>, _: &TopicPartitionList) {}
}

fn partitions(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(rdkafka::topic_partition_list::TopicPartitionListElem::partition).collect()
}

/// Membership of a group. Dropping it leaves the group after the owners had their time to finish.
pub struct Ownership {
    consumer: Arc<BaseConsumer<Context>>,
    ours: Ours,
    topic: String,
    stop: CancellationToken,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

impl Ownership {
    /// Joins `group` for `topic`.
    ///
    /// # Errors
    /// If the client's configuration is refused.
    pub fn join(
        client: &ClientConfig,
        group: &str,
        topic: &str,
        session_timeout_ms: u32,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Change>), KafkaError> {
        let (sender, changes) = mpsc::unbounded_channel();
        let mut config = client.clone();
        config.set("group.id", group).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
        config.set("partition.assignment.strategy", "cooperative-sticky").set("group.protocol", "classic");
        config.set("session.timeout.ms", session_timeout_ms.to_string());
        config.set("heartbeat.interval.ms", (session_timeout_ms / 4).to_string());
        let ours = Ours::default();
        let context = Context { changes: sender.clone(), ours: Arc::clone(&ours) };
        let consumer: Arc<BaseConsumer<Context>> = Arc::new(config.create_with_context(context)?);
        consumer.subscribe(&[topic])?;
        let stop = CancellationToken::new();
        let (polled, stopped) = (Arc::clone(&consumer), stop.clone());
        let thread = thread::Builder::new()
            .name(format!("group {group}"))
            .spawn(move || poll(&polled, &stopped, &sender))
            .map_err(|_| KafkaError::Canceled)?;
        Ok((Self { consumer, ours, topic: topic.to_owned(), stop, thread: Mutex::new(Some(thread)) }, changes))
    }

    /// What was committed for `partition`.
    ///
    /// # Errors
    /// If the coordinator does not answer.
    pub async fn committed(&self, partition: i32) -> Result<Committed, KafkaError> {
        let (consumer, topic) = (Arc::clone(&self.consumer), self.topic.clone());
        let query = move || {
            let mut list = TopicPartitionList::new();
            list.add_partition(&topic, partition);
            let committed = consumer.committed_offsets(list, BROKER_TIMEOUT)?;
            let element = committed.find_partition(&topic, partition);
            Ok(element.map_or_else(Committed::default, |element| Committed {
                offset: match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                },
                metadata: element.metadata().to_owned(),
            }))
        };
        tokio::task::spawn_blocking(query).await.map_err(|_| KafkaError::Canceled)?
    }

    /// Commits for several partitions at once.
    ///
    /// # Errors
    /// If this process owns one of them no more, or the coordinator does not answer.
    pub async fn commit(&self, commits: HashMap<i32, (i64, String)>) -> Result<(), KafkaError> {
        let (consumer, topic, ours) = (Arc::clone(&self.consumer), self.topic.clone(), Arc::clone(&self.ours));
        let commit = move || {
            let ours = ours.read().unwrap_or_else(PoisonError::into_inner);
            if !commits.keys().all(|partition| ours.contains(partition)) {
                return Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::UnknownMemberId));
            }
            let mut list = TopicPartitionList::new();
            for (partition, (offset, metadata)) in commits {
                let mut element = list.add_partition(&topic, partition);
                element.set_offset(Offset::Offset(offset))?;
                element.set_metadata(metadata);
            }
            consumer.commit(&list, CommitMode::Sync)
        };
        tokio::task::spawn_blocking(commit).await.map_err(|_| KafkaError::Canceled)?
    }

    /// Leaves the group and waits until that is done. Owners have finished before.
    pub async fn leave(&self) {
        self.stop.cancel();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // The thread only ends, it tells nothing.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn poll(consumer: &BaseConsumer<Context>, stop: &CancellationToken, changes: &mpsc::UnboundedSender<Change>) {
    while !stop.is_cancelled() {
        if let Some(Err(error)) = consumer.poll(Duration::from_millis(100)) {
            if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
                tracing::error!(%error, "the consumer group cannot go on");
                let _ = changes.send(Change::Failed(error));
                return;
            }
            tracing::debug!(%error, "kafka is away; the group goes on when it is back");
        }
    }
    consumer.unsubscribe();
}
