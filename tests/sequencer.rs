//! The sequencer alone over a real Kafka: commands in, deliveries out, and a takeover in the middle.

#[path = "support/kafka.rs"]
mod kafka;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use roaring::RoaringBitmap;
use tidings::codec::records::{
    ConversationCommand, ConversationEvent, CrowdNotification, Delivery, GatewayClaim, Notification, ReplyTo, Session,
};
use tidings::codec::{Codec, Record};
use tidings::dev::{Parts, PartsOptions};
use tidings::domain::conversation::{Command, CreateConversation, MAX_USERS_A_COMMAND, SendMessage, Users};
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
            limits: OwnerLimits { tail_bytes: usize::MAX, hot: 10_000, crowd: 256 },
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

async fn appended(producer: &Producer, topic: &str, partition: i32, key: &str, value: &impl Record) {
    let value = Codec::builtin().encode(value).expect("encodes");
    producer.append(topic, partition, key.as_bytes(), Some(&value)).expect("queued").await.expect("appended");
}

/// A conversation of 100,000, of whom some are connected to one gateway.
struct Crowd {
    producer: Producer,
    tenant: TenantId,
    creator: UserId,
    conversation: ConversationId,
    /// By slot, the creator first.
    members: Vec<UserId>,
}

impl Crowd {
    const MEMBERS: usize = 100_000;
    const ONLINE: usize = 6_000;

    async fn command(&self, command: Command) {
        let record = ConversationCommand::new(self.tenant, self.conversation, self.creator, command);
        let key = self.conversation.to_string();
        let partition = partition_of(key.as_bytes(), PARTITIONS);
        appended(&self.producer, topics::CONVERSATION_COMMANDS, partition, &key, &record).await;
    }

    /// Claims a partition of `deliveries` and has every 16th member connected there.
    async fn gather(client: &ClientConfig) -> (Self, Vec<u32>) {
        let (tenant, creator, client_id) = (TenantId::generate(), UserId::generate(), Uuid::now_v7());
        let conversation = ConversationId::group(creator, client_id);
        let members: Vec<_> =
            std::iter::once(creator).chain(std::iter::repeat_with(UserId::generate).take(Self::MEMBERS - 1)).collect();
        let crowd =
            Self { producer: Producer::new(client).expect("a producer"), tenant, creator, conversation, members };
        let incarnation = IncarnationId::generate();
        let claim = GatewayClaim { incarnation, partition: 0, generation: 1, claim_offset: -1, acked_offset: 0 };
        appended(&crowd.producer, topics::SESSIONS, 0, &incarnation.to_string(), &claim).await;
        let online: Vec<u32> = (1..).step_by(16).take(Self::ONLINE).collect();
        let sessions = online.iter().map(|slot| {
            let session = SessionId::generate();
            let user = crowd.members[*slot as usize];
            let record = Session { tenant, user, session, incarnation, device: None, started_at: Timestamp::now() };
            let value = Codec::builtin().encode(&record).expect("encodes");
            let key = session.to_string();
            crowd.producer.append(topics::SESSIONS, 0, key.as_bytes(), Some(&value)).expect("queued")
        });
        futures_util::future::try_join_all(sessions.collect::<Vec<_>>()).await.expect("appended");
        let (first, rest) = crowd.members[1..].split_at(MAX_USERS_A_COMMAND - 1);
        let create =
            CreateConversation { kind: ConversationKind::Group, members: first.to_vec(), name: None, client_id };
        crowd.command(Command::Create(create)).await;
        for users in rest.chunks(MAX_USERS_A_COMMAND) {
            crowd.command(Command::AddMembers(Users { users: users.to_vec() })).await;
        }
        (crowd, online)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_a_hundred_thousand_is_a_few_records() {
    const SENDS: usize = 10;
    let kafka = Kafka::start().await;
    let client = &kafka.client;
    let layout = topics::Layout { partitions: PARTITIONS, delivery_partitions: 1, replication: 1, min_insync: 1 };
    topics::ensure(client, layout).await.expect("topics");
    let (crowd, online) = Crowd::gather(client).await;
    let sequencer = sequencer(client).await;
    let mut began = None;
    for _ in 0..SENDS {
        let text = Some("sealed".into());
        crowd.command(Command::Send(SendMessage { text, ..SendMessage::new(Uuid::now_v7()) })).await;
    }
    let reader = Reader::new(client, topics::DELIVERIES).expect("a reader");
    let mut deliveries = reader.read(0, 0).await.expect("reads");
    let mut told: HashMap<i64, Vec<UserId>> = HashMap::new();
    let collecting = async {
        while told.values().map(Vec::len).sum::<usize>() < SENDS * online.len() {
            for fetched in deliveries.next(100).await.expect("reads") {
                let value = fetched.value.expect("a value");
                let Ok(delivery) = Codec::builtin().decode::<Delivery>(&value) else { continue };
                let record = delivery.record.as_ref().expect("nobody waits for an answer");
                let event: ConversationEvent = Codec::builtin().decode(record).expect("decodes");
                let Some(sent) = event.message_sent else { continue };
                began.get_or_insert_with(std::time::Instant::now);
                assert!(delivery.users().count() <= 4_096, "a gateway does other things between two");
                told.entry(sent.seq).or_default().extend(delivery.users());
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), collecting).await.expect("in time");
    let took = began.expect("they came").elapsed();
    println!("{SENDS} messages to {} of {} in {took:?} after the first", online.len(), crowd.members.len());
    let mut expected: Vec<_> = online.iter().map(|slot| crowd.members[*slot as usize]).collect();
    expected.sort_unstable();
    for (seq, mut users) in told {
        users.sort_unstable();
        assert_eq!(users, expected, "message {seq} went to each once");
    }
    // Whom it did not reach, one record tells of.
    let key = crowd.conversation.to_string();
    let reader = Reader::new(client, topics::NOTIFICATIONS).expect("a reader");
    let mut records = reader.read(partition_of(key.as_bytes(), PARTITIONS), 0).await.expect("reads");
    let mut notified = Vec::new();
    while notified.len() < SENDS {
        let next = tokio::time::timeout(Duration::from_secs(30), records.next(100));
        for fetched in next.await.expect("in time").expect("reads") {
            let value = fetched.value.expect("a value");
            notified.push(Codec::builtin().decode::<CrowdNotification>(&value).expect("nobody is told by name"));
        }
    }
    for (notification, seq) in notified.iter().zip(1..) {
        assert_eq!((notification.seq, notification.actor), (seq, crowd.creator));
        let reached = RoaringBitmap::deserialize_from(&*notification.reached).expect("a bitmap");
        assert_eq!(reached.iter().collect::<Vec<_>>(), online);
    }
    sequencer.stop.cancel();
    sequencer.task.await.expect("ends").expect("orderly");
}
