//! The life of a gateway incarnation: it claims a partition of `deliveries`, renews the claim, loses it or releases it.
//!
//! The claim is a record in `sessions`; there is no other lock (see [`crate::sessions::claims`]). An incarnation counts as having its
//! partition once it has read its own claim back as the holder's. It is *lost*, and its gateway closes every socket before anything
//! else, when a record says that it is superseded or released, when its renewals were not acknowledged for as long as others take
//! to call it overdue, or when `sessions` is not read any more. Then a new incarnation begins, with another id: what was sent to the
//! old one is never taken for the new one's.
//!
//! [`takeover`] cleans up after the dead; [`janitor`] looks for them.

pub mod janitor;
mod pick;
pub mod takeover;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use tokio_util::sync::CancellationToken;

use crate::codec::records::{GatewayClaim, Session};
use crate::codec::{Codec, EncodeError};
use crate::domain::{IncarnationId, SessionId, Timestamp};
use crate::log::{AppendError, Appending, Producer, ReadError, ends, topics};
use crate::sessions::table::{OVERDUE, PARTITION, RENEWAL};
use crate::sessions::{Gateway, SessionTable, TableError};

/// Before a full house or a log that is away is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long sequencers may take to read of the end of sessions.
const LINGER: Duration = Duration::from_millis(200);

/// Why a claim, a session or what was left by others could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Every partition of `deliveries` is held by a live gateway.
    #[error("all {0} partitions of `deliveries` are held by live gateways; add partitions or stop gateways")]
    Full(i32),
    /// Somebody else was faster.
    #[error("partition {0} of `deliveries` was claimed by another gateway first")]
    Beaten(i32),
    /// The incarnation holds its partition no more.
    #[error("this gateway incarnation has lost its claim")]
    Lost,
    /// Kafka is away or full.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Kafka is away.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Sessions are not known any more.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A defect.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// What a gateway needs of the log.
#[derive(Clone)]
pub struct Cluster {
    /// For reading.
    pub client: ClientConfig,
    /// Of the installation.
    pub codec: &'static Codec,
    /// For appending.
    pub producer: Producer,
    /// Who is where.
    pub table: Arc<SessionTable>,
    /// Partitions of `presence` and `notifications`.
    pub partitions: i32,
    /// Partitions of `deliveries`.
    pub delivery_partitions: i32,
    /// How often claims are renewed.
    pub renewal: Duration,
    /// How long a claim lasts without.
    pub overdue: Duration,
}

impl Cluster {
    /// With the usual times.
    pub fn new(
        client: ClientConfig,
        codec: &'static Codec,
        producer: Producer,
        table: Arc<SessionTable>,
        partitions: i32,
        delivery_partitions: i32,
    ) -> Self {
        Self { client, codec, producer, table, partitions, delivery_partitions, renewal: RENEWAL, overdue: OVERDUE }
    }

    /// Starts to append to `sessions`; a value of none is a tombstone.
    fn append(&self, key: &str, value: Option<&[u8]>) -> Result<Appending, AppendError> {
        self.producer.append(topics::SESSIONS, PARTITION, key.as_bytes(), value)
    }
}

/// An incarnation that holds its partition. Renews its claim until it is released, lost or dropped.
pub struct Incarnation {
    cluster: Cluster,
    claim: GatewayClaim,
    start_offset: i64,
    acked: Arc<AtomicI64>,
    lost: CancellationToken,
    stop: CancellationToken,
}

impl Incarnation {
    /// Claims a partition, trying others if somebody is faster, and again while none is free or Kafka is away.
    ///
    /// # Errors
    /// If `sessions` cannot be read any more.
    pub async fn begin(cluster: &Cluster) -> Result<Self, ClaimError> {
        loop {
            match Self::try_begin(cluster).await {
                Ok(incarnation) => return Ok(incarnation),
                Err(error @ ClaimError::Table(_)) if cluster.table.ended().is_cancelled() => return Err(error),
                Err(ClaimError::Beaten(partition)) => {
                    tracing::debug!(partition, "another gateway was faster; trying another partition");
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot claim a partition of deliveries yet");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn try_begin(cluster: &Cluster) -> Result<Self, ClaimError> {
        cluster.table.read_to_end_now().await?;
        let Some((partition, generation)) = pick::partition(&cluster.table, cluster.delivery_partitions) else {
            return Err(ClaimError::Full(cluster.delivery_partitions));
        };
        let claimed = Self::claim(cluster, partition, generation).await?;
        for dead in cluster.table.superseded(partition) {
            takeover::clean(cluster, &dead, claimed.start_offset).await?;
        }
        Ok(claimed)
    }

    /// Claims `partition` and waits until the claim was read back as the holder's. `generation` is one more than it was before the
    /// partition was found to be free or overdue.
    pub(super) async fn claim(cluster: &Cluster, partition: i32, generation: i64) -> Result<Self, ClaimError> {
        let incarnation = IncarnationId::generate();
        let lost = cluster.table.watch_lost(incarnation);
        // Before the claim: whatever is meant for this incarnation comes after it.
        let start_offset = ends(&cluster.client, topics::DELIVERIES, partition).await?.high;
        let mut claim =
            GatewayClaim { incarnation, partition, generation, claim_offset: -1, acked_offset: start_offset };
        let sent_at = Instant::now();
        let value = cluster.codec.encode(&claim)?;
        let offset = cluster.append(&incarnation.to_string(), Some(&value))?.await?.offset;
        cluster.table.wait_for(offset + 1).await?;
        if lost.is_cancelled() || !cluster.table.holds(incarnation) {
            // What does not hold is nobody's: without a tombstone somebody would clean up after it.
            cluster.append(&incarnation.to_string(), None)?.await?;
            return Err(ClaimError::Beaten(partition));
        }
        claim.claim_offset = offset;
        tracing::info!(%incarnation, partition, generation, "partition of deliveries claimed");
        let (acked, stop) = (Arc::new(AtomicI64::new(start_offset)), CancellationToken::new());
        let renewing = Renewing {
            cluster: cluster.clone(),
            claim: claim.clone(),
            acked: Arc::clone(&acked),
            lost: lost.clone(),
            stop: stop.clone(),
        };
        tokio::spawn(renewing.run(sent_at));
        Ok(Self { cluster: cluster.clone(), claim, start_offset, acked, lost, stop })
    }

    /// Who this is and where it reads.
    pub fn gateway(&self) -> Gateway {
        Gateway { incarnation: self.claim.incarnation, partition: self.claim.partition }
    }

    /// Where in the partition of `deliveries` to start reading.
    pub fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// Cancelled when the claim is lost: close every socket, then begin anew.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Deliveries before `offset` are done with. Told with the next renewal.
    pub fn set_acked(&self, offset: i64) {
        self.acked.fetch_max(offset, Ordering::Relaxed);
    }

    /// Makes `session` durable in `sessions`. Gives its offset there.
    ///
    /// # Errors
    /// If the claim is lost, or Kafka is away.
    pub async fn register(&self, session: &Session) -> Result<i64, ClaimError> {
        if self.lost.is_cancelled() {
            return Err(ClaimError::Lost);
        }
        let value = self.cluster.codec.encode(session)?;
        Ok(self.cluster.append(&session.session.to_string(), Some(&value))?.await?.offset)
    }

    /// Starts to write the tombstone of `session`. Whether it arrives is not of weight: what a gateway leaves, others clean up.
    pub fn unregister(&self, session: SessionId) {
        // After a loss the tombstones are whoever claims next's to write; the same one twice does no harm.
        if let Err(error) = self.cluster.append(&session.to_string(), None) {
            tracing::debug!(%session, %error, "a session's tombstone was not written; it is when this gateway is over");
        }
    }

    /// Releases the partition. Call it when every socket is closed and deliveries are not read any more. What was sent here and not
    /// acknowledged by then goes to notifications.
    ///
    /// # Errors
    /// [`ClaimError::Lost`] if another gateway holds the partition, and cleans up; or if Kafka is away: the claim then runs out.
    pub async fn release(self) -> Result<(), ClaimError> {
        self.stop.cancel();
        let Self { cluster, claim, acked, .. } = &self;
        cluster.table.forget_lost(claim.incarnation);
        cluster.producer.flush(Duration::from_secs(5)).await;
        // A table that is not kept up any more still knows nearly all.
        if let Err(error) = cluster.table.read_to_end_now().await {
            tracing::debug!(%error, "releasing a claim without the newest sessions");
        }
        if !cluster.table.holds(claim.incarnation) {
            return Err(ClaimError::Lost);
        }
        // Sessions whose own tombstones were not written would be nobody's after this.
        let left = cluster.table.sessions_of(claim.incarnation);
        takeover::end_sessions(cluster, claim.incarnation, &left, Timestamp::now()).await?;
        // Sequencers that had not read of the end of the last sessions yet have sent on.
        tokio::time::sleep(LINGER.min(cluster.renewal)).await;
        let end = ends(&cluster.client, topics::DELIVERIES, claim.partition).await?.high;
        let acked = acked.load(Ordering::Relaxed);
        takeover::notify_between(cluster, claim.partition, acked, end, &[claim.incarnation]).await?;
        cluster.append(&claim.incarnation.to_string(), None)?.await?;
        tracing::info!(incarnation = %claim.incarnation, partition = claim.partition, "partition of deliveries released");
        Ok(())
    }
}

impl Drop for Incarnation {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Renewing {
    cluster: Cluster,
    claim: GatewayClaim,
    acked: Arc<AtomicI64>,
    lost: CancellationToken,
    stop: CancellationToken,
}

impl Renewing {
    /// `sent_at`: when the last record that arrived was sent. Counted from the sending, we give up before others do.
    async fn run(self, mut sent_at: Instant) {
        let ended = self.cluster.table.ended().clone();
        loop {
            let deadline = tokio::time::Instant::from_std(sent_at + self.cluster.overdue);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = self.lost.cancelled() => {
                    tracing::warn!(incarnation = %self.claim.incarnation, "another gateway took the claim over");
                    break;
                }
                () = ended.cancelled() => {
                    tracing::error!(incarnation = %self.claim.incarnation, "sessions are not read any more; the claim is given up");
                    break;
                }
                () = tokio::time::sleep_until(deadline) => {
                    tracing::warn!(incarnation = %self.claim.incarnation, "the claim could not be renewed in time and is given up");
                    break;
                }
                renewed = self.renew() => sent_at = renewed,
            }
        }
        if !self.stop.is_cancelled() {
            self.lost.cancel();
        }
        self.cluster.table.forget_lost(self.claim.incarnation);
    }

    /// Renews after the usual while, trying until it is acknowledged. Gives when that record was sent.
    async fn renew(&self) -> Instant {
        loop {
            tokio::time::sleep(self.cluster.renewal).await;
            let sent_at = Instant::now();
            match self.send().await {
                Ok(()) => return sent_at,
                Err(error) => {
                    tracing::warn!(incarnation = %self.claim.incarnation, %error, "cannot renew the claim; trying again")
                }
            }
        }
    }

    async fn send(&self) -> Result<(), ClaimError> {
        let claim = GatewayClaim { acked_offset: self.acked.load(Ordering::Relaxed), ..self.claim.clone() };
        let value = self.cluster.codec.encode(&claim)?;
        self.cluster.append(&claim.incarnation.to_string(), Some(&value))?.await?;
        Ok(())
    }
}
