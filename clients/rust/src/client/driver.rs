//! The task behind a client: one loop over the connection, the calls, the fetches and the consumer.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::backoff::Backoff;
use crate::client::feed::Feed;
use crate::client::link::{Link, Step, Verdict, verdict};
use crate::client::outbox::{Outbox, ReplyTo, Request};
use crate::client::{Config, Order, Status, Update};
use crate::commands::{Call, Commands, EventsPage, presences};
use crate::error::{Closed, Error};
use crate::event::{Body, Event};
use crate::session::{Events, Session};

/// Updates that wait for the consumer. Above this, events stay in the session.
const BACKLOG_LIMIT: usize = 1_024;
/// Gaps closed at once; the others wait, so that a reconnection does not become a storm.
const FETCH_LIMIT: usize = 8;
/// Events a page.
const FETCH_SIZE: u32 = 500;
/// Before asking again for events that the server's views do not have yet.
const FETCH_PAUSE: Duration = Duration::from_millis(100);

/// Work under way on a session.
enum Work {
    Called(Request, Result<Value, Error>),
    Fetched {
        conversation: String,
        result: Result<EventsPage, Error>,
    },
    /// A pause before fetching is over.
    Rested {
        conversation: String,
    },
}

pub(crate) struct Driver {
    config: Config,
    updates: mpsc::Sender<Update>,
    backlog: VecDeque<Update>,
    /// The consumer has dropped its end: updates go nowhere, calls go on.
    deaf: bool,
    feed: Feed,
    outbox: Outbox,
    work: FuturesUnordered<BoxFuture<'static, Work>>,
    fetching: HashSet<String>,
    backoff: Backoff,
    /// From `bye`, for the next connection.
    window: Option<(Duration, Duration)>,
    token: Option<String>,
    watched: BTreeSet<String>,
    presence: Option<Value>,
}

/// Whether the loop goes on.
enum Flow {
    On,
    Stop(Option<oneshot::Sender<()>>),
}

impl Driver {
    pub(crate) fn new(config: Config, updates: mpsc::Sender<Update>) -> Self {
        Self {
            feed: Feed::new(config.follow_all),
            backoff: Backoff::new(config.backoff_base, config.backoff_cap),
            config,
            updates,
            backlog: VecDeque::new(),
            deaf: false,
            outbox: Outbox::default(),
            work: FuturesUnordered::new(),
            fetching: HashSet::new(),
            window: None,
            token: None,
            watched: BTreeSet::new(),
            presence: None,
        }
    }

    pub(crate) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut link = self.connect();
        let done = loop {
            self.start_work(&link);
            let flow = tokio::select! {
                permit = self.updates.clone().reserve_owned(), if !self.backlog.is_empty() => {
                    match (permit, self.backlog.pop_front()) {
                        (Ok(permit), Some(update)) => drop(permit.send(update)),
                        _ => { self.deaf = true; self.backlog.clear(); }
                    }
                    Flow::On
                }
                step = link.step(self.backlog.len() < BACKLOG_LIMIT) => self.step(&mut link, step),
                Some(work) = self.work.next() => { self.finish(work); Flow::On }
                order = orders.recv() => self.order(order),
            };
            if let Flow::Stop(done) = flow {
                break done;
            }
        };
        drop(orders);
        if let Link::Online(session, _) = link {
            session.close().await;
        }
        // Dropping the rest fails the calls that have no answer, with `Stopped`.
        while let Some(update) = self.backlog.pop_front() {
            if self.updates.try_send(update).is_err() {
                break;
            }
        }
        if let Some(done) = done {
            let _ = done.send(());
        }
    }

    fn tell(&mut self, update: Update) {
        if !self.deaf {
            self.backlog.push_back(update);
        }
    }

    fn connect(&mut self) -> Link {
        self.tell(Update::Status(Status::Connecting));
        Link::connect(&self.config, self.token.clone(), self.feed.cursor())
    }

    fn order(&mut self, order: Option<Order>) -> Flow {
        match order {
            Some(Order::Call { kind, data, reply }) => {
                self.outbox.push(Request::new(kind, data, ReplyTo::Caller(reply)));
            }
            Some(Order::Follow { conversation, after }) => self.feed.follow(&conversation, after),
            Some(Order::Unfollow { conversation }) => self.feed.unfollow(&conversation),
            Some(Order::Stop { done }) => return Flow::Stop(Some(done)),
            None => return Flow::Stop(None),
        }
        Flow::On
    }

    fn step(&mut self, link: &mut Link, step: Step) -> Flow {
        match step {
            Step::Due => *link = self.connect(),
            Step::Connected(token, Ok((session, events))) => {
                self.token = token;
                self.online(link, session, events);
            }
            Step::Connected(token, Err(error)) => {
                self.token = token;
                return self.lost(link, error);
            }
            Step::Event(event) => self.event(event),
            Step::Lost(error) => return self.lost(link, error),
        }
        Flow::On
    }

    fn online(&mut self, link: &mut Link, session: Session, events: Events) {
        self.feed.connected();
        self.tell(Update::Status(Status::Connected { user: session.welcome().user.clone() }));
        *link = Link::Online(session, events);
        if let Some(data) = self.presence.clone() {
            self.outbox.push(Request::new("presence.set", data, ReplyTo::Nobody));
        }
        if !self.watched.is_empty() {
            self.outbox.push(Request::new("presence.watch", json!({"users": self.watched}), ReplyTo::Watch));
        }
    }

    /// The connection could not be made, or has ended.
    fn lost(&mut self, link: &mut Link, error: Error) -> Flow {
        let verdict = verdict(&error, self.config.token.is_fresh());
        if verdict == Verdict::End {
            self.tell(Update::Status(Status::Ended(error)));
            return Flow::Stop(None);
        }
        if verdict == Verdict::ReturnWithNewToken {
            self.token = None;
        }
        let asked = error.retry_after().map(|least| (least, least * 2));
        let delay = self.backoff.next(self.window.take().or(asked), rand::random());
        self.tell(Update::Status(Status::Waiting { delay, because: error }));
        *link = Link::wait(delay);
        Flow::On
    }

    fn event(&mut self, event: Event) {
        match event.body() {
            Body::Bye { reconnect_after_ms: Some((least, most)), .. } => {
                self.window = Some((Duration::from_millis(least), Duration::from_millis(most)));
            }
            // Only now things work again: a server that takes connections and drops them is not hammered.
            Body::CaughtUp { .. } => self.backoff.reset(),
            _ => {}
        }
        for update in self.feed.event(event) {
            self.tell(update);
        }
    }

    /// Starts whatever can be started on the connection.
    fn start_work(&mut self, link: &Link) {
        let Some(session) = link.session() else {
            for request in self.outbox.take_stale() {
                answer(request, Err(Error::Closed(Closed::broken("not connected"))));
            }
            return;
        };
        while let Some(request) = self.outbox.next() {
            self.work.push(Box::pin(attempt(session.clone(), request, self.config.reply_timeout)));
        }
        let room = FETCH_LIMIT.saturating_sub(self.fetching.len());
        let missing = self.feed.missing().filter(|(conversation, _)| !self.fetching.contains(*conversation));
        let starts: Vec<_> = missing.take(room).map(|(conversation, after)| (conversation.to_owned(), after)).collect();
        for (conversation, after) in starts {
            self.fetching.insert(conversation.clone());
            let (session, within) = (session.clone(), self.config.reply_timeout);
            self.work.push(Box::pin(async move {
                let page = session.events(&conversation, after, FETCH_SIZE);
                let late = |_| Error::Timeout { what: "answer to events".to_owned(), after: within };
                let result = tokio::time::timeout(within, page).await.map_err(late).flatten();
                Work::Fetched { conversation, result }
            }));
        }
    }

    fn finish(&mut self, work: Work) {
        match work {
            Work::Called(request, result) => self.called(request, result),
            Work::Rested { conversation } => {
                self.fetching.remove(&conversation);
            }
            Work::Fetched { conversation, result } => {
                let (updates, go_on) = match result {
                    Ok(page) => self.feed.page(&conversation, page.events, page.last_position),
                    Err(Error::Server(error)) if !error.retryable => (self.feed.give_up(&conversation), true),
                    Err(_) => (Vec::new(), false),
                };
                for update in updates {
                    self.tell(update);
                }
                if go_on {
                    self.fetching.remove(&conversation);
                } else {
                    self.work.push(Box::pin(async move {
                        tokio::time::sleep(FETCH_PAUSE).await;
                        Work::Rested { conversation }
                    }));
                }
            }
        }
    }

    fn called(&mut self, mut request: Request, result: Result<Value, Error>) {
        if request.should_repeat(&result) {
            return self.outbox.again(request);
        }
        self.outbox.done(&request);
        if let Ok(data) = &result {
            self.remember(&request, data);
        }
        answer(request, result);
    }

    /// A watch and one's own status belong to a connection: they are made again on the next.
    fn remember(&mut self, request: &Request, result: &Value) {
        let users =
            || request.data["users"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        match request.kind.as_str() {
            "presence.watch" => self.watched.extend(users()),
            "presence.unwatch" => {
                let gone: Vec<String> = users().collect();
                self.watched.retain(|user| !gone.contains(user));
            }
            "presence.set" => self.presence = Some(request.data.clone()),
            _ => {}
        }
        if matches!(request.reply, ReplyTo::Watch) {
            for presence in presences(result.clone()).unwrap_or_default() {
                let data = json!({"user": presence.user, "status": presence.status, "last_seen": presence.last_seen});
                self.tell(Update::Event(Event { kind: "presence".to_owned(), data, ..Event::default() }));
            }
        }
    }
}

/// One try of a call, after the wait that its refusals ask for.
async fn attempt(session: Session, request: Request, within: Duration) -> Work {
    tokio::time::sleep(request.pause).await;
    let call = session.call(&request.kind, request.data.clone());
    let late = |_| Error::Timeout { what: format!("answer to {}", request.kind), after: within };
    let result = tokio::time::timeout(within, call).await.map_err(late).flatten();
    Work::Called(request, result)
}

fn answer(request: Request, result: Result<Value, Error>) {
    if let ReplyTo::Caller(reply) = request.reply {
        // The caller may have gone.
        let _ = reply.send(result);
    }
}
