//! The table of topics: one place that knows their names, keys and how they are cleaned.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// What is asked of conversations. Key: conversation.
pub const CONVERSATION_COMMANDS: &str = "conversation-commands";
/// What the sequencer appends. Key: conversation. Internal: read it through [`super::journal`] only.
pub const CONVERSATION_JOURNAL: &str = "conversation-journal";
/// What happened in conversations. Key: conversation/position. Public.
pub const CONVERSATION_EVENTS: &str = "conversation-events";
/// Both pointers of each member. Key: conversation/user. Public.
pub const RECEIPTS: &str = "receipts";
/// What members keep for themselves. Key: conversation/user/kind, for hidden messages with /seq. Public.
pub const MEMBER_STATE: &str = "member-state";
/// Typing. Key: conversation.
pub const CONVERSATION_SIGNALS: &str = "conversation-signals";
/// What is asked of users. Key: user.
pub const USER_COMMANDS: &str = "user-commands";
/// What the sequencer appends. Key: user. Internal.
pub const USER_JOURNAL: &str = "user-journal";
/// What happened to users. Key: user/position. Public.
pub const USER_EVENTS: &str = "user-events";
/// Wrapped data keys. Key: user/version.
pub const USER_KEYS: &str = "user-keys";
/// How far the public streams are. Key: journal/partition.
pub const CHECKPOINTS: &str = "checkpoints";
/// Presence of sessions. Key: user/session.
pub const PRESENCE: &str = "presence";
/// Sessions and gateway claims. Key: session or incarnation. One partition: it is an order of claims.
pub const SESSIONS: &str = "sessions";
/// One partition a gateway.
pub const DELIVERIES: &str = "deliveries";
/// For users without a socket. Key: user.
pub const NOTIFICATIONS: &str = "notifications";
/// Commands that cannot be decoded. Key: topic/partition/offset.
pub const DEAD_LETTERS: &str = "dead-letters";

/// The public streams: what cannot be made again, and the journal that publishers copy each from. Backups hold all of them.
pub const PUBLIC: &[(&str, &str)] = &[
    (CONVERSATION_EVENTS, CONVERSATION_JOURNAL),
    (RECEIPTS, CONVERSATION_JOURNAL),
    (MEMBER_STATE, CONVERSATION_JOURNAL),
    (USER_EVENTS, USER_JOURNAL),
    (USER_KEYS, USER_JOURNAL),
];

/// What the public streams are copied from.
pub const JOURNALS: [&str; 2] = [CONVERSATION_JOURNAL, USER_JOURNAL];

/// How many partitions a topic has.
#[derive(Clone, Copy, Debug)]
enum Partitions {
    /// As many as conversations are spread over.
    Journal,
    /// As many as there can be gateways.
    Gateways,
    /// One.
    One,
}

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// (name, partitions, cleanup policy, retention in ms, whether the broker's clock stamps the records)
const TOPICS: &[(&str, Partitions, &str, i64, bool)] = &[
    (CONVERSATION_COMMANDS, Partitions::Journal, "delete", 7 * DAY, true),
    (CONVERSATION_JOURNAL, Partitions::Journal, "delete", -1, true),
    (CONVERSATION_EVENTS, Partitions::Journal, "compact", -1, false),
    (RECEIPTS, Partitions::Journal, "compact", -1, false),
    (MEMBER_STATE, Partitions::Journal, "compact", -1, false),
    (CONVERSATION_SIGNALS, Partitions::Journal, "delete", 5 * MINUTE, false),
    (USER_COMMANDS, Partitions::Journal, "delete", 7 * DAY, true),
    (USER_JOURNAL, Partitions::Journal, "delete", -1, true),
    (USER_EVENTS, Partitions::Journal, "compact", -1, false),
    (USER_KEYS, Partitions::Journal, "compact", -1, false),
    (CHECKPOINTS, Partitions::One, "compact", -1, false),
    (PRESENCE, Partitions::Journal, "compact", -1, true),
    (SESSIONS, Partitions::One, "compact", -1, true),
    (DELIVERIES, Partitions::Gateways, "delete", 10 * MINUTE, false),
    (NOTIFICATIONS, Partitions::Journal, "delete", 7 * DAY, false),
    (DEAD_LETTERS, Partitions::One, "delete", 30 * DAY, true),
];

/// [`super::producer::MAX_RECORD_BYTES`] with what a batch adds.
const MAX_BATCH_BYTES: &str = "4194304";

/// What all topics of an installation share.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Partitions of every topic of conversations and users.
    pub partitions: i32,
    /// Partitions of `deliveries`: the most gateways at a time.
    pub delivery_partitions: i32,
    /// Copies of each partition.
    pub replication: i32,
    /// Copies that must have a record before it is acknowledged.
    pub min_insync: i32,
}

/// Why the topics could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// The broker cannot be reached or refused the request.
    #[error("cannot create topics at the Kafka brokers; check `kafka.brokers` and the permissions of its user")]
    Request(#[source] rdkafka::error::KafkaError),
    /// The broker refused one topic.
    #[error("Kafka refused to create topic `{topic}`: {code}")]
    Refused {
        /// Which.
        topic: String,
        /// Why.
        code: RDKafkaErrorCode,
    },
    /// The topic is not there.
    #[error("topic `{topic}` is not there; `tidings admin setup` makes what is missing")]
    Missing {
        /// Which.
        topic: String,
    },
    /// The topic is there with another number of partitions; conversations would move.
    #[error(
        "topic `{topic}` has {found} partitions where the configuration says {expected}; partition counts never change in place"
    )]
    Partitions {
        /// Which.
        topic: String,
        /// By configuration.
        expected: i32,
        /// In Kafka.
        found: i32,
    },
}

fn count(partitions: Partitions, layout: Layout) -> i32 {
    match partitions {
        Partitions::Journal => layout.partitions,
        Partitions::Gateways => layout.delivery_partitions,
        Partitions::One => 1,
    }
}

/// Makes the topics that are missing and checks those that are there. May be called again.
///
/// # Errors
/// See [`TopicsError`].
pub async fn ensure(client: &ClientConfig, layout: Layout) -> Result<(), TopicsError> {
    let admin: AdminClient<DefaultClientContext> = client.create().map_err(TopicsError::Request)?;
    let retentions: Vec<String> = TOPICS.iter().map(|topic| topic.3.to_string()).collect();
    let min_insync = layout.min_insync.to_string();
    let new: Vec<_> = TOPICS
        .iter()
        .zip(&retentions)
        .map(|((name, partitions, cleanup, _, broker_time), retention)| {
            let stamp = if *broker_time { "LogAppendTime" } else { "CreateTime" };
            NewTopic::new(name, count(*partitions, layout), TopicReplication::Fixed(layout.replication))
                .set("cleanup.policy", cleanup)
                .set("retention.ms", retention)
                .set("message.timestamp.type", stamp)
                .set("min.insync.replicas", &min_insync)
                .set("max.message.bytes", MAX_BATCH_BYTES)
                .set("unclean.leader.election.enable", "false")
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    for result in admin.create_topics(&new, &options).await.map_err(TopicsError::Request)? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(TopicsError::Refused { topic, code }),
        }
    }
    tokio::task::spawn_blocking(move || check(&admin, layout))
        .await
        .map_err(|_| TopicsError::Request(KafkaError::Canceled))?
}

/// How long topics just made may be without leaders.
const ELECTION: Duration = Duration::from_secs(30);

/// Waits until every partition has a leader, and compares their numbers with the layout.
fn check(admin: &AdminClient<DefaultClientContext>, layout: Layout) -> Result<(), TopicsError> {
    let deadline = Instant::now() + ELECTION;
    loop {
        let metadata = admin.inner().fetch_metadata(None, Duration::from_secs(30)).map_err(TopicsError::Request)?;
        let mut led = 0;
        for (name, partitions, ..) in TOPICS {
            let expected = count(*partitions, layout);
            let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == *name) else { continue };
            let found = topic.partitions().len() as i32;
            if found != expected && found != 0 {
                return Err(TopicsError::Partitions { topic: (*name).to_owned(), expected, found });
            }
            led += usize::from(
                found == expected && topic.partitions().iter().all(|p| p.leader() >= 0 && p.error().is_none()),
            );
        }
        if led == TOPICS.len() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(TopicsError::Request(KafkaError::Global(RDKafkaErrorCode::LeaderNotAvailable)));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The names of all.
pub fn names() -> impl Iterator<Item = &'static str> {
    TOPICS.iter().map(|topic| topic.0)
}

/// How many partitions `topic` has.
///
/// # Errors
/// If the brokers do not answer, or the topic is not there.
pub async fn partitions(client: &ClientConfig, topic: &'static str) -> Result<i32, TopicsError> {
    let client = client.clone();
    let ask = move || {
        let consumer: BaseConsumer = client.create().map_err(TopicsError::Request)?;
        let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(30)).map_err(TopicsError::Request)?;
        match metadata.topics() {
            [found] if !found.partitions().is_empty() => Ok(found.partitions().len() as i32),
            _ => Err(TopicsError::Missing { topic: topic.to_owned() }),
        }
    };
    tokio::task::spawn_blocking(ask).await.map_err(|_| TopicsError::Request(KafkaError::Canceled))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever adds a topic that is kept for ever decides here whether it is in the backup.
    #[test]
    fn what_is_kept_for_ever_is_backed_up_or_can_be_made_again() {
        // Of these the backup has its own: how far the streams are, when users were last seen.
        let apart = [CHECKPOINTS, PRESENCE, SESSIONS];
        for (name, _, cleanup, ..) in TOPICS {
            let public = PUBLIC.iter().any(|(topic, _)| topic == name);
            assert_eq!(*cleanup == "compact", public || apart.contains(name), "{name}");
        }
    }
}
