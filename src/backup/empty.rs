//! Whether there is nothing yet where a backup is to be restored.

use anyhow::{Context, ensure};
use rdkafka::config::ClientConfig;
use sqlx::AssertSqlSafe;

use super::kafka;
use crate::log::{Settled, topics};
use crate::projector::catalog;
use crate::store::Store;

/// Fails with what there is.
///
/// # Errors
/// If there is anything, something runs, or Kafka or Postgres do not answer.
pub async fn ensure_empty(client: &ClientConfig, store: &Store) -> anyhow::Result<()> {
    let running = kafka::running(client).await?;
    ensure!(
        running.is_empty(),
        "roles are running ({}): stop all, and start them after the restore",
        running.join(", ")
    );
    let mut found = in_kafka(client).await?;
    found.extend(in_postgres(store).await.context("cannot look into Postgres")?);
    ensure!(
        found.is_empty(),
        "a backup is restored into an empty installation only, and here are {}; take a new Kafka and a new database, or empty these",
        found.join(", ")
    );
    Ok(())
}

async fn in_kafka(client: &ClientConfig) -> anyhow::Result<Vec<String>> {
    let (settled, mut found) = (Settled::new(client)?, Vec::new());
    for topic in topics::names() {
        let mut records = 0;
        for partition in 0..topics::partitions(client, topic).await? {
            let ends = settled.written(topic, partition).await?;
            records += ends.high - ends.low;
        }
        if records > 0 {
            found.push(format!("{records} records in the topic `{topic}`"));
        }
    }
    // A sequencer that once ran here would go on in the old epoch.
    for topic in [topics::CONVERSATION_COMMANDS, topics::USER_COMMANDS] {
        let (group, partitions) = (format!("sequencer-{topic}"), topics::partitions(client, topic).await?);
        if kafka::has_committed(client, &group, topic, partitions).await? {
            found.push(format!("offsets of the group `{group}`"));
        }
    }
    Ok(found)
}

async fn in_postgres(store: &Store) -> anyhow::Result<Vec<String>> {
    let views: Vec<_> = catalog::all().iter().map(|projection| projection.name.clone()).collect();
    let tables = "SELECT schemaname || '.' || tablename FROM pg_tables
         WHERE schemaname = ANY($1) OR schemaname = 'public' AND tablename IN ('tenants', 'api_keys', 'checkpoints', 'search_checkpoints')
         ORDER BY 1";
    let tables: Vec<String> = sqlx::query_scalar(tables).bind(views).fetch_all(store.pool()).await?;
    let mut found = Vec::new();
    for table in tables {
        let any = format!("SELECT EXISTS (SELECT FROM {table})");
        if sqlx::query_scalar(AssertSqlSafe(any)).fetch_one(store.pool()).await? {
            found.push(format!("rows in the table `{table}`"));
        }
    }
    Ok(found)
}
