//! What sessions are told, with views that a test moves by hand.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::cursor::Cursor;
use super::runner::{
    Asked, CatchUp, CatchUpSink, Caught, Changes, InboxViews, Joined, Snapshot, ViewCheckpoint, ViewsAway,
};
use crate::codec::records::{Mark, Marks};
use crate::domain::{IncarnationId, SessionId, TenantId, UserId};

const JOURNAL: &str = "conversation-journal";

#[derive(Default)]
struct State {
    next_offset: i64,
    is_away: bool,
    /// Whoever is asked for together with this one gets nothing.
    poison: Option<UserId>,
    looks: usize,
    asked: Vec<Vec<Asked>>,
}

/// One partition. The one row of everybody says from which index it was asked.
#[derive(Clone, Default)]
struct Views(Arc<Mutex<State>>);

impl Views {
    fn set<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn at(next_offset: i64) -> ViewCheckpoint {
    ViewCheckpoint { epoch: 0, next_offset, index: next_offset }
}

#[async_trait]
impl InboxViews for Views {
    type Row = i64;

    async fn checkpoints(&self) -> Result<Vec<ViewCheckpoint>, ViewsAway> {
        self.set(|state| {
            state.looks += 1;
            if state.is_away { Err(ViewsAway("a test".into())) } else { Ok(vec![at(state.next_offset)]) }
        })
    }

    async fn inbox_changes(&self, asked: &[Asked]) -> Result<Snapshot<i64>, ViewsAway> {
        self.set(|state| {
            state.asked.push(asked.to_vec());
            if asked.iter().any(|one| Some(one.user) == state.poison) {
                return Err(ViewsAway("too much to read".into()));
            }
            let changes = asked.iter().map(|one| {
                let since = one.since.as_ref().map_or(-1, |since| since[0]);
                Changes { rows: vec![since], reset: false }
            });
            Ok(Snapshot { checkpoints: vec![at(state.next_offset)], changes: changes.collect() })
        })
    }
}

#[derive(Default)]
struct Again(Mutex<Vec<(SessionId, Caught<i64>)>>);

impl CatchUpSink<i64> for Again {
    fn caught_up_again(&self, _: UserId, session: SessionId, caught: Caught<i64>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((session, caught));
    }
}

struct World {
    views: Views,
    again: Arc<Again>,
    catch_up: Arc<CatchUp<Views>>,
    running: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn world() -> World {
    let (views, again) = (Views::default(), Arc::<Again>::default());
    let sink = Arc::<Again>::clone(&again);
    let catch_up = Arc::new(CatchUp::new(views.clone(), sink, JOURNAL, 1));
    let runner = Arc::clone(&catch_up);
    let running = tokio::spawn(async move { runner.run(CancellationToken::new()).await });
    World { views, again, catch_up, running }
}

impl World {
    fn join(&self, number: u8, cursor: Option<&str>) -> JoinHandle<Option<Caught<i64>>> {
        let catch_up = Arc::clone(&self.catch_up);
        let joined = Joined {
            tenant: TenantId::default(),
            user: UserId::from_bytes([number; 16]),
            session: session(number),
            registered_at: i64::from(number),
            cursor: cursor.map(str::to_owned),
        };
        tokio::spawn(async move { catch_up.catch_up(joined).await })
    }

    fn mark(&self, term: i64, sessions: i64, reached: i64) {
        let mark = Mark {
            partition: 0,
            epoch: 0,
            term,
            sessions_from: sessions,
            routed_from: reached,
            sessions_offset: sessions,
            reached_offset: reached,
        };
        let incarnation = IncarnationId::default();
        self.catch_up.marks(&Marks { incarnation, journal: JOURNAL.to_owned(), marks: vec![mark] });
    }

    async fn until(&self, what: &str, is_so: impl Fn(&mut State) -> bool) {
        let wait = async {
            while !self.views.set(&is_so) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(10), wait).await.is_ok(), "{what}");
    }
}

fn session(number: u8) -> SessionId {
    SessionId::from_bytes([number; 16])
}

fn cursor(index: i64) -> String {
    Cursor { epoch: 0, indexes: [index].into() }.encode()
}

async fn told(joining: JoinHandle<Option<Caught<i64>>>) -> Caught<i64> {
    let told = tokio::time::timeout(Duration::from_secs(10), joining).await;
    told.expect("in time").expect("no panic").expect("told")
}

#[tokio::test]
async fn sessions_that_are_ready_are_read_together_once_the_views_cover_them() {
    let world = world();
    world.views.set(|state| state.is_away = true);
    let (first, second, third) =
        (world.join(1, None), world.join(2, Some(&cursor(5))), world.join(3, Some("not ours")));
    while world.catch_up.waiting() < 3 {
        tokio::task::yield_now().await;
    }
    world.mark(1, 10, 100);
    world.until("the views are away", |state| state.looks > 0).await;
    world.views.set(|state| (state.is_away, state.looks, state.next_offset) = (false, 0, 99));
    world.until("the views do not cover it", |state| state.looks > 2).await;
    assert!(world.views.set(|state| state.asked.is_empty()));
    world.views.set(|state| state.next_offset = 101);
    let (first, second, third) = (told(first).await, told(second).await, told(third).await);
    assert_eq!((first.rows, first.reset), (vec![-1], true), "no cursor");
    assert_eq!((second.rows, second.reset), (vec![5], false));
    assert_eq!((third.rows, third.reset), (vec![-1], true), "a cursor that is none of ours");
    assert_eq!(second.cursor, cursor(101));
    assert_eq!(world.views.set(|state| state.asked.len()), 1, "one read for all");
}

#[tokio::test]
async fn a_new_owner_makes_sessions_be_told_again_from_where_they_were() {
    let world = world();
    let joining = world.join(20, Some(&cursor(5)));
    world.views.set(|state| state.next_offset = 100);
    world.mark(1, 21, 100);
    assert_eq!(told(joining).await.cursor, cursor(100));
    // It has not read of the session yet.
    world.mark(2, 20, 100);
    world.views.set(|state| state.next_offset = 110);
    world.mark(2, 21, 105);
    world.until("it is read again", |state| state.asked.len() == 2).await;
    let wait = async {
        loop {
            if let Some(told) = world.again.0.lock().unwrap_or_else(PoisonError::into_inner).pop() {
                break told;
            }
            tokio::task::yield_now().await;
        }
    };
    let (of, caught) = tokio::time::timeout(Duration::from_secs(10), wait).await.expect("told again");
    assert_eq!((of, caught.rows, caught.reset), (session(20), vec![100], false));
    assert_eq!(caught.cursor, cursor(110));
    world.catch_up.unregister(session(20));
    world.mark(3, 20, 100);
    assert_eq!(world.catch_up.waiting(), 0);
}

#[tokio::test]
async fn a_session_that_ends_before_is_told_nothing() {
    let world = world();
    let joining = world.join(1, None);
    while world.catch_up.waiting() < 1 {
        tokio::task::yield_now().await;
    }
    world.catch_up.unregister(session(1));
    assert!(joining.await.expect("no panic").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_read_holds_up_no_other() {
    let world = world();
    let poison = UserId::from_bytes([7; 16]);
    world.views.set(|state| (state.next_offset, state.poison) = (100, Some(poison)));
    let mut joining: Vec<_> = (1..=16).map(|number| world.join(number, Some(&cursor(5)))).collect();
    while world.catch_up.waiting() < 16 {
        tokio::task::yield_now().await;
    }
    world.mark(1, 30, 100);
    let poisoned = joining.remove(6);
    for other in joining {
        assert_eq!(told(other).await.rows, [5]);
    }
    // Who comes later is not read with it.
    assert_eq!(told(world.join(20, None)).await.rows, [-1]);
    world.until("it is read alone", |state| state.asked.iter().filter(|asked| asked.len() == 1).count() > 2).await;
    assert!(!poisoned.is_finished());
    // The views can take it after all.
    world.views.set(|state| state.poison = None);
    assert_eq!(told(poisoned).await.rows, [5]);
}
