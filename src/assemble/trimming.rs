//! Who still needs a part of a journal, beside the publisher itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::Installation;
use crate::log::topics;
use crate::publisher::trim::Needs;
use crate::sequencer::partition::committed_head;
use crate::store::{LIVE, Store};

struct Projector(Store);

#[async_trait]
impl Needs for Projector {
    fn name(&self) -> &'static str {
        "projector"
    }

    async fn first_needed(&self, journal: &str, partition: i32) -> anyhow::Result<Option<i64>> {
        let head = self.0.head(LIVE, journal, partition).await?;
        Ok((head.index > 0).then_some(head.offset))
    }
}

struct Sequencer(ClientConfig);

#[async_trait]
impl Needs for Sequencer {
    fn name(&self) -> &'static str {
        "sequencer"
    }

    async fn first_needed(&self, journal: &str, partition: i32) -> anyhow::Result<Option<i64>> {
        let commands =
            if journal == topics::CONVERSATION_JOURNAL { topics::CONVERSATION_COMMANDS } else { topics::USER_COMMANDS };
        let mut client = self.0.clone();
        client.set("group.id", format!("sequencer-{commands}")).set("enable.auto.commit", "false");
        let committed = move || -> anyhow::Result<Option<String>> {
            let consumer: BaseConsumer = client.create()?;
            let mut list = TopicPartitionList::new();
            list.add_partition(commands, partition);
            let committed = consumer.committed_offsets(list, Duration::from_secs(10))?;
            let element = committed.find_partition(commands, partition);
            Ok(element.filter(|e| matches!(e.offset(), Offset::Offset(_))).map(|e| e.metadata().to_owned()))
        };
        let metadata = tokio::task::spawn_blocking(committed).await??;
        Ok(metadata.as_deref().and_then(committed_head).map(|head| head.offset))
    }
}

/// All of them.
pub fn needs(installation: &Installation) -> Vec<Arc<dyn Needs>> {
    vec![Arc::new(Projector(installation.store.clone())), Arc::new(Sequencer(installation.client.clone()))]
}
