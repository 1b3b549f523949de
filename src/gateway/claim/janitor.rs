//! Every gateway looks after the others: one that is overdue is superseded, cleaned up after, and its partition released.

use std::time::Duration;

use rand::Rng;
use tokio_util::sync::CancellationToken;

use super::{ClaimError, Cluster, Incarnation, takeover};
use crate::log::{ends, topics};

/// Looks for overdue gateways until `shutdown`.
pub async fn run(cluster: Cluster, shutdown: CancellationToken) {
    loop {
        // By chance, so that not every gateway claims the same dead one's partition.
        let pause = cluster.renewal.mul_f64(rand::rng().random_range(0.5..1.5));
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        match sweep(&cluster).await {
            Ok(_) | Err(ClaimError::Beaten(_)) => {}
            Err(error) => tracing::warn!(%error, "cannot clean up after dead gateways yet"),
        }
    }
}

/// Cleans up after all that are overdue now. How many.
///
/// # Errors
/// If Kafka is away, or another gateway does it.
pub async fn sweep(cluster: &Cluster) -> Result<usize, ClaimError> {
    if overdue(cluster).is_empty() && cluster.table.orphans().is_empty() {
        return Ok(0);
    }
    // After a pause of our own everybody looks overdue until what they wrote meanwhile is read.
    cluster.table.read_to_end_now().await?;
    takeover::clean_orphans(cluster).await?;
    let partitions = overdue(cluster);
    for partition in &partitions {
        supersede(cluster, *partition).await?;
    }
    Ok(partitions.len())
}

fn overdue(cluster: &Cluster) -> Vec<i32> {
    let is_overdue = |partition: &i32| cluster.table.holder(*partition).is_some_and(|(_, overdue)| overdue);
    (0..cluster.delivery_partitions).filter(is_overdue).collect()
}

async fn supersede(cluster: &Cluster, partition: i32) -> Result<(), ClaimError> {
    // In this order: see `pick::partition`. It may have been some time since it was looked.
    let generation = cluster.table.generation(partition) + 1;
    if !overdue(cluster).contains(&partition) {
        return Ok(());
    }
    let claimed = Incarnation::claim(cluster, partition, generation).await?;
    let dead = cluster.table.superseded(partition);
    for dead in &dead {
        takeover::clean(cluster, dead, claimed.start_offset()).await?;
    }
    // Sequencers that had not read of the claim yet have sent on to the dead.
    tokio::time::sleep(linger(cluster)).await;
    let end = ends(&cluster.client, topics::DELIVERIES, partition).await?.high;
    let dead: Vec<_> = dead.iter().map(|dead| dead.claim.incarnation).collect();
    takeover::notify_between(cluster, partition, claimed.start_offset(), end, &dead).await?;
    claimed.release().await
}

fn linger(cluster: &Cluster) -> Duration {
    cluster.renewal / 2
}
