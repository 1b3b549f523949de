//! What Kafka says about a cluster, its topics and its groups.

use std::time::Duration;

use anyhow::Context;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(30);

/// The id of the cluster.
///
/// # Errors
/// If Kafka does not answer.
pub async fn cluster(client: &ClientConfig) -> anyhow::Result<String> {
    ask(client, |consumer| consumer.client().fetch_cluster_id(PATIENCE).context("Kafka does not tell its cluster's id"))
        .await
}

/// How long tombstones of the topics are kept at least: the shortest.
///
/// # Errors
/// If Kafka does not answer.
pub async fn tombstones_kept(client: &ClientConfig, topics: &[&str]) -> anyhow::Result<Duration> {
    let admin: AdminClient<DefaultClientContext> = client.create()?;
    let topics: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let described = admin.describe_configs(&topics, &AdminOptions::new().request_timeout(Some(PATIENCE))).await;
    let mut shortest = Duration::MAX;
    for resource in described.context("Kafka does not tell how its topics are configured")? {
        let resource =
            resource.map_err(|code| anyhow::anyhow!("Kafka does not tell how a topic is configured: {code}"))?;
        let setting = resource.get("delete.retention.ms").and_then(|entry| entry.value.as_deref());
        let kept: u64 = setting.and_then(|text| text.parse().ok()).context("a topic has no `delete.retention.ms`")?;
        shortest = shortest.min(Duration::from_millis(kept));
    }
    Ok(shortest)
}

/// The groups of ours that have members now.
///
/// # Errors
/// If Kafka does not answer.
pub async fn running(client: &ClientConfig) -> anyhow::Result<Vec<String>> {
    ask(client, |consumer| {
        let groups = consumer.client().fetch_group_list(None, PATIENCE)?;
        let ours = |name: &str| {
            ["sequencer-", "projector-", "publisher-", "indexer-"].iter().any(|role| name.starts_with(role))
        };
        let running = groups.groups().iter().filter(|group| ours(group.name()) && !group.members().is_empty());
        Ok(running.map(|group| group.name().to_owned()).collect())
    })
    .await
}

/// Whether the group has ever committed anything for `topic`.
///
/// # Errors
/// If Kafka does not answer.
pub async fn has_committed(
    client: &ClientConfig,
    group: &str,
    topic: &'static str,
    partitions: i32,
) -> anyhow::Result<bool> {
    let mut client = client.clone();
    client.set("group.id", group).set("enable.auto.commit", "false");
    ask(&client, move |consumer| {
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition(topic, partition);
        }
        let committed = consumer.committed_offsets(list, PATIENCE)?;
        Ok(committed.elements().iter().any(|element| matches!(element.offset(), Offset::Offset(_))))
    })
    .await
}

async fn ask<T: Send + 'static>(
    client: &ClientConfig,
    question: impl FnOnce(&BaseConsumer) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let client = client.clone();
    tokio::task::spawn_blocking(move || question(&client.create()?)).await?
}
