//! One connection that has said `hello`: concurrent calls, and the events.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::commands::Call;
use crate::endpoint::Endpoint;
use crate::error::{Closed, Error, ServerError};
use crate::event::Event;
use crate::frame::Frame;
use crate::socket::Socket;

/// Events that wait to be read. When full, the session ends rather than lose one or hold up replies.
const EVENT_LIMIT: usize = 8_192;
/// Calls that wait to be written; more wait in `call`.
const CALL_LIMIT: usize = 64;
/// `hello` is answered at once.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// A refusal of `hello` is followed by a close frame, whose code says whether to come back.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Used when the server names no interval, in milliseconds.
const DEFAULT_PING_MS: u64 = 25_000;

/// What `hello` says.
#[derive(Clone, Default, Serialize)]
pub struct Hello {
    /// The access token.
    pub token: String,
    /// This device, if it has registered one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// Of the last `caught_up`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// What this socket shows from its beginning: `online` (without it), `away` or `invisible`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

impl std::fmt::Debug for Hello {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Hello")
            .field("device_id", &self.device_id)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

/// The answer to `hello`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Welcome {
    /// Who this is.
    pub user: String,
    /// This connection.
    pub session_id: String,
    /// A socket silent for two of these is closed; in milliseconds.
    pub ping_interval_ms: Option<u64>,
    /// The largest frame that the server takes, in bytes.
    pub max_frame_bytes: Option<u64>,
    /// The server's clock, RFC 3339.
    pub server_time: Option<String>,
}

/// A handle on one connection. Clones share it; dropping the last one closes it.
#[derive(Clone, Debug)]
pub struct Session {
    welcome: Welcome,
    calls: mpsc::Sender<Order>,
    closed: watch::Receiver<Option<Closed>>,
}

/// The events of one connection, in the order they came.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Receiver<Event>,
    kept: VecDeque<Event>,
    closed: watch::Receiver<Option<Closed>>,
}

#[derive(Debug)]
enum Order {
    Call { kind: String, data: Value, reply: oneshot::Sender<Result<Value, Error>> },
    Close,
}

impl Session {
    /// Connects and says `hello`.
    pub async fn connect(endpoint: &Endpoint, hello: Hello) -> Result<(Self, Events), Error> {
        Self::start(Socket::connect(endpoint).await?, hello).await
    }

    /// Says `hello` on a socket that is open.
    pub async fn start(mut socket: Socket, hello: Hello) -> Result<(Self, Events), Error> {
        socket.send_text(json!({"id": 0, "type": "hello", "data": hello}).to_string()).await?;
        let mut early = Vec::new();
        let answer = tokio::time::timeout(HELLO_TIMEOUT, hello_reply(&mut socket, &mut early));
        let late = |_| Error::Timeout { what: "answer to hello".to_owned(), after: HELLO_TIMEOUT };
        let data = match answer.await.map_err(late)?? {
            Ok(data) => data,
            Err(error) => {
                let closing = socket.wait_for(CLOSE_TIMEOUT, |frame| matches!(frame, Frame::Closed(_))).await;
                let closed = if let Ok(Frame::Closed(closed)) = closing { Some(closed) } else { None };
                return Err(Error::Refused { error, closed });
            }
        };
        let welcome = Welcome::deserialize(data).map_err(|error| Error::shape("hello", error))?;
        let (calls, orders) = mpsc::channel(CALL_LIMIT);
        let (events, queue) = mpsc::channel(EVENT_LIMIT);
        let (closing, closed) = watch::channel(None);
        let ping = Duration::from_millis(welcome.ping_interval_ms.unwrap_or(DEFAULT_PING_MS).max(50));
        let largest = welcome.max_frame_bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
        let task = Task { socket, pending: HashMap::new(), next_id: 1, events, heard: Instant::now(), ping, largest };
        tokio::spawn(task.run(orders, closing));
        let events = Events { queue, kept: early.into(), closed: closed.clone() };
        Ok((Self { welcome, calls, closed }, events))
    }

    /// What the server said to `hello`.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Waits for the end of the connection.
    pub async fn closed(&self) -> Closed {
        ended(&mut self.closed.clone()).await
    }

    /// Closes it, and waits until it is.
    pub async fn close(self) -> Closed {
        // Fails only when the connection has ended already.
        let _ = self.calls.send(Order::Close).await;
        self.closed().await
    }
}

impl Call for Session {
    async fn call(&self, kind: &str, data: Value) -> Result<Value, Error> {
        let (reply, answer) = oneshot::channel();
        let order = Order::Call { kind: kind.to_owned(), data, reply };
        if self.calls.send(order).await.is_err() {
            return Err(Error::Closed(self.closed().await));
        }
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(Error::Closed(self.closed().await)),
        }
    }
}

impl Events {
    /// The next event, or `None` when the connection has ended and all were read. May be dropped half-way.
    pub async fn next(&mut self) -> Option<Event> {
        match self.kept.pop_front() {
            Some(event) => Some(event),
            None => self.queue.recv().await,
        }
    }

    /// Waits for the first event that `wanted` accepts. Others stay and are returned by later calls, in order.
    pub async fn wait_for(&mut self, within: Duration, mut wanted: impl FnMut(&Event) -> bool) -> Result<Event, Error> {
        if let Some(at) = self.kept.iter().position(&mut wanted)
            && let Some(event) = self.kept.remove(at)
        {
            return Ok(event);
        }
        let deadline = Instant::now() + within;
        loop {
            let late = |_| Error::Timeout { what: "event that was waited for".to_owned(), after: within };
            match tokio::time::timeout_at(deadline, self.queue.recv()).await.map_err(late)? {
                Some(event) if wanted(&event) => return Ok(event),
                Some(event) => self.kept.push_back(event),
                None => return Err(Error::Closed(ended(&mut self.closed).await)),
            }
        }
    }
}

async fn ended(closed: &mut watch::Receiver<Option<Closed>>) -> Closed {
    match closed.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or_default(),
        Err(_) => Closed::broken("the session's task is gone"),
    }
}

async fn hello_reply(socket: &mut Socket, early: &mut Vec<Event>) -> Result<Result<Value, ServerError>, Error> {
    loop {
        match socket.next().await {
            Frame::Reply { id, result } if id == 0 => return Ok(result),
            Frame::Event(event) => early.push(event),
            Frame::Closed(closed) => return Err(Error::Closed(closed)),
            _ => {}
        }
    }
}

/// The task that owns the socket.
struct Task {
    socket: Socket,
    pending: HashMap<u64, oneshot::Sender<Result<Value, Error>>>,
    next_id: u64,
    events: mpsc::Sender<Event>,
    heard: Instant,
    ping: Duration,
    /// Bytes of the largest frame that the server takes.
    largest: usize,
}

impl Task {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>, closing: watch::Sender<Option<Closed>>) {
        let closed = self.serve(&mut orders).await;
        // Said before the calls fail, so that they can say why.
        closing.send_replace(Some(closed.clone()));
        orders.close();
        for (_, reply) in self.pending.drain() {
            let _ = reply.send(Err(Error::Closed(closed.clone())));
        }
    }

    async fn serve(&mut self, orders: &mut mpsc::Receiver<Order>) -> Closed {
        let mut ping = tokio::time::interval_at(Instant::now() + self.ping, self.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let step = tokio::select! {
                frame = self.socket.next_or_control() => self.received(frame),
                order = orders.recv() => match order {
                    Some(Order::Call { kind, data, reply }) => self.send(&kind, data, reply).await,
                    Some(Order::Close) | None => return self.goodbye().await,
                },
                _ = ping.tick() => self.keep_alive().await,
            };
            if let Err(closed) = step {
                return closed;
            }
        }
    }

    fn received(&mut self, frame: Option<Frame>) -> Result<(), Closed> {
        self.heard = Instant::now();
        match frame {
            Some(Frame::Reply { id, result }) => {
                if let Some(reply) = id.as_u64().and_then(|id| self.pending.remove(&id)) {
                    let _ = reply.send(result.map_err(Error::Server));
                }
                Ok(())
            }
            Some(Frame::Event(event)) => match self.events.try_send(event) {
                Err(mpsc::error::TrySendError::Full(_)) => {
                    Err(Closed::broken(format!("{EVENT_LIMIT} events were waiting and nobody read them")))
                }
                // Nobody wants events (any more): calls go on.
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            },
            Some(Frame::Closed(closed)) => Err(closed),
            Some(Frame::Text(_) | Frame::Binary(_)) | None => Ok(()),
        }
    }

    async fn send(
        &mut self,
        kind: &str,
        data: Value,
        reply: oneshot::Sender<Result<Value, Error>>,
    ) -> Result<(), Closed> {
        let id = self.next_id;
        self.next_id += 1;
        self.pending.insert(id, reply);
        let frame = json!({"id": id, "type": kind, "data": data}).to_string();
        if frame.len() > self.largest {
            // The server would close the connection, and again at each retry.
            if let Some(reply) = self.pending.remove(&id) {
                let message = format!("{kind} takes {} bytes; the server takes at most {}", frame.len(), self.largest);
                let error = ServerError { code: "too_large".into(), message, retryable: false, retry_after_ms: None };
                let _ = reply.send(Err(Error::Server(error)));
            }
            return Ok(());
        }
        match self.socket.send_text(frame).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.why(error).await),
        }
    }

    /// A write failed: what the server said last is still to be read.
    async fn why(&mut self, error: Error) -> Closed {
        let last = self.socket.wait_for(CLOSE_TIMEOUT, |frame| matches!(frame, Frame::Closed(_))).await;
        match (last, error) {
            (Ok(Frame::Closed(closed)), _) | (_, Error::Closed(closed)) => closed,
            (_, other) => Closed::broken(other.to_string()),
        }
    }

    /// Any frame counts for the server, a ping costs least. A server that is silent for twice as long is gone, even
    /// if TCP has not noticed.
    async fn keep_alive(&mut self) -> Result<(), Closed> {
        let silent = self.heard.elapsed();
        if silent > self.ping * 2 + CLOSE_TIMEOUT {
            return Err(Closed::broken(format!("the server was silent for {} ms", silent.as_millis())));
        }
        match self.socket.ping().await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.why(error).await),
        }
    }

    async fn goodbye(&mut self) -> Closed {
        let ours = Closed { code: Some(1000), reason: "closed here".to_owned() };
        if self.socket.close(1000, "").await.is_ok() {
            let _ = self.socket.wait_for(CLOSE_TIMEOUT, |frame| matches!(frame, Frame::Closed(_))).await;
        }
        ours
    }
}
