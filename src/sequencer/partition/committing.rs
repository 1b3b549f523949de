//! What goes on beside a partition's work, which never waits for it: marks and commits, and looks at the journal's end and the view.
//! And the terms of owners, which are in what is committed.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::shared::{PartitionError, Shared, is_taken};
use super::{LOOK, Partition, SWEEP};
use crate::domain::{EventId, Timestamp};
use crate::log::Appending;
use crate::log::journal::Head;
use crate::sequencer::aggregate::Aggregate;
use crate::sequencer::conversations::RECENT_SENDS_MS;
use crate::sequencer::owner::Again;

/// Committed with the offset: how far the journal was, and which owner it was.
#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    term: i64,
    epoch: i32,
    next_offset: i64,
    id: EventId,
    offset: i64,
    index: i64,
    cause_offset: i64,
}

impl Metadata {
    fn new(term: i64, head: Head) -> Self {
        let Head { epoch, next_offset, id, offset, index, cause_offset } = head;
        Self { term, epoch, next_offset, id, offset, index, cause_offset }
    }

    fn head(&self) -> Head {
        let Self { epoch, next_offset, id, offset, index, cause_offset, .. } = *self;
        Head { epoch, next_offset, id, offset, index, cause_offset }
    }
}

/// How far the journal was when an owner committed with this metadata.
pub fn committed_head(metadata: &str) -> Option<Head> {
    serde_json::from_str::<Metadata>(metadata).ok().map(|metadata| metadata.head())
}

/// Where the journal ended, and how far the view was; none if it is away.
pub struct Looked {
    end: i64,
    view: Option<i64>,
}

impl<A: Aggregate> Partition<A> {
    pub(super) fn tick(&mut self) -> Result<(), PartitionError> {
        self.settle_delivered()?;
        if self.looking.is_none() && self.looked.elapsed() >= LOOK {
            self.start_look();
        }
        if self.swept.elapsed() >= SWEEP {
            self.swept = std::time::Instant::now();
            self.owner.sweep(self.now.plus(-2 * RECENT_SENDS_MS));
        }
        self.start_commit()
    }

    fn start_look(&mut self) {
        let (shared, partition) = (Arc::clone(&self.shared), self.partition);
        self.looking = Some(Box::pin(async move {
            let end = shared.journal.ends(partition).await?.high;
            let view = view_head(&shared, partition).await;
            Ok(Looked { end, view: view.map(|head| head.next_offset) })
        }));
    }

    pub(super) async fn looked(&mut self, Looked { end, view }: Looked) -> Result<(), PartitionError> {
        self.looked = std::time::Instant::now();
        // What is in flight may be what is there.
        if self.owner.in_flight() == 0 && end > self.owner.head().next_offset {
            self.read_hole().await?;
        }
        if let Some(view) = view {
            self.owner.view_reached(view.min(self.owner.head().next_offset), &self.held);
        }
        Ok(())
    }

    pub(super) fn send_marks(&mut self) -> Result<Vec<Appending>, PartitionError> {
        // What was adopted a moment ago is not routed yet, and must not be marked as reached.
        self.held.extend(self.owner.take_outcomes());
        let held = self.held.iter().find_map(|outcome| outcome.accepted.as_ref().map(|counted| counted.offset));
        self.mark.sessions_offset = self.shared.router.sessions.offset();
        self.mark.reached_offset = held.unwrap_or(self.owner.head().next_offset);
        if self.shared.signals.is_none() {
            // Only what sockets hear of is waited for.
            return Ok(Vec::new());
        }
        Ok(self.shared.router.mark(A::JOURNAL, self.mark)?)
    }

    /// Marks first, so that no gateway believes less to be covered than what the next owner starts from. One commit at a time, or an older
    /// one could overtake.
    pub(super) fn start_commit(&mut self) -> Result<(), PartitionError> {
        if self.committing.is_some() {
            return Ok(());
        }
        let marks = self.send_marks()?;
        let undecided = match self.todo.front() {
            Some(Again::Decide(command)) => command.offset,
            Some(Again::Skip(offset)) => *offset,
            None => self.commands.next_offset(),
        };
        let (offset, head) = self.progress.point(undecided);
        if offset > self.committed {
            let (shared, partition) = (Arc::clone(&self.shared), self.partition);
            let metadata = Metadata::new(self.mark.term, head);
            self.committing = Some(Box::pin(async move {
                for appending in marks {
                    appending.await?;
                }
                commit(&shared, partition, offset, &metadata).await?;
                Ok(offset)
            }));
        }
        Ok(())
    }

    /// Commits all that is done.
    pub(super) async fn finish_commits(&mut self) -> Result<(), PartitionError> {
        if let Some(committing) = self.committing.take() {
            let committed = committing.await;
            self.committed(committed)?;
        }
        self.start_commit()?;
        match self.committing.take() {
            Some(committing) => committing.await.map(drop),
            None => Ok(()),
        }
    }

    pub(super) fn committed(&mut self, committed: Result<i64, PartitionError>) -> Result<(), PartitionError> {
        match committed {
            Ok(offset) => {
                self.committed = offset;
                self.owner.committed(offset);
                Ok(())
            }
            // What is not committed yet is only done again. The next tick tries; if the partition is another's, the group says so.
            Err(PartitionError::Commit(error)) if !is_taken(&error) => {
                tracing::warn!(journal = A::JOURNAL, partition = self.partition, %error, "cannot commit now");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// How far the view is; none if it does not say so in time.
pub async fn view_head<A: Aggregate>(shared: &Shared<A>, partition: i32) -> Option<Head> {
    let asked = shared.surroundings.view_head(partition);
    tokio::time::timeout(shared.options.load_timeout, asked).await.ok()?.ok()
}

async fn commit<A: Aggregate>(
    shared: &Shared<A>,
    partition: i32,
    offset: i64,
    metadata: &Metadata,
) -> Result<(), PartitionError> {
    let metadata = serde_json::to_string(metadata).map_err(|_| PartitionError::Metadata(partition))?;
    let commits = HashMap::from([(partition, (offset, metadata))]);
    shared.ownership.commit(commits).await.map_err(PartitionError::Commit)
}

/// What the last owner committed, and a term higher than its own, committed too: from then on its commits are refused by the group, and
/// its marks by the gateways.
pub async fn take_term<A: Aggregate>(shared: &Shared<A>, partition: i32) -> Result<(i64, Head, i64), PartitionError> {
    let committed = shared.ownership.committed(partition).await.map_err(PartitionError::Commit)?;
    let (offset, head, term) = match committed.offset {
        Some(offset) => {
            let metadata: Metadata =
                serde_json::from_str(&committed.metadata).map_err(|_| PartitionError::Metadata(partition))?;
            (offset, metadata.head(), metadata.term + 1)
        }
        // The first owner ever, or the first after a restore; or what was committed has been lost: it is kept for a time only. Its term
        // must be above those of then, which gateways remember: each was one more than the one before, and none took less than a second.
        None => {
            let published = shared.checkpoints.get(A::JOURNAL, partition).await?;
            let head = published.as_ref().map(Head::from).unwrap_or_default();
            (shared.commands.ends(partition).await?.low, head, Timestamp::now().0 / 1_000)
        }
    };
    commit(shared, partition, offset, &Metadata::new(term, head)).await?;
    Ok((offset, head, term))
}
