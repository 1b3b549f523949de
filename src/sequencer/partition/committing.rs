//! What goes on beside a partition's work, which never waits for it: marks and commits, and looks at the journal's end and the view.
//! And the terms of owners, which are in what is committed.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::shared::{PartitionError, Shared};
use super::{LOOK, Partition, SWEEP};
use crate::domain::EventId;
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

/// What came back.
pub enum Beside {
    /// Everything before this offset is committed.
    Committed(i64),
    /// Where the journal ended, and how far the view was; none if it is away.
    Looked(i64, Option<i64>),
}

impl<A: Aggregate> Partition<A> {
    pub(super) fn tick(&mut self) -> Result<(), PartitionError> {
        self.settle_delivered()?;
        if !self.looking && self.looked.elapsed() >= LOOK {
            self.start_look();
        }
        if self.swept.elapsed() >= SWEEP {
            self.swept = std::time::Instant::now();
            self.owner.sweep(self.now.plus(-2 * RECENT_SENDS_MS));
        }
        self.start_commit()
    }

    pub(super) async fn came_back(&mut self, beside: Beside) -> Result<(), PartitionError> {
        match beside {
            Beside::Committed(offset) => {
                self.committing = false;
                self.committed = offset;
                self.owner.committed(offset);
            }
            Beside::Looked(end, view) => {
                (self.looking, self.looked) = (false, std::time::Instant::now());
                // What is in flight may be what is there.
                if self.owner.in_flight() == 0 && end > self.owner.head().next_offset {
                    self.read_hole().await?;
                }
                if let Some(view) = view {
                    self.owner.view_reached(view.min(self.owner.head().next_offset));
                }
            }
        }
        Ok(())
    }

    fn start_look(&mut self) {
        self.looking = true;
        let (shared, partition) = (Arc::clone(&self.shared), self.partition);
        self.beside.push(Box::pin(async move {
            let end = shared.journal.ends(partition).await?.high;
            let view = shared.surroundings.view_head(partition).await.ok();
            Ok(Beside::Looked(end, view.map(|head| head.next_offset)))
        }));
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
        if self.committing {
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
            self.committing = true;
            let (shared, partition) = (Arc::clone(&self.shared), self.partition);
            let metadata = Metadata::new(self.mark.term, head);
            self.beside.push(Box::pin(async move {
                for appending in marks {
                    appending.await?;
                }
                commit(&shared, partition, offset, &metadata).await?;
                Ok(Beside::Committed(offset))
            }));
        }
        Ok(())
    }

    /// Commits all that is done.
    pub(super) async fn finish_commits(&mut self) -> Result<(), PartitionError> {
        self.await_beside().await?;
        self.start_commit()?;
        self.await_beside().await
    }

    async fn await_beside(&mut self) -> Result<(), PartitionError> {
        while let Some(beside) = self.beside.next().await {
            self.came_back(beside?).await?;
        }
        Ok(())
    }

    /// Waits for a commit that has begun, whatever becomes of it: one that came after the next owner's first would take its term back.
    pub(super) async fn end_beside(&mut self) {
        while self.beside.next().await.is_some() {}
    }
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
        None => (shared.commands.ends(partition).await?.low, Head::default(), 1),
    };
    commit(shared, partition, offset, &Metadata::new(term, head)).await?;
    Ok((offset, head, term))
}
