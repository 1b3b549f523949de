//! One journal partition, for as long as this process owns it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Options;
use super::transactions::{Batch, Transactions};
use crate::codec::{DecodeError, EncodeError};
use crate::log::journal::{Head, JournalError, JournalReader};
use crate::log::{CheckpointError, Checkpoints, ReadError, Reader, topics};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long the group has to take the partition away from the one that was fenced.
const FENCED_PAUSE: Duration = Duration::from_secs(2);
const LAG_EVERY: Duration = Duration::from_secs(5);

/// What ended a run over the partition.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot publish")]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

enum Next {
    /// Another process has the partition: its rightful owner or a zombie, as the group will say.
    Fenced,
    /// Only people can mend it.
    Stop,
    /// It mends itself.
    Again,
}

impl Failure {
    fn next(&self) -> Next {
        match self {
            Self::Kafka(error) if fenced(error) => Next::Fenced,
            Self::Kafka(_) | Self::Checkpoint(CheckpointError::Open(_)) => Next::Again,
            Self::Journal(JournalError::Read(read)) | Self::Checkpoint(CheckpointError::Read(read)) => match read {
                ReadError::OutOfRange { .. } => Next::Stop,
                ReadError::Kafka { .. } | ReadError::Ended { .. } => Next::Again,
            },
            // A registry may tell it soon.
            Self::Journal(JournalError::Undecodable { source: DecodeError::UnknownSchema(_), .. }) => Next::Again,
            Self::Journal(_) | Self::Checkpoint(_) | Self::Encode(_) => Next::Stop,
        }
    }
}

fn fenced(error: &KafkaError) -> bool {
    let code = match error {
        KafkaError::Transaction(error) => Some(error.code()),
        error => error.rdkafka_error_code(),
    };
    matches!(
        code,
        Some(RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch)
    )
}

/// Publishes one journal partition.
pub(super) struct Partition {
    pub options: Arc<Options>,
    pub journal: &'static str,
    pub partition: i32,
    pub reader: Arc<Reader>,
    pub checkpoints: Arc<Checkpoints>,
    /// The next offset of the last checkpoint; -1 while it is not known.
    pub published: AtomicI64,
}

impl Partition {
    /// Until `lost`: the partition is another's from then on, and nothing is in flight.
    pub async fn own(&self, lost: &CancellationToken) {
        tokio::select! {
            () = self.keep_publishing(lost) => {}
            () = self.tell_lag() => {}
        }
        // Whoever has it tells of it from now on.
        self.gauge("tidings_publisher_lag_records").set(0.0);
        self.gauge("tidings_publisher_stopped").set(0.0);
    }

    async fn keep_publishing(&self, lost: &CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            let Err(failure) = self.publish(lost).await else { return };
            if began.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            let next = failure.next();
            self.tell(&failure, &next);
            match next {
                Next::Stop => {
                    self.gauge("tidings_publisher_stopped").set(1.0);
                    return lost.cancelled().await;
                }
                Next::Fenced => pause = FENCED_PAUSE,
                Next::Again => {}
            }
            tokio::select! {
                () = lost.cancelled() => return,
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn tell(&self, failure: &Failure, next: &Next) {
        let (journal, partition, error) = (self.journal, self.partition, failure as &dyn std::error::Error);
        match next {
            Next::Stop => tracing::error!(journal, partition, error, "publishing stops here until this is mended"),
            Next::Fenced => tracing::warn!(journal, partition, "another publisher took the partition"),
            Next::Again => tracing::warn!(journal, partition, error, "publishing begins anew"),
        }
    }

    /// From fencing the one before to the first failure, or until the partition is lost.
    async fn publish(&self, lost: &CancellationToken) -> Result<(), Failure> {
        // In this order: only when nobody else can commit any more is the checkpoint the last one. The first step is not raced
        // against `lost`, as it would go on, and fence the next owner.
        let transactions = Transactions::open(&self.options.client, self.journal, self.partition).await?;
        let mut journal = tokio::select! {
            () = lost.cancelled() => return Ok(()),
            journal = self.open_journal() => journal?,
        };
        self.note(&journal.head());
        let index = journal.head().index;
        tracing::info!(journal = self.journal, partition = self.partition, index, "publishing");
        let mut last_commit = Instant::now();
        loop {
            let batch = tokio::select! {
                () = lost.cancelled() => return Ok(()),
                batch = self.collect(&mut journal, last_commit + self.interval()) => batch?,
            };
            let records: usize = batch.accepted.iter().map(|accepted| accepted.record.records.len()).sum();
            // Not raced against `lost`: a transaction takes some 20 ms, and fencing guards the rest.
            transactions.publish(batch).await?;
            last_commit = Instant::now();
            self.note(&journal.head());
            metrics::counter!("tidings_publisher_records_total", "journal" => self.journal).increment(records as u64);
            metrics::counter!("tidings_publisher_transactions_total", "journal" => self.journal).increment(1);
        }
    }

    /// At the checkpoint.
    async fn open_journal(&self) -> Result<JournalReader, Failure> {
        let checkpoint = self.checkpoints.get(self.journal, self.partition).await?;
        let head = checkpoint.as_ref().map(Head::from).unwrap_or_default();
        let codec = self.options.codec;
        Ok(JournalReader::open(&self.reader, codec, self.journal, self.partition, head).await?)
    }

    /// Whoever registers a user waits until its key is published.
    fn interval(&self) -> Duration {
        if self.journal == topics::USER_JOURNAL { Duration::ZERO } else { self.options.interval }
    }

    /// Waits for something accepted, then for more until `due` or the batch is full.
    async fn collect(&self, journal: &mut JournalReader, due: Instant) -> Result<Batch, Failure> {
        let most = self.options.max_records;
        let published = journal.head().index;
        let mut accepted = journal.next(most).await?;
        while accepted.len() < most {
            // Records without anything public, such as refusals, move the checkpoint too.
            let more = if journal.head().index == published {
                journal.next(most).await?
            } else {
                match timeout_at(due, journal.next(most - accepted.len())).await {
                    Ok(more) => more?,
                    Err(_) => break,
                }
            };
            accepted.extend(more);
        }
        let checkpoint = journal.head().checkpoint(self.journal, self.partition);
        Ok(Batch { accepted, checkpoint: self.options.codec.encode(&checkpoint)? })
    }

    fn note(&self, head: &Head) {
        self.published.store(head.next_offset, Ordering::Relaxed);
        self.gauge("tidings_publisher_stopped").set(0.0);
    }

    async fn tell_lag(&self) {
        loop {
            let published = self.published.load(Ordering::Relaxed);
            if published >= 0
                && let Ok(ends) = self.reader.ends(self.partition).await
            {
                self.gauge("tidings_publisher_lag_records").set((ends.high - published).max(0) as f64);
            }
            sleep(LAG_EVERY).await;
        }
    }

    fn gauge(&self, name: &'static str) -> metrics::Gauge {
        metrics::gauge!(name, "journal" => self.journal, "partition" => self.partition.to_string())
    }
}
