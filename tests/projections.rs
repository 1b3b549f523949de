//! The laws of projections, over a real Postgres: however events come, twice, cut anywhere, or from the compacted public streams, the
//! tables are the same, and they say what the sequencer knows.

#[path = "support/history.rs"]
mod history;
#[path = "support/views.rs"]
mod views;

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use sqlx::Connection;
use tidings::codec::Codec;
use tidings::codec::records::{JournalRecord, Presence, PresenceStatus};
use tidings::dev::{Parts, PartsOptions};
use tidings::domain::conversation::{Conversation, Lookup, Message, Reports, Thread};
use tidings::domain::user::User;
use tidings::domain::{ConversationId, IncarnationId, TenantId, Timestamp, UserId};
use tidings::log::{Fetched, topics};
use tidings::projector::item::Item;
use tidings::projector::{apply, catalog};
use tidings::store::Store;
use tokio::runtime::Handle;

use history::{History, PARTITIONS, Step, profiles, steps};
use views::{Tables, dump};

/// The public records of accepted ones.
fn items(records: &[JournalRecord]) -> Vec<Item> {
    let public = records.iter().flat_map(|record| &record.records);
    let item = |record: &tidings::codec::records::StreamRecord| {
        Item::public(Codec::builtin(), &record.stream, record.value.as_ref()).expect("decodes")
    };
    public.filter_map(item).collect()
}

/// What compaction leaves of them.
fn compacted(records: &[JournalRecord]) -> Vec<Item> {
    let public = || records.iter().flat_map(|record| &record.records);
    let newest: HashMap<_, _> = public().map(|record| ((&record.stream, &record.key), &record.value)).collect();
    let kept = public().filter(|record| newest[&(&record.stream, &record.key)] == &record.value);
    let item = |record: &tidings::codec::records::StreamRecord| {
        Item::public(Codec::builtin(), &record.stream, record.value.as_ref()).expect("decodes")
    };
    kept.filter_map(item).collect()
}

/// The tables after `batches`, and nothing else.
async fn tables_after(store: &Store, source: &str, batches: &[&[Item]]) -> Tables {
    views::empty(store).await;
    let projections = catalog::of_source(source);
    for batch in batches {
        let mut connection = store.pool().acquire().await.expect("a connection");
        let mut transaction = connection.begin().await.expect("begins");
        apply::apply(&mut transaction, &projections, batch).await.expect("applies");
        transaction.commit().await.expect("commits");
    }
    dump(store).await
}

/// `items` in pieces of the given sizes, taken round and round.
fn cut<'a>(mut items: &'a [Item], sizes: &[usize]) -> Vec<&'a [Item]> {
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if items.is_empty() {
            break;
        }
        let (piece, rest) = items.split_at((*size).min(items.len()));
        (pieces, items) = ([pieces, vec![piece]].concat(), rest);
    }
    pieces
}

async fn start() -> (Parts, tempfile::TempDir, Store) {
    let data = tempfile::tempdir().expect("a directory");
    let mut options = PartsOptions::new(data.path().join("parts"));
    options.fsync = false;
    let parts = Parts::start(options).await.expect("parts");
    let store = Store::connect(parts.postgres_url().parse().expect("an address"), 8).await.expect("connects");
    // Several processes start at once.
    let others = || Store::connect(parts.postgres_url().parse().expect("an address"), 2);
    let (two, three) = tokio::try_join!(others(), others()).expect("connects");
    tokio::try_join!(store.install(), two.install(), three.install()).expect("installs");
    (parts, data, store)
}

/// Runs `law` on arbitrary values.
async fn holds<S>(strategy: S, law: impl Fn(S::Value) -> Result<(), TestCaseError> + Send + 'static)
where
    S: Strategy + Send + 'static,
{
    let run = move || {
        let config = Config { cases: 32, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
        TestRunner::new(config).run(&strategy, law).map_err(|error| error.to_string())
    };
    let held = tokio::task::spawn_blocking(run).await.expect("runs");
    assert_eq!(held, Ok(()));
}

async fn check_conversations(store: &Store, steps: &[Step], sizes: &[usize]) -> Result<(), TestCaseError> {
    let mut history = History::new();
    history.go(steps);
    for (number, partition) in (0..).zip(&history.conversations) {
        let source = topics::CONVERSATION_JOURNAL;
        let all = items(&partition.records);
        let one_by_one = tables_after(store, source, &cut(&all, &[1])).await;
        agrees_with_sequencer(store, &history, number).await?;
        prop_assert_eq!(&tables_after(store, source, &cut(&all, sizes)).await, &one_by_one, "cut otherwise");
        let pieces = cut(&all, sizes);
        let twice: Vec<_> = pieces.iter().flat_map(|piece| [*piece, *piece]).collect();
        prop_assert_eq!(&tables_after(store, source, &twice).await, &one_by_one, "twice each");
        let back: Vec<_> = pieces.iter().chain(pieces.iter().rev()).copied().collect();
        prop_assert_eq!(
            &tables_after(store, source, &back).await,
            &one_by_one,
            "again and backwards: no row goes back"
        );
        let kept = compacted(&partition.records);
        prop_assert_eq!(&tables_after(store, source, &cut(&kept, &[100])).await, &one_by_one, "rebuilt");
    }
    Ok(())
}

/// What a sequencer would load is what it knew.
async fn agrees_with_sequencer(store: &Store, history: &History, partition: i32) -> Result<(), TestCaseError> {
    let of_partition =
        |id: &ConversationId| tidings::log::partition_of(id.to_string().as_bytes(), PARTITIONS) == partition;
    let ids: Vec<_> = history.ids().into_iter().filter(of_partition).collect();
    let mut known: HashMap<ConversationId, Conversation> =
        ids.iter().filter_map(|id| Some((*id, history.state_at(*id, i64::MAX)?.clone()))).collect();
    let lookups: Vec<_> = known.values().flat_map(|state| lookups(state, history.user_ids())).collect();
    let loaded = store.load_conversations(partition, &ids, &lookups, Timestamp(0)).await.expect("loads");
    for (id, state) in &mut known {
        let found = loaded.found.get(id).cloned().unwrap_or_default();
        let messages = std::mem::take(&mut state.known.messages).into_iter().map(|(seq, message)| {
            // Of all users, and of no time.
            let users = history.user_ids().iter().map(|user| (*user, Default::default()));
            let reacted = users.chain(message.reacted.clone()).collect();
            let users = history.user_ids().iter().map(|user| (*user, Vec::new()));
            let votes = users.chain(message.votes.clone()).collect();
            (seq, Message { touched: 0, reacted, votes, complete: false, ..message })
        });
        prop_assert_eq!(found.messages, messages.collect::<HashMap<_, _>>());
        let mut threads = std::mem::take(&mut state.known.threads);
        let threads = (1..=state.last_seq).map(|root| {
            let thread = threads.remove(&root).unwrap_or_default();
            let readers = history.user_ids().iter().map(|user| (*user, 0)).chain(thread.readers).collect();
            (root, Thread { readers, complete: false, touched: 0, ..thread })
        });
        prop_assert_eq!(found.threads, threads.collect::<HashMap<_, _>>());
        let mut reports = std::mem::take(&mut state.known.reports);
        let reports = (1..=state.last_seq).map(|seq| {
            let reports = reports.remove(&seq).unwrap_or_default();
            let said = history.user_ids().iter().map(|user| (*user, None)).chain(reports.said).collect();
            (seq, Reports { said, complete: false, ..reports })
        });
        prop_assert_eq!(found.reports, reports.collect::<HashMap<_, _>>());
    }
    prop_assert_eq!(loaded.conversations, known);
    Ok(())
}

/// Every message there ever was, and what everybody reacted to it with.
fn lookups(state: &Conversation, users: &[UserId]) -> Vec<(ConversationId, Lookup)> {
    let of_user = |seq, user| [Lookup::Part(seq, user), Lookup::Thread(seq, user), Lookup::Reports(seq, user)];
    let of_message = |seq| users.iter().flat_map(move |user| of_user(seq, *user)).chain([Lookup::Message(seq)]);
    (1..=state.last_seq).flat_map(of_message).map(|lookup| (state.id, lookup)).collect()
}

async fn check_users(store: &Store, steps: &[Step], sizes: &[usize]) -> Result<(), TestCaseError> {
    let mut history = History::new();
    history.go(steps);
    for (number, partition) in (0..).zip(&history.profiles) {
        let source = topics::USER_JOURNAL;
        let all = items(&partition.records);
        let one_by_one = tables_after(store, source, &cut(&all, &[1])).await;
        let of_partition =
            |user: &UserId| tidings::log::partition_of(user.to_string().as_bytes(), PARTITIONS) == number;
        let users: Vec<_> = history.user_ids().iter().copied().filter(of_partition).collect();
        let loaded = store.load_users(number, &users).await.expect("loads").users;
        // Postgres has no NUL in a text.
        let storable = |user: &User| user.profile.name.as_ref().is_none_or(|name| !name.contains('\0'));
        let known = history.people.iter().filter(|(user, state)| of_partition(user) && storable(state));
        for (user, known) in known {
            prop_assert_eq!(loaded.get(user), Some(known));
        }
        prop_assert_eq!(&tables_after(store, source, &cut(&all, sizes)).await, &one_by_one, "cut otherwise");
        let pieces = cut(&all, sizes);
        let back: Vec<_> = pieces.iter().chain(pieces.iter().rev()).copied().collect();
        prop_assert_eq!(
            &tables_after(store, source, &back).await,
            &one_by_one,
            "again and backwards: no row goes back"
        );
        let kept = compacted(&partition.records);
        prop_assert_eq!(&tables_after(store, source, &cut(&kept, &[100])).await, &one_by_one, "rebuilt");
    }
    Ok(())
}

/// Records of `presence`: a user, and a time that may go back, or a tombstone.
async fn check_presence(store: &Store, seen: &[(u8, Option<i64>)], sizes: &[usize]) -> Result<(), TestCaseError> {
    let users: Vec<_> = (0..3).map(|bits| UserId::from_bytes([bits; 16])).collect();
    let record = |(offset, (user, at)): (i64, &(u8, Option<i64>))| {
        let user = users[usize::from(*user) % users.len()];
        let presence = at.map(|at| Presence {
            tenant: TenantId::from_bytes([7; 16]),
            user,
            session: None,
            incarnation: IncarnationId::generate(),
            status: PresenceStatus::Offline,
            at: Timestamp(at),
        });
        let value = presence.map(|presence| Codec::builtin().encode(&presence).expect("encodes"));
        let key = Some(format!("{user}/last").into());
        Fetched { partition: 0, offset, timestamp: Timestamp(0), key, value }
    };
    let records: Vec<_> = (0..).zip(seen).map(record).collect();
    let items = |records: &[Fetched]| -> Vec<_> {
        records.iter().filter_map(|fetched| Item::presence(Codec::builtin(), fetched).expect("decodes")).collect()
    };
    let newest: HashMap<_, _> = records.iter().map(|fetched| (fetched.key.clone(), fetched.offset)).collect();
    let kept: Vec<_> = records.iter().filter(|fetched| newest[&fetched.key] == fetched.offset).cloned().collect();
    let (all, kept) = (items(&records), items(&kept));
    let one_by_one = tables_after(store, topics::PRESENCE, &cut(&all, &[1])).await;
    prop_assert_eq!(&tables_after(store, topics::PRESENCE, &cut(&all, sizes)).await, &one_by_one, "cut otherwise");
    let twice = [cut(&all, sizes), cut(&all, sizes)].concat();
    prop_assert_eq!(&tables_after(store, topics::PRESENCE, &twice).await, &one_by_one, "again");
    prop_assert_eq!(&tables_after(store, topics::PRESENCE, &cut(&kept, &[100])).await, &one_by_one, "rebuilt");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_are_the_same_however_events_come() {
    let (parts, _data, store) = start().await;
    let (handle, sizes) = (Handle::current(), || vec(1_usize..20, 1..4));
    let (of, on) = (store.clone(), handle.clone());
    holds((steps(60), sizes()), move |(steps, sizes)| on.block_on(check_conversations(&of, &steps, &sizes))).await;
    let (of, on) = (store.clone(), handle.clone());
    holds((profiles(30), sizes()), move |(steps, sizes)| on.block_on(check_users(&of, &steps, &sizes))).await;
    let seen = vec((0_u8..3, prop::option::weighted(0.8, 0_i64..9)), 1..20);
    holds((seen, sizes()), move |(seen, sizes)| handle.block_on(check_presence(&store, &seen, &sizes))).await;
    parts.stop().await;
}
