//! A task for each partition that the group gives to this process, for as long as it has it.

use std::collections::HashMap;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Change, Ownership};

type Owned = (CancellationToken, JoinHandle<()>);

/// Runs `work` for each partition of `topic` that `group` gives to this process, until `stop`. Its token tells when the partition is lost, and
/// the group waits for its end.
///
/// # Errors
/// If the group cannot be joined or cannot go on.
pub async fn own_each<F: Future<Output = ()> + Send + 'static>(
    client: &ClientConfig,
    group: &str,
    topic: &str,
    session_timeout_ms: u32,
    stop: &CancellationToken,
    work: impl Fn(i32, CancellationToken) -> F,
) -> Result<(), KafkaError> {
    let (ownership, mut changes) = Ownership::join(client, group, topic, session_timeout_ms)?;
    let mut owned: HashMap<i32, Owned> = HashMap::new();
    let result = loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = stop.cancelled() => break Ok(()),
        };
        match change {
            Some(Change::Gained(partitions)) => {
                for partition in partitions {
                    let lost = CancellationToken::new();
                    let task = tokio::spawn(work(partition, lost.clone()));
                    owned.insert(partition, (lost, task));
                }
            }
            Some(Change::Losing { partitions, done }) => {
                end(partitions.iter().filter_map(|partition| owned.remove(partition)).collect()).await;
                drop(done);
            }
            Some(Change::Failed(error)) => break Err(error),
            None => break Ok(()),
        }
    };
    end(owned.into_values().collect()).await;
    drop(changes);
    ownership.leave().await;
    result
}

async fn end(tasks: Vec<Owned>) {
    for (lost, _) in &tasks {
        lost.cancel();
    }
    for (_, task) in tasks {
        // A panic has been reported by the runtime.
        let _ = task.await;
    }
}
