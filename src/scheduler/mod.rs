//! Asks for what is due: that messages are removed whose time is over. The views say which; their owners decide.
//!
//! Of several schedulers one looks at a time, the one that holds a lock in Postgres. What is asked for twice happens once.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::join_all;
use rdkafka::config::ClientConfig;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::codec::Codec;
use crate::codec::records::ConversationCommand;
use crate::domain::conversation::{Command, OfMessage};
use crate::domain::{ConversationId, Timestamp};
use crate::log::{Producer, partition_of, topics};
use crate::store::{Due, Store};

/// What was asked for is asked for again after this long, if the views still have it.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// What a scheduler needs.
#[derive(Clone)]
pub struct Options {
    /// Where Kafka is.
    pub client: ClientConfig,
    /// Where the views are.
    pub store: Store,
    /// Of the installation.
    pub codec: &'static Codec,
    /// Of every topic of conversations.
    pub partitions: i32,
    /// Between two looks.
    pub interval: Duration,
    /// The most messages of one look.
    pub batch: usize,
}

/// Looks at what is due until `stop`.
///
/// # Errors
/// If the producer's configuration is refused.
pub async fn run(options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    let producer = Producer::new(&options.client).context("cannot make a producer")?;
    let mut scheduler = Scheduler { options, producer, asked: HashMap::new() };
    let mut ticks = interval(scheduler.options.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let looked = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            looked = scheduler.look() => looked,
        };
        match &looked {
            Err(error) if !failing => tracing::warn!(error = format!("{error:#}"), "what is due waits"),
            Ok(()) if failing => tracing::info!("what is due is asked for again"),
            _ => {}
        }
        failing = looked.is_err();
    }
}

struct Scheduler {
    options: Options,
    producer: Producer,
    /// And when.
    asked: HashMap<(ConversationId, i64), Instant>,
}

impl Scheduler {
    /// Asks for everything that is due now, a batch at a time.
    async fn look(&mut self) -> anyhow::Result<()> {
        self.asked.retain(|_, at| at.elapsed() < ASK_AGAIN);
        // Those that were asked for a moment ago may still be there, and must not hide others.
        let limit = self.options.batch + self.asked.len();
        let due = self.options.store.due_messages(Timestamp::now(), limit).await?;
        metrics::gauge!("tidings_scheduler_due_messages").set(due.len() as f64);
        let new: Vec<_> =
            due.into_iter().filter(|due| !self.asked.contains_key(&(due.conversation, due.seq))).collect();
        let asking = new.iter().map(|due| self.ask(due)).collect::<anyhow::Result<Vec<_>>>()?;
        for (due, asked) in new.iter().zip(join_all(asking).await) {
            asked.context("cannot append a command")?;
            self.asked.insert((due.conversation, due.seq), Instant::now());
        }
        metrics::counter!("tidings_scheduler_commands_total").increment(new.len() as u64);
        Ok(())
    }

    /// In the sender's name.
    fn ask(&self, due: &Due) -> anyhow::Result<crate::log::Appending> {
        let command = Command::Expire(OfMessage { seq: due.seq });
        let record = ConversationCommand::new(due.tenant, due.conversation, due.sender, command);
        let key = due.conversation.to_string();
        let partition = partition_of(key.as_bytes(), self.options.partitions);
        let value = self.options.codec.encode(&record)?;
        Ok(self.producer.append(topics::CONVERSATION_COMMANDS, partition, key.as_bytes(), Some(&value))?)
    }
}
