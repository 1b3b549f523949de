//! The laws of the index, over a real Postgres: however events come, twice, cut anywhere, or from the compacted public stream, the tables
//! are the same, and hold what is said and no more.

#[path = "support/history.rs"]
mod history;

use std::collections::{BTreeSet, HashMap, HashSet};

use async_trait::async_trait;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tidings::codec::Codec;
use tidings::codec::records::{ConversationEvent, StreamRecord};
use tidings::crypto::{LocalMasterKeys, MasterKeys, TermKey, generate_line};
use tidings::dev::{Parts, PartsOptions};
use tidings::domain::{ConversationId, Timestamp, UserId};
use tidings::indexer::batch::Cutter;
use tidings::indexer::tables;
use tidings::indexer::texts::{Opened, Texts};
use tidings::log::{Fetched, topics};
use tidings::search::Term;
use tidings::store::{Store, WantedTerms};
use tokio::runtime::Handle;

use history::{History, Step, steps};

/// Every text has a word of its own beside those that others have, too.
#[derive(Default)]
struct Said {
    gone: HashSet<UserId>,
}

#[async_trait]
impl Texts for Said {
    async fn open(&self, event: &ConversationEvent, author: UserId, sealed: &[u8]) -> anyhow::Result<Opened> {
        if self.gone.contains(&author) {
            return Ok(Opened::Gone);
        }
        Ok(Opened::Text(format!("said {} of {}", event.position, sealed.len())))
    }

    async fn is_gone(&self, user: UserId) -> anyhow::Result<bool> {
        Ok(self.gone.contains(&user))
    }
}

struct World {
    store: Store,
    key: TermKey,
}

impl World {
    /// Both tables, after `batches` and nothing else.
    async fn after(&self, texts: &Said, batches: &[&[Fetched]]) -> Vec<String> {
        self.empty().await;
        for batch in batches {
            self.apply(texts, batch).await;
        }
        self.dump().await
    }

    async fn apply(&self, texts: &Said, batch: &[Fetched]) {
        let cutter = Cutter { codec: Codec::builtin(), texts, key: &self.key };
        let changes = cutter.changes(batch).await.expect("decodes");
        let mut transaction = self.store.pool().begin().await.expect("begins");
        tables::apply(&mut transaction, 0, &changes).await.expect("applies");
        transaction.commit().await.expect("commits");
    }

    async fn empty(&self) {
        let empty = "TRUNCATE search_messages, search_terms, search_checkpoints";
        sqlx::raw_sql(empty).execute(self.store.pool()).await.expect("emptied");
    }

    async fn dump(&self) -> Vec<String> {
        let both = "SELECT 'message ' || m::TEXT FROM search_messages m UNION ALL SELECT 'term ' || t::TEXT FROM search_terms t ORDER BY 1";
        sqlx::query_scalar(both).fetch_all(self.store.pool()).await.expect("rows")
    }

    async fn places(&self) -> BTreeSet<(ConversationId, i64)> {
        let rows: Vec<(sqlx::types::Uuid, i64)> = sqlx::query_as("SELECT conversation, seq FROM search_messages")
            .fetch_all(self.store.pool())
            .await
            .expect("rows");
        rows.into_iter().map(|(id, seq)| (ConversationId::from_bytes(id.into_bytes()), seq)).collect()
    }
}

async fn start() -> (Parts, tempfile::TempDir, World) {
    let data = tempfile::tempdir().expect("a directory");
    let mut options = PartsOptions::new(data.path().join("parts"));
    options.fsync = false;
    let parts = Parts::start(options).await.expect("parts");
    let store = Store::connect(parts.postgres_url().parse().expect("an address"), 8).await.expect("connects");
    store.install().await.expect("installs");
    let master = LocalMasterKeys::parse(&generate_line("a").expect("random")).expect("parses");
    (parts, data, World { store, key: master.term_key() })
}

/// What stands in `conversation-events`.
fn stream(records: &[&StreamRecord]) -> Vec<Fetched> {
    let fetched = |(offset, record): (i64, &&StreamRecord)| Fetched {
        partition: 0,
        offset,
        timestamp: Timestamp(0),
        key: Some(record.key.clone().into()),
        value: record.value.clone(),
    };
    (0..).zip(records).map(fetched).collect()
}

fn cut<'a>(mut all: &'a [Fetched], sizes: &[usize]) -> Vec<&'a [Fetched]> {
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if all.is_empty() {
            break;
        }
        let (piece, rest) = all.split_at((*size).min(all.len()));
        pieces.push(piece);
        all = rest;
    }
    pieces
}

async fn check(world: &World, steps: &[Step], sizes: &[usize]) -> Result<(), TestCaseError> {
    let mut history = History::new();
    history.go(steps);
    let all_records = history.conversations.iter().flat_map(|partition| &partition.records);
    let public: Vec<_> =
        all_records.flat_map(|record| &record.records).filter(|r| r.stream == topics::CONVERSATION_EVENTS).collect();
    let newest: HashMap<_, _> = public.iter().map(|record| (&record.key, &record.value)).collect();
    let kept: Vec<_> = public.iter().filter(|record| newest[&record.key] == &record.value).copied().collect();
    let (all, kept, everybody) = (stream(&public), stream(&kept), Said::default());

    let one_by_one = world.after(&everybody, &cut(&all, &[1])).await;
    let states = history.ids().into_iter().filter_map(|id| Some((id, history.state_at(id, i64::MAX)?)));
    let there = states.flat_map(|(id, state)| state.known.messages.keys().map(move |seq| (id, *seq)));
    prop_assert_eq!(world.places().await, there.collect::<BTreeSet<_>>(), "what is there is what the sequencer knows");
    let pieces = cut(&all, sizes);
    prop_assert_eq!(&world.after(&everybody, &pieces).await, &one_by_one, "cut otherwise");
    let twice: Vec<_> = pieces.iter().flat_map(|piece| [*piece, *piece]).collect();
    prop_assert_eq!(&world.after(&everybody, &twice).await, &one_by_one, "twice each");
    prop_assert_eq!(&world.after(&everybody, &cut(&kept, &[100])).await, &one_by_one, "built anew from what is left");

    // Who loses its key at any time is not there, as if the key had never been.
    let eve = history.user_ids()[2];
    let without = Said { gone: [eve].into() };
    let anew = world.after(&without, &cut(&kept, &[100])).await;
    let (before, after) = pieces.split_at(pieces.len() / 2);
    world.after(&everybody, before).await;
    tables::remove_author(world.store.pool(), 0, eve).await.expect("removed");
    for piece in after {
        world.apply(&without, piece).await;
    }
    prop_assert_eq!(world.dump().await, anew, "gone in between");
    let authors = tables::authors(world.store.pool(), 0).await.expect("asked");
    prop_assert!(!authors.contains(&eve));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_is_the_same_however_events_come() {
    let (parts, _data, world) = start().await;
    let handle = Handle::current();
    let run = move || {
        let config = Config { cases: 24, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
        let strategy = (steps(60), vec(1_usize..20, 1..4));
        let law = |(steps, sizes): (Vec<Step>, Vec<usize>)| handle.block_on(check(&world, &steps, &sizes));
        TestRunner::new(config).run(&strategy, law).map_err(|error| error.to_string())
    };
    assert_eq!(tokio::task::spawn_blocking(run).await.expect("runs"), Ok(()));
    parts.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_moves_the_checkpoint_writes_and_two_may_clear_at_once() {
    let (parts, _data, world) = start().await;
    let pool = world.store.pool();
    assert_eq!(tables::checkpoint(pool, 0).await.expect("asked"), None);
    assert!(tables::clear(pool, 0, 3).await.expect("cleared"));
    assert!(!tables::clear(pool, 0, 3).await.expect("cleared"), "the other has begun");
    let at = |next_offset, complete| Some(tables::Checkpoint { next_offset, complete });
    assert_eq!(tables::checkpoint(pool, 0).await.expect("asked"), at(3, false));
    assert!(!world.store.is_indexed(&[0]).await.expect("asked"));
    let mut connection = pool.acquire().await.expect("a connection");
    assert!(tables::advance(&mut connection, 0, 3, 9, true).await.expect("asked"));
    assert!(!tables::advance(&mut connection, 0, 3, 9, true).await.expect("asked"), "a zombie");
    assert_eq!(tables::checkpoint(pool, 0).await.expect("asked"), at(9, true));
    assert!(world.store.is_indexed(&[0]).await.expect("asked"));
    assert!(!world.store.is_indexed(&[0, 1]).await.expect("asked"), "not all of them");
    tables::forget(pool, 0).await.expect("forgotten");
    assert_eq!(tables::checkpoint(pool, 0).await.expect("asked"), None, "and is built anew");
    assert!(!world.store.is_indexed(&[0]).await.expect("asked"));
    let unlogged =
        "SELECT count(*) FROM pg_class WHERE relname LIKE 'search\\_%' AND relpersistence = 'u' AND relkind = 'r'";
    assert_eq!(sqlx::query_scalar::<_, i64>(unlogged).fetch_one(pool).await.expect("asked"), 3);
    drop(connection);
    parts.stop().await;
}

/// What Postgres finds is what a look at every message finds.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_with_all_terms_are_found_in_each_place() {
    let (parts, _data, world) = start().await;
    let (one, other) = (ConversationId::from_bytes([1; 16]), ConversationId::from_bytes([2; 16]));
    let hash = |place: ConversationId, word: &str| world.key.hashes(place, [Term::Word(word.into()).bytes()])[0];
    for (place, seq, words) in [(one, 1, "a b"), (one, 2, "a"), (one, 3, "a b c"), (one, 4, "b"), (other, 9, "a b")] {
        let terms: Vec<_> = words.split(' ').map(|word| hash(place, word)).collect();
        let insert = "INSERT INTO search_terms SELECT unnest($1::BIGINT[]), $2, $2";
        sqlx::query(insert).bind(terms).bind(seq).execute(world.store.pool()).await.expect("inserted");
    }
    let found = async |words: &[&str], places: &[(ConversationId, i64, i64)], after: i64, most: i64| {
        let wanted = |(place, before, after_seq): &(ConversationId, i64, i64)| WantedTerms {
            terms: words.iter().map(|word| hash(*place, word)).collect(),
            before: (*before, i64::MIN),
            after_seq: *after_seq,
        };
        let wanted: Vec<_> = places.iter().map(wanted).collect();
        let within = std::time::Duration::from_secs(5);
        let mut hits = world.store.find(&wanted, Timestamp(after), most, within).await.expect("found");
        hits.sort_by_key(|hit| (hit.place, -hit.seq));
        hits.into_iter().map(|hit| (hit.place, hit.seq)).collect::<Vec<_>>()
    };
    let all = |place| (place, i64::MAX, 0);
    assert_eq!(found(&["a"], &[all(one)], 0, 9).await, [(0, 3), (0, 2), (0, 1)]);
    assert_eq!(found(&["b", "a"], &[all(one), all(other)], 0, 9).await, [(0, 3), (0, 1), (1, 9)]);
    assert_eq!(found(&["a", "b", "c"], &[all(one), all(other)], 0, 9).await, [(0, 3)]);
    assert_eq!(found(&["a"], &[all(one)], 0, 2).await, [(0, 3), (0, 2)]);
    assert_eq!(found(&["a"], &[(one, 3, 1)], 0, 9).await, [(0, 2)], "before a time, after a message");
    assert_eq!(found(&["a"], &[all(one)], 3, 9).await, [(0, 3)], "since a time");
    assert_eq!(found(&["a", "d"], &[all(one)], 0, 9).await, []);
    parts.stop().await;
}
