//! The projector over a real Kafka and a real Postgres: rebuilds beside live views, and what stops it and what does not.

#[path = "support/history.rs"]
mod history;
#[path = "support/views.rs"]
mod views;

use std::sync::Arc;
use std::time::Duration;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rdkafka::config::ClientConfig;
use sqlx::Connection;
use tidings::codec::Codec;
use tidings::codec::records::JournalRecord;
use tidings::dev::{Parts, PartsOptions};
use tidings::domain::{CommandId, ConversationId, EventId, TenantId, Timestamp, UserId};
use tidings::log::{Checkpoints, Producer, partition_of, topics};
use tidings::projector::item::Item;
use tidings::projector::{self, Stopped, apply, catalog, rebuild};
use tidings::publisher;
use tidings::store::{LIVE, Store};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use history::{History, PARTITIONS, steps};

const PATIENCE: Duration = Duration::from_secs(60);
const JOURNAL: &str = topics::CONVERSATION_JOURNAL;

struct World {
    parts: Parts,
    _data: tempfile::TempDir,
    client: ClientConfig,
    store: Store,
    producer: Producer,
}

impl World {
    async fn start() -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let mut options = PartsOptions::new(data.path().join("parts"));
        options.fsync = false;
        let parts = Parts::start(options).await.expect("parts");
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", parts.kafka()).set("log_level", "0").set("fetch.wait.max.ms", "20");
        let layout = topics::Layout { partitions: PARTITIONS, delivery_partitions: 1, replication: 1, min_insync: 1 };
        topics::ensure(&client, layout).await.expect("topics");
        // Fewer connections than partitions of all sources: nobody may keep one.
        let store = Store::connect(parts.postgres_url().parse().expect("an address"), 5).await.expect("connects");
        store.install().await.expect("installs");
        let producer = Producer::new(&client).expect("configured");
        Self { parts, _data: data, client, store, producer }
    }

    fn projector(&self) -> Running {
        let stopped = Arc::new(Stopped::default());
        let options = projector::Options {
            client: self.client.clone(),
            codec: Codec::builtin(),
            store: self.store.clone(),
            batch_records: 50,
            interval: Duration::from_millis(2),
            session_timeout_ms: 6_000,
            stopped: Arc::clone(&stopped),
        };
        let shutdown = CancellationToken::new();
        Running { task: tokio::spawn(projector::run(options, shutdown.clone())), shutdown, stopped }
    }

    fn publisher(&self) -> Running {
        let shutdown = CancellationToken::new();
        let options = publisher::Options::new(self.client.clone(), Codec::builtin());
        Running { task: tokio::spawn(publisher::run(options, shutdown.clone())), shutdown, stopped: Arc::default() }
    }

    async fn somebody_waits_for_the_switch(&self) {
        let waiting = async {
            let query = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'view_switch'::REGCLASS AND NOT granted)";
            while !sqlx::query_scalar::<_, bool>(query).fetch_one(self.store.pool()).await.expect("asked") {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("somebody waits");
    }

    /// Waits until the public streams have so many accepted records of a partition.
    async fn published(&self, journal: &str, partition: i32, index: i64) {
        let checkpoints = Checkpoints::new(&self.client, Codec::builtin());
        let reached = async {
            while checkpoints.get(journal, partition).await.ok().flatten().is_none_or(|reached| reached.index < index) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, reached).await.expect("the public streams get there");
    }

    /// Waits until the live views have so many accepted records of a partition.
    async fn applied(&self, journal: &str, partition: i32, index: i64) {
        let reached = async {
            while self.store.head(LIVE, journal, partition).await.map_or(0, |head| head.index) < index {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, reached).await.expect("the views get there");
    }
}

struct Running {
    task: JoinHandle<anyhow::Result<()>>,
    shutdown: CancellationToken,
    stopped: Arc<Stopped>,
}

impl Running {
    async fn stop(self) {
        self.shutdown.cancel();
        timeout(PATIENCE, self.task).await.expect("ends").expect("does not panic").expect("does not fail");
    }
}

/// Appends accepted records, and a loser behind every tenth.
async fn append(producer: &Producer, journal: &str, partition: i32, records: &[JournalRecord]) {
    for record in records {
        let mut all = vec![record.clone()];
        if record.index % 10 == 0 {
            all.push(JournalRecord { prev: EventId::generate(), id: EventId::generate(), ..record.clone() });
        }
        for record in all {
            let value = Codec::builtin().encode(&record).expect("encodes");
            let appending = producer.append(journal, partition, record.aggregate.as_bytes(), Some(&value));
            appending.expect("queued").await.expect("appended");
        }
    }
}

/// At least so many records, shared out among the partitions; the same one at every run, but for the ids.
fn long_history(records: usize) -> History {
    let mut history = History::new();
    let mut runner = TestRunner::deterministic();
    while history.conversations.iter().any(|partition| partition.records.len() < records / PARTITIONS as usize) {
        history.go(&steps(200).new_tree(&mut runner).expect("a value").current());
    }
    history
}

/// Loads conversations again and again: what is loaded must be what was known at the checkpoint that comes with it.
async fn keep_loading(store: Store, history: Arc<History>, stop: CancellationToken) -> usize {
    let mut loads = 0;
    while !stop.is_cancelled() {
        for partition in 0..PARTITIONS {
            let ids: Vec<_> = history.ids();
            let ids: Vec<_> =
                ids.into_iter().filter(|id| partition_of(id.to_string().as_bytes(), PARTITIONS) == partition).collect();
            let loaded = store.load_conversations(partition, &ids, &[], Timestamp(0)).await.expect("loads");
            for id in ids {
                let known = history.state_at(id, loaded.head.index).map(history::without_messages);
                assert_eq!(loaded.conversations.get(&id), known.as_ref(), "{id} at index {}", loaded.head.index);
            }
            loads += 1;
        }
    }
    loads
}

/// Reads as gateways do; nothing may fail, and the counters must agree.
async fn keep_reading(store: Store, history: Arc<History>, stop: CancellationToken) -> usize {
    let mut reads = 0;
    while !stop.is_cancelled() {
        for user in history.user_ids() {
            let asked = [(*user, Some(vec![0; PARTITIONS as usize])), (*user, None)];
            let changes = store.changes(&asked).await.expect("changes");
            let present = changes.rows[0].iter().filter(|row| !row.left).count();
            assert_eq!(present, changes.rows[1].len());
            for row in &changes.rows[0] {
                assert!(row.last_message.as_ref().is_none_or(|message| message.sent.seq == row.last_seq), "or removed");
                store.membership(history.tenant, row.conversation, *user).await.expect("membership").expect("is there");
                let events = store.events(row.conversation, row.user, 0, 1_000).await.expect("events");
                assert!(events.windows(2).all(|pair| pair[0].position < pair[1].position));
                assert!(events.iter().all(|event| event.message.is_none() || event.event.is_none()), "or removed");
                reads += 1;
            }
        }
    }
    reads
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_view_takes_the_place_of_the_live_one_under_load() {
    let world = World::start().await;
    let history = Arc::new(long_history(1_600));
    let (projector, publisher) = (world.projector(), world.publisher());
    for (partition, profiles) in (0..).zip(&history.profiles) {
        append(&world.producer, topics::USER_JOURNAL, partition, &profiles.records).await;
    }
    let mut writers = JoinSet::new();
    for partition in 0..PARTITIONS {
        let records = &history.conversations[partition as usize].records;
        append(&world.producer, JOURNAL, partition, &records[..records.len() / 3]).await;
        let (producer, history) = (world.producer.clone(), Arc::clone(&history));
        writers.spawn(async move {
            let records = &history.conversations[partition as usize].records;
            for record in &records[records.len() / 3..] {
                append(&producer, JOURNAL, partition, std::slice::from_ref(record)).await;
                sleep(Duration::from_millis(5)).await;
            }
        });
    }
    let done = CancellationToken::new();
    let loading = tokio::spawn(keep_loading(world.store.clone(), Arc::clone(&history), done.clone()));
    let reading = tokio::spawn(keep_reading(world.store.clone(), Arc::clone(&history), done.clone()));

    let options = rebuild::Options {
        client: world.client.clone(),
        codec: Codec::builtin(),
        store: world.store.clone(),
        patience: PATIENCE,
    };
    // Else a rebuild would find all of it in the journal.
    for (partition, (conversations, profiles)) in (0..).zip(history.conversations.iter().zip(&history.profiles)) {
        world.published(JOURNAL, partition, conversations.records.len() as i64 / 3).await;
        world.published(topics::USER_JOURNAL, partition, profiles.records.len() as i64).await;
    }
    let mut rebuilds = 0;
    while !writers.is_empty() || rebuilds == 0 {
        for projection in catalog::all() {
            let mut last = (0, 0);
            let progress = |done, total| last = (done, total);
            let rebuilt = timeout(PATIENCE, rebuild::rebuild(&options, &projection.name, progress)).await;
            let report = rebuilt.expect("in time").expect("is rebuilt");
            if projection.source != topics::PRESENCE {
                assert!(report.replayed > 0, "{} from {report:?}", projection.name);
            }
            assert_eq!(last.0, last.1, "the progress of {} ends", projection.name);
            rebuilds += 1;
        }
        while let Some(written) = writers.try_join_next() {
            written.expect("is written");
        }
    }
    assert!(rebuild::rebuild(&options, "nonsense", |_, _| {}).await.is_err());

    for (partition, (conversations, profiles)) in (0..).zip(history.conversations.iter().zip(&history.profiles)) {
        world.applied(JOURNAL, partition, conversations.records.len() as i64).await;
        world.applied(topics::USER_JOURNAL, partition, profiles.records.len() as i64).await;
    }
    done.cancel();
    assert!(loading.await.expect("every load agrees") > 10);
    assert!(reading.await.expect("every read agrees") > 10);
    projector.stop().await;
    publisher.stop().await;
    let live = views::dump(&world.store).await;
    assert_eq!(live, expected(&world.store, &history).await);
    world.parts.stop().await;
}

/// The tables as they are when everything is applied at once.
async fn expected(store: &Store, history: &History) -> views::Tables {
    views::empty(store).await;
    let sources = [(JOURNAL, &history.conversations), (topics::USER_JOURNAL, &history.profiles)];
    for (source, partitions) in sources {
        for partition in partitions {
            let public = partition.records.iter().flat_map(|record| &record.records);
            let item = |record: &tidings::codec::records::StreamRecord| {
                Item::public(Codec::builtin(), &record.stream, record.value.as_ref()).expect("decodes")
            };
            let items: Vec<_> = public.filter_map(item).collect();
            let mut connection = store.pool().acquire().await.expect("a connection");
            let mut transaction = connection.begin().await.expect("begins");
            apply::apply(&mut transaction, &catalog::of_source(source), &items).await.expect("applies");
            transaction.commit().await.expect("commits");
        }
    }
    views::dump(store).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_stops_its_partition_alone_and_postgres_away_stops_none() {
    let world = World::start().await;
    let history = long_history(200);
    let records = |partition: i32| &history.conversations[partition as usize].records;
    let projector = world.projector();
    append(&world.producer, JOURNAL, 1, &records(1)[..10]).await;
    world.producer.append(JOURNAL, 1, b"cnv_", Some(b"nonsense")).expect("queued").await.expect("appended");
    append(&world.producer, JOURNAL, 1, &records(1)[10..]).await;
    append(&world.producer, JOURNAL, 0, &records(0)[..10]).await;

    world.applied(JOURNAL, 0, 10).await;
    // Up to the record before it, although they were read together.
    world.applied(JOURNAL, 1, 10).await;
    let standing = async {
        while projector.stopped.count() == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, standing).await.expect("the process says so");

    world.parts.stop_postgres().await;
    append(&world.producer, JOURNAL, 0, &records(0)[10..]).await;
    world.parts.start_postgres().await.expect("starts again");
    world.applied(JOURNAL, 0, records(0).len() as i64).await;
    assert_eq!(world.store.head(LIVE, JOURNAL, 1).await.expect("a checkpoint").index, 10);
    assert_eq!(projector.stopped.count(), 1, "Postgres away is no reason to ask for help");
    projector.stop().await;
    world.parts.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_that_is_behind_another_changes_nothing() {
    let world = World::start().await;
    let head = |index| tidings::log::journal::Head { next_offset: index, index, ..Default::default() };
    let mut connection = world.store.pool().acquire().await.expect("a connection");
    assert!(apply::advance(&mut connection, JOURNAL, 0, 0, head(5)).await.expect("asked"));
    for from in [0, 3, 6] {
        assert!(!apply::advance(&mut connection, JOURNAL, 0, from, head(9)).await.expect("asked"), "from {from}");
    }
    assert!(!apply::advance(&mut connection, JOURNAL, 1, 4, head(9)).await.expect("asked"), "a lost checkpoint");
    assert!(apply::advance(&mut connection, JOURNAL, 0, 5, head(9)).await.expect("asked"));
    world.parts.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_snapshot_lives_across_a_switch() {
    let world = World::start().await;
    let (projector, history) = (world.projector(), long_history(100));
    for (partition, conversations) in (0..).zip(&history.conversations) {
        append(&world.producer, JOURNAL, partition, &conversations.records).await;
        world.applied(JOURNAL, partition, conversations.records.len() as i64).await;
    }
    projector.stop().await;

    // A snapshot waits for a switch, and is of what there is after it.
    let mut switch = world.store.pool().begin().await.expect("begins");
    let lock = "LOCK TABLE view_switch IN ACCESS EXCLUSIVE MODE";
    sqlx::query(lock).execute(&mut *switch).await.expect("locks");
    let store = world.store.clone();
    let ids = history.ids();
    let loading = tokio::spawn(async move { store.load_conversations(0, &ids, &[], Timestamp(0)).await });
    world.somebody_waits_for_the_switch().await;
    assert!(!loading.is_finished());
    sqlx::query("UPDATE checkpoints SET index = index + 7").execute(&mut *switch).await.expect("updates");
    switch.commit().await.expect("commits");
    let loaded = loading.await.expect("ends").expect("loads");
    assert_eq!(loaded.head.index, history.conversations[0].records.len() as i64 + 7);

    // A switch waits for the snapshots that are open, and nobody else is kept waiting for long.
    let mut snapshot = world.store.pool().begin().await.expect("begins");
    let lock = "LOCK TABLE view_switch IN ACCESS SHARE MODE";
    sqlx::query(lock).execute(&mut *snapshot).await.expect("locks");
    let options = rebuild::Options {
        client: world.client.clone(),
        codec: Codec::builtin(),
        store: world.store.clone(),
        patience: PATIENCE,
    };
    let rebuilding = tokio::spawn(async move { rebuild::rebuild(&options, "messages", |_, _| {}).await });
    let before = views::dump(&world.store).await;
    for _ in 0..3 {
        world.somebody_waits_for_the_switch().await;
        let ids = history.ids();
        let loads = world.store.load_conversations(0, &ids, &[], Timestamp(0));
        timeout(PATIENCE, loads).await.expect("the switch gives way").expect("loads");
    }
    assert!(!rebuilding.is_finished());
    snapshot.commit().await.expect("commits");
    timeout(PATIENCE, rebuilding).await.expect("in time").expect("ends").expect("is rebuilt");
    assert_eq!(views::dump(&world.store).await, before);
    world.parts.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_view_survives_restarts_and_rebuilds() {
    let world = World::start().await;
    let (tenant, key) = (TenantId::generate(), "a key");
    world.store.put_tenant(tenant, "a tenant").await.expect("is put");
    world.store.put_api_key(tenant, key, &["admin"]).await.expect("is put");
    let options = rebuild::Options {
        client: world.client.clone(),
        codec: Codec::builtin(),
        store: world.store.clone(),
        patience: PATIENCE,
    };
    // A process that starts when everything is there, and one that starts again.
    let other = Store::connect(world.parts.postgres_url().parse().expect("an address"), 2).await.expect("connects");
    other.install().await.expect("installs");
    world.store.install().await.expect("installs");
    for projection in catalog::all() {
        rebuild::rebuild(&options, &projection.name, |_, _| {}).await.expect("is rebuilt");
    }
    other.install().await.expect("installs");
    let hash: [u8; 32] =
        ring::digest::digest(&ring::digest::SHA256, key.as_bytes()).as_ref().try_into().expect("32 bytes");
    assert_eq!(other.api_key(hash).await.expect("asked"), Some((tenant, vec!["admin".to_owned()])));
    let views: Vec<_> = catalog::all().iter().map(|projection| projection.name.clone()).collect();
    let strangers = "SELECT count(*) FROM pg_tables
                     WHERE schemaname = ANY($1) AND tablename IN ('_sqlx_migrations', 'tenants', 'api_keys', 'checkpoints', 'view_switch')";
    let strangers: i64 = sqlx::query_scalar(strangers).bind(views).fetch_one(other.pool()).await.expect("counted");
    assert_eq!(strangers, 0, "only views are in the schemas of views");
    world.parts.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_ids_are_kept_as_long_as_a_command_can_name_them_and_reads_use_indexes() {
    let world = World::start().await;
    let id = |partition: i32, hours: i64| {
        let query = "INSERT INTO client_ids SELECT 'c', gen_random_uuid(), 'u', 1, 1, $2 * 3600000, $1";
        sqlx::query(query).bind(partition).bind(hours).execute(world.store.pool())
    };
    let mut connection = world.store.pool().acquire().await.expect("a connection");
    for partition in 0..PARTITIONS {
        assert!(apply::advance(&mut connection, JOURNAL, partition, 0, Default::default()).await.expect("asked"));
    }
    // The second partition has stood still for long: its commands are as old as its messages.
    for (partition, hours) in [(0, 100), (0, 76), (0, 74), (1, 10), (1, 1)] {
        id(partition, hours).await.expect("inserted");
    }
    assert_eq!(projector::prune(&world.store).await.expect("pruned"), 1);
    let many = "INSERT INTO client_ids SELECT 'c', gen_random_uuid(), 'u', 1, 1, 0, 0 FROM generate_series(1, 25000)";
    sqlx::raw_sql(many).execute(world.store.pool()).await.expect("inserted");
    assert_eq!(projector::prune(&world.store).await.expect("pruned"), 25_000, "in several goes");

    // A list of users is taken for a hundred: few among these.
    let fill = "INSERT INTO heads SELECT 'c' || n, 9, 9, n, 0, 0, n FROM generate_series(1, 100000) n;
        INSERT INTO pointers (conversation, user_id, read_seq, delivered_seq, epoch, partition, index)
        SELECT 'c' || n, 'u' || n % 20000, 1, 1, 0, 0, n FROM generate_series(1, 100000) n;
        INSERT INTO conversations (conversation, tenant, kind, name_causation, creator, created_at, members_count, next_slot, epoch, partition, index)
        SELECT 'c' || n, 't', 'group', 'x', 'u', 1, 1, 1, 0, 0, n FROM generate_series(1, 100000) n;
        INSERT INTO members SELECT 'c' || n, 'u' || n % 20000, 'member', 0, 1, 1, 0, NULL, NULL, 0, 0, n FROM generate_series(1, 100000) n;
        INSERT INTO messages (conversation, seq, position, sender, client_id, at, causation, epoch, partition, index)
        SELECT 'c' || n % 100000, n, n, 'u', gen_random_uuid(), 1, 'x', 0, 0, n
        FROM generate_series(1, 60000) n;
        ANALYZE heads, pointers, conversations, members, messages";
    sqlx::raw_sql(fill).execute(world.store.pool()).await.expect("filled");
    let entry = include_str!("../src/store/queries/entry.sql");
    let page = include_str!("../src/store/queries/page.sql");
    let changes = include_str!("../src/store/queries/changes.sql");
    let asked = r#"'[{"user": "u7", "cursor": [15000]}, {"user": "u8", "cursor": null}]'"#;
    let filled = |query: &str, values: &[&str]| {
        let numbered = values.iter().zip(1..);
        numbered.fold(query.to_owned(), |query, (value, n)| query.replace(&format!("${n}"), value))
    };
    let first = filled(page, &["'u7'", "NULL", "NULL", "NULL", "NULL", "0", "50"]);
    let next = filled(page, &["'u7'", "FALSE", "5000", "'c5007'", "FALSE", "0", "50"]);
    let by_id = filled(include_str!("../src/store/queries/page_by_id.sql"), &["'u7'", "'c5'", "TRUE", "0", "50"]);
    for query in [first, next, by_id, filled(changes, &[asked])] {
        let plan = format!("EXPLAIN {query}{entry}");
        let plan: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(plan)).fetch_all(world.store.pool()).await.expect("a plan");
        assert!(!plan.iter().any(|line| line.contains("Seq Scan")), "{}", plan.join("\n"));
    }
    world.parts.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_too_many_changes_the_newest_are_told_and_others_are_not_touched_by_it() {
    let world = World::start().await;
    let (many, few, tenant) = (UserId::generate(), UserId::generate(), TenantId::generate());
    let fill = async |user: UserId, from: i32, to: i32| {
        let names: Vec<_> = (from..=to).map(|_| ConversationId::generate().to_string()).collect();
        let causation = CommandId::generate();
        let each = "SELECT name, n + $4 - 1 AS n FROM unnest($1::TEXT[]) WITH ORDINALITY AS each (name, n), (VALUES ($2::TEXT, $3::TEXT, $5::TEXT)) v (u, t, c)";
        for insert in [
            "INSERT INTO heads SELECT name, 9, 0, n, 0, 0, n FROM",
            "INSERT INTO pointers (conversation, user_id, read_seq, delivered_seq, epoch, partition, index) SELECT name, $2, 0, 0, 0, 0, n FROM",
            "INSERT INTO conversations (conversation, tenant, kind, name_causation, creator, created_at, members_count, next_slot, epoch, partition, index)
             SELECT name, $3, 'group', $5, $2, 1, 1, 1, 0, 0, n FROM",
            "INSERT INTO members SELECT name, $2, 'member', 0, 1, 1, 0, NULL, NULL, 0, 0, n FROM",
        ] {
            let insert = format!("{insert} ({each}) each");
            let query = sqlx::query(sqlx::AssertSqlSafe(insert)).bind(&names);
            let query =
                query.bind(user.to_string()).bind(tenant.to_string()).bind(i64::from(from)).bind(causation.to_string());
            query.execute(world.store.pool()).await.expect("inserted");
        }
    };
    fill(many, 1, 1_000).await;
    fill(few, 1, 3).await;
    let counts = async |asked: &[(UserId, Option<Vec<i64>>)]| {
        let changes = world.store.changes(asked).await.expect("changes");
        let newest = changes.rows.iter().map(|rows| rows.first().map_or(0, |row| row.last_at.0));
        let counts = changes.rows.iter().map(Vec::len).zip(changes.resets).zip(newest);
        counts.map(|((rows, reset), newest)| (rows, reset, newest)).collect::<Vec<_>>()
    };
    let zeros = Some(vec![0; PARTITIONS as usize]);
    let asked = [(many, zeros.clone()), (few, zeros.clone()), (many, None)];
    assert_eq!(counts(&asked).await, [(1_000, false, 1_000), (3, false, 3), (100, false, 1_000)]);
    fill(many, 1_001, 1_001).await;
    assert_eq!(counts(&asked).await, [(100, true, 1_001), (3, false, 3), (100, false, 1_001)]);
    let later = Some(vec![1; PARTITIONS as usize]);
    assert_eq!(counts(&[(few, zeros), (many, later)]).await, [(3, false, 3), (1_000, false, 1_001)]);
    world.parts.stop().await;
}
