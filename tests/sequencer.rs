//! The sequencer alone over a real Kafka: commands in, deliveries out, and a takeover in the middle.

#[path = "support/kafka.rs"]
mod kafka;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use tidings::codec::Codec;
use tidings::codec::records::{
    ConversationCommand, ConversationEvent, Delivery, GatewayClaim, Notification, ReplyTo, Session,
};
use tidings::dev::{Parts, PartsOptions};
use tidings::domain::conversation::{Command, CreateConversation, SendMessage};
use tidings::domain::policy::ConversationKind;
use tidings::domain::{ConversationId, IncarnationId, SessionId, TenantId, Timestamp, UserId};
use tidings::log::journal::Head;
use tidings::log::{Checkpoints, Ownership, Producer, Reader, partition_of, topics};
use tidings::sequencer::aggregate::Aggregate;
use tidings::sequencer::conversations::Conversations;
use tidings::sequencer::owner::OwnerLimits;
use tidings::sequencer::partition::{Loaded, Options, Shared, Surroundings};
use tidings::sequencer::routing::Router;
use tidings::sessions::SessionTable;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use kafka::Kafka;

const PARTITIONS: i32 = 2;

/// A view that has seen nothing: everything is in the owners' tails.
struct EmptyView;

#[async_trait]
impl<A: Aggregate> Surroundings<A> for EmptyView {
    async fn load(&self, _: i32, _: &[A::Id], _: &[(A::Id, A::Lookup)], _: Timestamp) -> anyhow::Result<Loaded<A>> {
        Ok(Loaded { head: Head::default(), states: HashMap::new(), found: HashMap::new() })
    }
    async fn view_head(&self, _: i32) -> anyhow::Result<Head> {
        Ok(Head::default())
    }
    async fn prepare(&self, _: bool, _: &mut tidings::sequencer::aggregate::Command<A>) -> anyhow::Result<()> {
        Ok(())
    }
}

struct Sequencer {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

async fn sequencer(client: &ClientConfig) -> Sequencer {
    let stop = CancellationToken::new();
    let codec = Codec::builtin();
    let sessions = SessionTable::start(client, codec, stop.clone()).await.expect("sessions");
    let producer = Producer::new(client).expect("a producer");
    let group = "sequencer-conversation-commands";
    let (ownership, changes) = Ownership::join(client, group, topics::CONVERSATION_COMMANDS, 6_000).expect("joins");
    let shared = Arc::new(Shared::<Conversations> {
        codec,
        producer: producer.clone(),
        router: Router { codec, producer, sessions, partitions: PARTITIONS },
        surroundings: Arc::new(EmptyView),
        ownership,
        checkpoints: Checkpoints::new(client, codec),
        commands: Reader::new(client, topics::CONVERSATION_COMMANDS).expect("a reader"),
        journal: Reader::new(client, topics::CONVERSATION_JOURNAL).expect("a reader"),
        signals: Some(Reader::new(client, topics::CONVERSATION_SIGNALS).expect("a reader")),
        options: Options {
            partitions: PARTITIONS,
            batch_commands: 500,
            load_timeout: Duration::from_secs(1),
            commit_interval: Duration::from_millis(100),
            limits: OwnerLimits { tail_bytes: usize::MAX, hot: 1_000, crowd: 256 },
            typing_members: 100,
        },
    });
    let task = tokio::spawn(tidings::sequencer::run(shared, changes, stop.clone()));
    Sequencer { stop, task }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_become_deliveries_also_across_a_takeover() {
    let data = tempfile::tempdir().expect("a directory");
    let parts = Parts::start(PartsOptions::new(data.path().join("parts"))).await.expect("parts");
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", parts.kafka());
    let layout = topics::Layout { partitions: PARTITIONS, delivery_partitions: 2, replication: 1, min_insync: 1 };
    topics::ensure(&client, layout).await.expect("topics");
    let codec = Codec::builtin();
    let producer = Producer::new(&client).expect("a producer");

    let (tenant, ada, bob) = (TenantId::generate(), UserId::generate(), UserId::generate());
    let incarnation = IncarnationId::generate();
    let claim = GatewayClaim { incarnation, partition: 1, generation: 1, claim_offset: -1, acked_offset: 0 };
    let value = codec.encode(&claim).expect("encodes");
    producer
        .append(topics::SESSIONS, 0, claim.incarnation.to_string().as_bytes(), Some(&value))
        .expect("queued")
        .await
        .expect("appended");
    for user in [ada, bob] {
        let session = SessionId::generate();
        let record = Session { tenant, user, session, incarnation, device: None, started_at: Timestamp::now() };
        let value = codec.encode(&record).expect("encodes");
        producer
            .append(topics::SESSIONS, 0, session.to_string().as_bytes(), Some(&value))
            .expect("queued")
            .await
            .expect("appended");
    }

    let first = sequencer(&client).await;
    let conversation = ConversationId::direct(ada, bob);
    let mut reference = 0;
    let mut command = async |command: Command| {
        reference += 1;
        let mut record = ConversationCommand::new(tenant, conversation, ada, command);
        record.reply_to = Some(ReplyTo { incarnation, partition: 1, reference });
        let key = conversation.to_string();
        let value = codec.encode(&record).expect("encodes");
        let partition = partition_of(key.as_bytes(), PARTITIONS);
        producer
            .append(topics::CONVERSATION_COMMANDS, partition, key.as_bytes(), Some(&value))
            .expect("queued")
            .await
            .expect("appended");
    };
    let create = CreateConversation {
        kind: ConversationKind::Direct,
        members: vec![bob],
        name: None,
        client_id: Uuid::now_v7(),
    };
    command(Command::Create(create)).await;
    let send = || Command::Send(SendMessage { text: Some("sealed".into()), ..SendMessage::new(Uuid::now_v7()) });
    for _ in 0..20 {
        command(send()).await;
    }
    let reader = Reader::new(&client, topics::DELIVERIES).expect("a reader");
    let mut deliveries = reader.read(1, 0).await.expect("reads");
    let mut seen = HashMap::new();
    let mut positions = Vec::new();
    let mut collect = async |until: i64| {
        while seen.len() < until as usize {
            let batch = tokio::time::timeout(Duration::from_secs(30), deliveries.next(100))
                .await
                .expect("in time")
                .expect("reads");
            for fetched in batch {
                let value = fetched.value.expect("a value");
                if codec.name_of(&value).expect("known") != "Delivery" {
                    continue;
                }
                let delivery: Delivery = codec.decode(&value).expect("decodes");
                assert_eq!(delivery.incarnation, incarnation);
                if let Some(reply) = &delivery.reply {
                    assert_eq!(reply.code, None, "{}", reply.message);
                    seen.insert(reply.reference, reply.position);
                }
                if let Some(record) = &delivery.record {
                    let event: ConversationEvent = codec.decode(record).expect("decodes");
                    assert_eq!(delivery.users().count(), 2);
                    positions.push(event.position);
                }
            }
        }
        (seen.clone(), positions.clone())
    };
    let (replies, _) = collect(21).await;
    assert_eq!((1..=21).map(|n| replies[&n]).collect::<Vec<_>>(), (1..=21).collect::<Vec<_>>());

    // A second one joins, the first leaves: nothing is lost, nothing is numbered twice.
    let second = sequencer(&client).await;
    for _ in 0..20 {
        command(send()).await;
    }
    first.stop.cancel();
    for _ in 0..20 {
        command(send()).await;
    }
    first.task.await.expect("ends").expect("orderly");
    let (replies, mut positions) = collect(61).await;
    assert_eq!((1..=61).map(|n| replies[&n]).collect::<Vec<_>>(), (1..=61).collect::<Vec<_>>());
    positions.dedup();
    positions.sort_unstable();
    positions.dedup();
    assert_eq!(positions, (1..=61).collect::<Vec<_>>());
    second.stop.cancel();
    second.task.await.expect("ends").expect("orderly");
    parts.stop().await;
}

/// With a queue that holds less than one message makes, so that routing has to wait for room again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_into_a_large_group_notifies_everybody_once() {
    const MEMBERS: usize = 900;
    const SENDS: usize = 10;
    let kafka = Kafka::start().await;
    let client = &kafka.client;
    let layout = topics::Layout { partitions: PARTITIONS, delivery_partitions: 1, replication: 1, min_insync: 1 };
    topics::ensure(client, layout).await.expect("topics");
    let producer = Producer::new(client).expect("a producer");
    let (tenant, ada) = (TenantId::generate(), UserId::generate());
    let client_id = Uuid::now_v7();
    let conversation = ConversationId::group(ada, client_id);
    let create = CreateConversation {
        kind: ConversationKind::Group,
        members: (0..MEMBERS).map(|_| UserId::generate()).collect(),
        name: None,
        client_id,
    };
    let send = |_| {
        let text = Some("sealed".into());
        Command::Send(SendMessage { text, ..SendMessage::new(Uuid::now_v7()) })
    };
    for command in std::iter::once(Command::Create(create)).chain((0..SENDS).map(send)) {
        let record = ConversationCommand::new(tenant, conversation, ada, command);
        let (key, value) = (conversation.to_string(), Codec::builtin().encode(&record).expect("encodes"));
        let partition = partition_of(key.as_bytes(), PARTITIONS);
        let appending = producer.append(topics::CONVERSATION_COMMANDS, partition, key.as_bytes(), Some(&value));
        appending.expect("queued").await.expect("appended");
    }
    let mut narrow = client.clone();
    narrow.set("queue.buffering.max.messages", "500");
    let sequencer = sequencer(&narrow).await;
    let mut told = HashMap::new();
    let reader = Reader::new(client, topics::NOTIFICATIONS).expect("a reader");
    let mut partitions = Vec::new();
    for partition in 0..PARTITIONS {
        partitions.push(reader.read(partition, 0).await.expect("reads"));
    }
    let everybody = async {
        while told.values().sum::<usize>() < MEMBERS * SENDS {
            let reading = partitions.iter_mut().map(|records| Box::pin(records.next(1_000)));
            for fetched in futures_util::future::select_all(reading).await.0.expect("reads") {
                let value = fetched.value.expect("a value");
                let notification: Notification = Codec::builtin().decode(&value).expect("decodes");
                *told.entry((notification.user, notification.seq)).or_insert(0_usize) += 1;
            }
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), everybody).await.is_ok();
    assert!(in_time, "{} were notified", told.len());
    assert_eq!(told.len(), MEMBERS * SENDS, "nobody twice");
    sequencer.stop.cancel();
    sequencer.task.await.expect("ends").expect("orderly");
}
