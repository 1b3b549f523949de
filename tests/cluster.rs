//! Gateways claim, die and are cleaned up after, on a broker in memory (librdkafka's own; without compaction).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use tidings::codec::Codec;
use tidings::codec::records::{ConversationEvent, Delivery, Notification, PresenceStatus, Session};
use tidings::domain::conversation::MessageSent;
use tidings::domain::policy::Sight;
use tidings::domain::{CommandId, ConversationId, EventId, IncarnationId, SessionId, TenantId, Timestamp, UserId};
use tidings::gateway::claim::{Cluster, Incarnation, janitor};
use tidings::gateway::ports::ReadError;
use tidings::gateway::presence::{PresenceSink, Presences, View, Watcher};
use tidings::log::{Producer, read_to_end, topics};
use tidings::sessions::SessionTable;
use tokio_util::sync::CancellationToken;

const PARTITIONS: i32 = 2;
const PATIENCE: Duration = Duration::from_secs(30);

struct Broker {
    _mock: MockCluster<'static, DefaultProducerContext>,
    client: ClientConfig,
}

fn broker(delivery_partitions: i32) -> Broker {
    let mock = MockCluster::new(1).expect("a broker in memory");
    for (topic, partitions) in [
        (topics::SESSIONS, 1),
        (topics::DELIVERIES, delivery_partitions),
        (topics::PRESENCE, PARTITIONS),
        (topics::NOTIFICATIONS, PARTITIONS),
    ] {
        mock.create_topic(topic, partitions, 1).expect("a topic");
    }
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", mock.bootstrap_servers());
    Broker { _mock: mock, client }
}

/// A process of its own: table, producer, times.
async fn process(broker: &Broker, delivery_partitions: i32, renewal: Duration, overdue: Duration) -> Cluster {
    let codec = Codec::builtin();
    let table = SessionTable::start_with(&broker.client, codec, overdue, CancellationToken::new()).await.expect("read");
    let producer = Producer::new(&broker.client).expect("a producer");
    let mut cluster = Cluster::new(broker.client.clone(), codec, producer, table, PARTITIONS, delivery_partitions);
    (cluster.renewal, cluster.overdue) = (renewal, overdue);
    cluster
}

fn session_of(user: UserId, incarnation: IncarnationId) -> Session {
    Session {
        tenant: TenantId::from_bytes([1; 16]),
        user,
        session: SessionId::generate(),
        incarnation,
        device: None,
        started_at: Timestamp::now(),
    }
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("in time: {what}"))
}

const FAST: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn gateways_hold_different_partitions_and_route_to_their_sessions() {
    let broker = broker(2);
    let (one, two) = (process(&broker, 2, FAST, LONG).await, process(&broker, 2, FAST, LONG).await);
    let (a, b) = within("claims", async { tokio::join!(Incarnation::begin(&one), Incarnation::begin(&two)) }).await;
    let (a, b) = (a.expect("claimed"), b.expect("claimed"));
    assert_ne!(a.gateway().partition, b.gateway().partition);

    let user = UserId::generate();
    let (first, second) = (session_of(user, a.gateway().incarnation), session_of(user, b.gateway().incarnation));
    let offset = a.register(&first).await.expect("registered");
    assert!(b.register(&second).await.expect("registered") > offset);
    // A third process, which only reads.
    let sequencer = process(&broker, 2, FAST, LONG).await;
    assert_eq!(sequencer.table.gateways_of(user).len(), 2);
    assert_eq!(sequencer.table.live_gateways().len(), 2);
    b.unregister(second.session);
    within("the tombstone", async {
        while sequencer.table.gateways_of(user).len() > 1 {
            sequencer.table.read_to_end_now().await.expect("read");
        }
    })
    .await;
    assert_eq!(sequencer.table.gateways_of(user).to_vec(), [a.gateway()]);
    // An orderly end leaves nothing.
    a.release().await.expect("released");
    b.release().await.expect("released");
    sequencer.table.read_to_end_now().await.expect("read");
    assert!(sequencer.table.live_gateways().is_empty());
    assert_eq!(sequencer.table.sessions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overdue_gateway_is_superseded_and_cleaned_up_after() {
    let broker = broker(1);
    // One that claims and is silent for longer than the other's patience.
    let silent = process(&broker, 1, LONG, LONG).await;
    let dead = Incarnation::begin(&silent).await.expect("claimed");
    let (alice, bob) = (UserId::generate(), UserId::generate());
    let registered = session_of(alice, dead.gateway().incarnation);
    dead.register(&registered).await.expect("registered");
    let event = sent_by(bob);
    deliver(&silent, &dead, &event, &[alice, bob]).await;

    let other = process(&broker, 1, FAST, FAST * 5).await;
    within("the sweep", async {
        while janitor::sweep(&other).await.expect("swept") == 0 {
            tokio::time::sleep(FAST).await;
        }
    })
    .await;
    within("the loss", dead.lost().cancelled()).await;
    assert!(dead.register(&session_of(alice, dead.gateway().incarnation)).await.is_err());
    assert!(dead.release().await.is_err(), "it is another's to clean up");

    other.table.read_to_end_now().await.expect("read");
    assert!(other.table.gateways_of(alice).is_empty());
    assert!(other.table.live_gateways().is_empty(), "the partition is free again");
    assert_eq!(other.table.sessions(), 0);
    let notified = notifications(&broker, &other).await;
    assert_eq!(notified.iter().map(|n| (n.user, n.event_id)).collect::<Vec<_>>(), [(alice, event.event_id)]);
    let presence = tidings::log::partition_of(alice.to_string().as_bytes(), PARTITIONS);
    let records = read_to_end(&broker.client, topics::PRESENCE, presence).await.expect("read");
    let keys: Vec<_> = records.iter().map(|r| (r.key.clone().unwrap_or_default(), r.value.is_some())).collect();
    assert!(keys.contains(&(format!("{alice}/{}", registered.session).into(), false)), "{keys:?}");
    assert!(keys.contains(&(format!("{alice}/last").into(), true)), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acknowledged_at_the_orderly_end_goes_to_notifications() {
    let broker = broker(1);
    let cluster = process(&broker, 1, FAST, LONG).await;
    let incarnation = Incarnation::begin(&cluster).await.expect("claimed");
    let (alice, bob) = (UserId::generate(), UserId::generate());
    let session = session_of(alice, incarnation.gateway().incarnation);
    incarnation.register(&session).await.expect("registered");
    let (acked, late) = (sent_by(bob), sent_by(bob));
    deliver(&cluster, &incarnation, &acked, &[alice]).await;
    incarnation.set_acked(incarnation.start_offset() + 1);
    deliver(&cluster, &incarnation, &late, &[alice]).await;
    incarnation.release().await.expect("released");
    let notified = notifications(&broker, &cluster).await;
    assert_eq!(notified.iter().map(|n| n.event_id).collect::<Vec<_>>(), [late.event_id]);
    cluster.table.read_to_end_now().await.expect("read");
    assert_eq!(cluster.table.sessions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cannot_renew_gives_up_by_itself() {
    let broker = broker(1);
    let cluster = process(&broker, 1, LONG, FAST * 3).await;
    let incarnation = Incarnation::begin(&cluster).await.expect("claimed");
    within("the loss", incarnation.lost().cancelled()).await;
}

/// What was told, and whether everybody hides.
#[derive(Default)]
struct Told(Mutex<Vec<(View, usize)>>, AtomicBool);

#[async_trait::async_trait]
impl PresenceSink for Told {
    fn presence(&self, view: &View, watchers: &[Watcher]) {
        self.0.lock().expect("no panic").push((*view, watchers.len()));
    }

    async fn sights(&self, asked: &[(UserId, UserId)]) -> Result<Vec<Sight>, ReadError> {
        let seen = !self.1.load(Ordering::SeqCst);
        Ok(vec![Sight { status: seen, last_seen: seen }; asked.len()])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_are_told_at_every_gateway() {
    let broker = broker(2);
    let (one, two) = (process(&broker, 2, FAST, LONG).await, process(&broker, 2, FAST, LONG).await);
    let here = Incarnation::begin(&one).await.expect("claimed");
    let told = Arc::new(Told::default());
    let start = |cluster: Cluster, sink: Arc<Told>| async move {
        let Cluster { client, codec, producer, table, partitions, .. } = cluster;
        let shutdown = CancellationToken::new();
        Presences::start(&client, codec, producer, table, partitions, sink, shutdown).await.expect("read")
    };
    let (publishing, watching) = (start(one.clone(), Arc::default()).await, start(two, Arc::clone(&told)).await);
    let (alice, bob) = (UserId::generate(), UserId::generate());
    let session = session_of(alice, here.gateway().incarnation);
    let watcher = Watcher { tenant: session.tenant, user: bob, session: SessionId::generate() };
    watching.watch(watcher, &[alice]).expect("not too many");
    let now = || async { watching.seen_by(watcher, &[alice]).await.expect("looked up")[0] };
    assert_eq!(now().await.status, PresenceStatus::Offline);

    let until = |status| {
        let (now, told) = (&now, &told);
        async move {
            while told.0.lock().expect("no panic").last().map(|(view, _)| view.status) != Some(status) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(now().await.status, status);
        }
    };
    publishing.connected(&session, PresenceStatus::Online);
    within("online", until(PresenceStatus::Online)).await;
    publishing.set(session.session, PresenceStatus::Away).await.expect("set");
    within("away", until(PresenceStatus::Away)).await;
    told.1.store(true, Ordering::SeqCst);
    publishing.regarded_anew(session.tenant, &[alice]).await.expect("published");
    within("hidden", until(PresenceStatus::Offline)).await;
    assert_eq!(now().await.last_seen, None);
    told.1.store(false, Ordering::SeqCst);
    publishing.regarded_anew(session.tenant, &[alice]).await.expect("published");
    within("shown", until(PresenceStatus::Away)).await;
    publishing.disconnected(session.session);
    within("offline", until(PresenceStatus::Offline)).await;
    assert!(now().await.last_seen.is_some());
    assert!(publishing.set(session.session, PresenceStatus::Online).await.is_err(), "it is over");
}

fn sent_by(actor: UserId) -> ConversationEvent {
    ConversationEvent {
        event_id: EventId::generate(),
        r#type: "message.sent".to_owned(),
        tenant: TenantId::from_bytes([1; 16]),
        conversation: ConversationId::generate(),
        position: 7,
        last_seq: 3,
        actor,
        occurred_at: Timestamp::now(),
        causation: CommandId::generate(),
        traceparent: None,
        epoch: 0,
        partition: 0,
        index: 1,
        message_sent: Some(MessageSent::new(3, uuid::Uuid::now_v7())),
        ..ConversationEvent::default()
    }
}

async fn deliver(cluster: &Cluster, to: &Incarnation, event: &ConversationEvent, users: &[UserId]) {
    let delivery = Delivery {
        incarnation: to.gateway().incarnation,
        journal: topics::CONVERSATION_JOURNAL.to_owned(),
        partition: 0,
        next_offset: 1,
        record: Some(cluster.codec.encode(event).expect("encodes")),
        recipients: users.iter().flat_map(|user| *user.as_bytes()).collect::<Vec<_>>().into(),
        reply: None,
    };
    let value = cluster.codec.encode(&delivery).expect("encodes");
    let appending = cluster.producer.append(topics::DELIVERIES, to.gateway().partition, b"", Some(&value));
    appending.expect("queued").await.expect("appended");
}

async fn notifications(broker: &Broker, cluster: &Cluster) -> Vec<Notification> {
    let mut all = Vec::new();
    for partition in 0..PARTITIONS {
        for record in read_to_end(&broker.client, topics::NOTIFICATIONS, partition).await.expect("read") {
            all.push(cluster.codec.decode(record.value.as_deref().unwrap_or_default()).expect("decodes"));
        }
    }
    all
}
