//! The sequencer: commands in, numbered events out.
//!
//! [`Owner`](owner::Owner) holds the rules, without I/O; [`partition`] is the loop around it; [`routing`] sends on what
//! counts; [`aggregate`] is what the engine must know of conversations and users.

pub mod aggregate;
pub mod conversations;
mod journey;
pub mod owner;
pub mod partition;
pub mod progress;
pub mod routing;
#[cfg(test)]
mod simulation;
pub mod users;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::log::Change;
use aggregate::Aggregate;
use partition::{Partition, Shared};

/// How long to wait before an owner that failed starts again.
const RESTART: Duration = Duration::from_millis(500);

struct Owned {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Owns partitions as the group decides, until `shutdown`.
///
/// # Errors
/// If the group cannot go on.
pub async fn run<A: Aggregate>(
    shared: Arc<Shared<A>>,
    mut changes: UnboundedReceiver<Change>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut owned: HashMap<i32, Owned> = HashMap::new();
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = shutdown.cancelled() => break,
        };
        match change {
            Some(Change::Gained(partitions)) => {
                for partition in partitions {
                    let stop = CancellationToken::new();
                    let task = tokio::spawn(own(Arc::clone(&shared), partition, stop.clone()));
                    owned.insert(partition, Owned { stop, task });
                }
            }
            Some(Change::Losing { partitions, done }) => {
                let losing: Vec<_> = partitions.iter().filter_map(|partition| owned.remove(partition)).collect();
                tokio::spawn(async move {
                    finish(losing).await;
                    drop(done);
                });
            }
            Some(Change::Failed(error)) => return Err(error.into()),
            None => break,
        }
    }
    finish(owned.into_values().collect()).await;
    // Nobody answers its changes any more.
    drop(changes);
    shared.ownership.leave().await;
    Ok(())
}

async fn finish(owned: Vec<Owned>) {
    for owned in &owned {
        owned.stop.cancel();
    }
    for owned in owned {
        // A task that panicked has logged it; its commands are uncommitted and come again.
        let _ = owned.task.await;
    }
}

async fn own<A: Aggregate>(shared: Arc<Shared<A>>, partition: i32, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let worked = match stop.run_until_cancelled(Partition::open(Arc::clone(&shared), partition)).await {
            Some(Ok(owner)) => owner.run(&stop).await,
            Some(Err(error)) => Err(error),
            None => return,
        };
        if let Err(error) = worked {
            let taken = error.is_taken();
            let error = format!("{:#}", anyhow::Error::from(error));
            if taken {
                tracing::warn!(journal = A::JOURNAL, partition, error, "the group gave the partition to another");
            } else {
                tracing::error!(
                    journal = A::JOURNAL,
                    partition,
                    error,
                    "the owner stopped; it starts again from what is committed"
                );
            }
            tokio::select! {
                () = tokio::time::sleep(RESTART) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}
