//! A client that stays: it comes back on its own, closes gaps, and sends again what was not answered.
//!
//! What it promises, as long as it runs:
//! - A followed conversation's durable events come in order of position, each exactly once. A hole that the server
//!   refuses to fill is told as [`Update::Skipped`].
//! - A call that may be done twice (all but `typing`, `ping` and `hello` may) is sent again until it has an answer, sends with
//!   the same `client_id`. Sends to one conversation are made one after the other, so that a retry keeps their order.
//!   Dropping the future of a call takes it back, if it was not sent yet.

mod driver;
mod feed;
mod link;
mod outbox;
mod token;

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::commands::{Call, NewMessage, Sent};
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::event::Event;
use crate::types::Conversation;

pub use token::Token;

/// Calls on their way to the client's task; more wait in `call`.
const CALL_LIMIT: usize = 256;
/// Updates ready for the consumer. When it is slow, events wait in the session, and the session has a limit.
const UPDATE_LIMIT: usize = 64;

/// How a [`Client`] behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the server is.
    pub endpoint: Endpoint,
    /// How this user is known.
    pub token: Token,
    /// This device, if it has registered one.
    pub device_id: Option<String>,
    /// Follow every conversation from where it is first seen; otherwise only those named by [`Client::follow`].
    pub follow_all: bool,
    /// The first wait after a lost connection is at most this.
    pub backoff_base: Duration,
    /// No wait is longer, unless the server asks for it.
    pub backoff_cap: Duration,
    /// An answer that takes longer is taken for lost, and the call is made again.
    pub reply_timeout: Duration,
}

impl Config {
    /// The defaults: 0.5 s to 30 s between connections, 15 s for an answer.
    pub fn new(server: &str, token: Token) -> Result<Self, Error> {
        Ok(Self {
            endpoint: Endpoint::new(server)?,
            token,
            device_id: None,
            follow_all: false,
            backoff_base: Duration::from_millis(500),
            backoff_cap: Duration::from_secs(30),
            reply_timeout: Duration::from_secs(15),
        })
    }
}

/// The state of the connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Status {
    /// On the way.
    Connecting,
    /// `hello` was answered.
    Connected {
        /// Who this is.
        user: String,
    },
    /// Waits before the next try.
    Waiting {
        /// For how long.
        delay: Duration,
        /// Why the last connection ended.
        because: Error,
    },
    /// It will not come back.
    Ended(Error),
}

/// What the consumer learns.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Update {
    /// The connection changed.
    Status(Status),
    /// An event. Types that this crate does not know come too.
    Event(Event),
    /// A conversation changed, newer than what was told before.
    Inbox(Box<Conversation>),
    /// All that happened before was told. With `reset`, conversations that were not among the newest 100 may have
    /// changed untold: page the inbox.
    CaughtUp {
        /// The list starts anew.
        reset: bool,
    },
    /// The events after `after`, up to `to`, cannot be had.
    Skipped {
        /// Of this conversation.
        conversation: String,
        /// Exclusive.
        after: u64,
        /// Inclusive.
        to: u64,
    },
}

/// A handle; clones share the client. It ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Client {
    orders: mpsc::Sender<Order>,
}

/// The updates of a [`Client`], in order.
#[derive(Debug)]
pub struct Updates {
    queue: mpsc::Receiver<Update>,
}

/// From the handle to the task.
#[derive(Debug)]
enum Order {
    Call { kind: String, data: Value, reply: oneshot::Sender<Result<Value, Error>> },
    Follow { conversation: String, after: u64 },
    Unfollow { conversation: String },
    Stop { done: oneshot::Sender<()> },
}

impl Client {
    /// Starts to connect. Must be called within a tokio runtime.
    pub fn start(config: Config) -> (Self, Updates) {
        let (orders, queue) = mpsc::channel(CALL_LIMIT);
        let (updates, updated) = mpsc::channel(UPDATE_LIMIT);
        tokio::spawn(driver::Driver::new(config, updates).run(queue));
        (Self { orders }, Updates { queue: updated })
    }

    /// From now on no event of `conversation` after the position `after` is missed. To show it: follow from the
    /// inbox entry's `last_position`, then load the history, then apply events (those that the history has already
    /// change nothing).
    pub async fn follow(&self, conversation: &str, after: u64) {
        let _ = self.orders.send(Order::Follow { conversation: conversation.to_owned(), after }).await;
    }

    /// Holes in `conversation` no longer matter.
    pub async fn unfollow(&self, conversation: &str) {
        let _ = self.orders.send(Order::Unfollow { conversation: conversation.to_owned() }).await;
    }

    /// Hands a message over, and returns the wait for its answer. Messages to one conversation are accepted in the order
    /// in which they were handed over, however their answers are awaited.
    pub async fn submit(
        &self,
        message: &NewMessage,
    ) -> Result<impl Future<Output = Result<Sent, Error>> + Send + 'static, Error> {
        let data = serde_json::to_value(message).map_err(|error| Error::shape("message.send", error))?;
        let answer = self.hand_over("message.send", data).await?;
        Ok(async move {
            let data = answer.await.unwrap_or(Err(Error::Stopped))?;
            Sent::deserialize(data).map_err(|error| Error::shape("message.send", error))
        })
    }

    async fn hand_over(&self, kind: &str, data: Value) -> Result<oneshot::Receiver<Result<Value, Error>>, Error> {
        let (reply, answer) = oneshot::channel();
        let order = Order::Call { kind: kind.to_owned(), data, reply };
        self.orders.send(order).await.map_err(|_| Error::Stopped)?;
        Ok(answer)
    }

    /// Closes the connection and ends. Calls without an answer fail with [`Error::Stopped`].
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.orders.send(Order::Stop { done }).await.is_ok() {
            let _ = stopped.await;
        }
    }
}

impl Call for Client {
    async fn call(&self, kind: &str, data: Value) -> Result<Value, Error> {
        self.hand_over(kind, data).await?.await.unwrap_or(Err(Error::Stopped))
    }
}

impl Updates {
    /// The next update, or `None` when the client has ended. May be dropped half-way.
    pub async fn next(&mut self) -> Option<Update> {
        self.queue.recv().await
    }

    /// Waits for the first update that `wanted` accepts, and drops those before it.
    pub async fn wait_for(
        &mut self,
        within: Duration,
        mut wanted: impl FnMut(&Update) -> bool,
    ) -> Result<Update, Error> {
        let search = async {
            loop {
                match self.next().await {
                    Some(update) if wanted(&update) => return Ok(update),
                    Some(_) => {}
                    None => return Err(Error::Stopped),
                }
            }
        };
        let late = |_| Error::Timeout { what: "update that was waited for".to_owned(), after: within };
        tokio::time::timeout(within, search).await.map_err(late)?
    }
}
