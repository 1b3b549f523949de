//! What stands still until somebody helps, as opposed to what waiting mends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::log::ReadError;
use crate::log::journal::JournalError;

/// How many partitions stand still: such a process is not ready.
#[derive(Debug, Default)]
pub struct Stopped(AtomicUsize);

impl Stopped {
    /// How many do.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// Counts a partition until what this returns is dropped.
    pub(super) fn stand(self: &Arc<Self>, journal: &'static str, partition: i32) -> Standing {
        self.0.fetch_add(1, Ordering::AcqRel);
        let gauge =
            metrics::gauge!("tidings_projection_stopped", "journal" => journal, "partition" => partition.to_string());
        gauge.set(1.0);
        Standing { stopped: Arc::clone(self), gauge }
    }
}

/// A partition that stands still.
pub(super) struct Standing {
    stopped: Arc<Stopped>,
    gauge: metrics::Gauge,
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.stopped.0.fetch_sub(1, Ordering::AcqRel);
        self.gauge.set(0.0);
    }
}

/// Whether waiting helps: Postgres or Kafka are away. Everything else is a record or a table that somebody must look at.
pub(super) fn passes(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        if let Some(error) = cause.downcast_ref::<sqlx::Error>() {
            return crate::store::passes(error);
        }
        let read = match cause.downcast_ref::<JournalError>() {
            Some(JournalError::Read(read)) => Some(read),
            Some(_) => None,
            None => cause.downcast_ref::<ReadError>(),
        };
        matches!(read, Some(ReadError::Kafka { .. } | ReadError::Ended { .. }))
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn only_what_is_away_passes() {
        let away: Result<(), _> = Err(sqlx::Error::PoolTimedOut);
        assert!(passes(&away.context("loading").expect_err("an error")));
        assert!(passes(&JournalError::Read(ReadError::Ended { topic: "t".into() }).into()));
        let gone = ReadError::OutOfRange { topic: "t".into(), partition: 0, low: 5, high: 9, wanted: 3 };
        assert!(!passes(&JournalError::Read(gone.clone()).into()));
        assert!(!passes(&gone.into()));
        assert!(!passes(&anyhow::anyhow!("a record cannot be decoded")));
    }

    #[test]
    fn a_standing_partition_counts_until_it_moves() {
        let stopped = Arc::new(Stopped::default());
        let standing = stopped.stand("journal", 1);
        assert_eq!(stopped.count(), 1);
        drop(standing);
        assert_eq!(stopped.count(), 0);
    }
}
