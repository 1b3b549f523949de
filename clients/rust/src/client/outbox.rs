//! Calls that wait to be sent, or sent again. Those of a lane (sends to one conversation) go one at a time, so that a
//! retry cannot overtake. No I/O.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

use crate::backoff::Backoff;
use crate::error::Error;

/// The first wait after a `retryable` refusal is at most this.
const RETRY_BASE: Duration = Duration::from_millis(200);
/// No wait is longer, unless the server asks for it.
const RETRY_CAP: Duration = Duration::from_secs(5);

/// Who wants the answer.
#[derive(Debug)]
pub(crate) enum ReplyTo {
    /// A caller, who may have gone.
    Caller(oneshot::Sender<Result<Value, Error>>),
    /// The client itself, which watches again after a reconnection.
    Watch,
    /// Nobody.
    Nobody,
}

/// One call, through all its tries.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) kind: String,
    pub(crate) data: Value,
    pub(crate) reply: ReplyTo,
    /// Its own, so that one refused call does not slow the others.
    pub(crate) backoff: Backoff,
    /// Before the next try.
    pub(crate) pause: Duration,
}

impl Request {
    pub(crate) fn new(kind: impl Into<String>, data: Value, reply: ReplyTo) -> Self {
        Self { kind: kind.into(), data, reply, backoff: Backoff::new(RETRY_BASE, RETRY_CAP), pause: Duration::ZERO }
    }

    /// Done twice it is as if done once. A `ping` asks about one connection.
    fn may_repeat(&self) -> bool {
        !matches!(self.kind.as_str(), "typing" | "ping" | "hello")
    }

    /// Worth nothing when sent late.
    fn is_fleeting(&self) -> bool {
        self.kind == "typing"
    }

    /// Whether this outcome is a reason to try again; sets the wait before that. A lost connection has its own wait.
    pub(crate) fn should_repeat(&mut self, result: &Result<Value, Error>) -> bool {
        let Err(error) = result else { return false };
        let again = match error {
            Error::Server(refusal) => refusal.retryable,
            Error::Closed(_) | Error::Timeout { .. } => true,
            _ => false,
        };
        self.pause = match error {
            Error::Server(_) => {
                let asked = error.retry_after().map(|least| (least, least * 2));
                self.backoff.next(asked, rand::random())
            }
            _ => Duration::ZERO,
        };
        again && self.may_repeat()
    }

    /// The caller no longer waits: a call that was not sent need not be.
    fn is_dropped(&self) -> bool {
        matches!(&self.reply, ReplyTo::Caller(reply) if reply.is_closed())
    }

    fn lane(&self) -> Option<String> {
        if self.kind != "message.send" {
            return None;
        }
        self.data.get("conversation").and_then(Value::as_str).map(str::to_owned)
    }
}

/// The queue. Every waiting call has a caller that waits, which bounds it.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    free: VecDeque<Request>,
    /// Lanes with a call under way or waiting.
    lanes: HashMap<String, Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    busy: bool,
    waiting: VecDeque<Request>,
}

impl Outbox {
    pub(crate) fn push(&mut self, request: Request) {
        match request.lane() {
            Some(lane) => self.lanes.entry(lane).or_default().waiting.push_back(request),
            None => self.free.push_back(request),
        }
    }

    /// A try failed: the call is the next of its lane again.
    pub(crate) fn again(&mut self, request: Request) {
        match request.lane() {
            Some(lane) => {
                let lane = self.lanes.entry(lane).or_default();
                lane.busy = false;
                lane.waiting.push_front(request);
            }
            None => self.free.push_back(request),
        }
    }

    /// A call has its answer: its lane moves on.
    pub(crate) fn done(&mut self, request: &Request) {
        if let Some(lane) = request.lane().and_then(|name| self.lanes.get_mut(&name)) {
            lane.busy = false;
        }
    }

    /// Takes the next call that can be sent now.
    pub(crate) fn next(&mut self) -> Option<Request> {
        while let Some(request) = self.free.pop_front() {
            if !request.is_dropped() {
                return Some(request);
            }
        }
        self.lanes.retain(|_, lane| {
            lane.waiting.retain(|request| !request.is_dropped());
            lane.busy || !lane.waiting.is_empty()
        });
        let lane = self.lanes.values_mut().find(|lane| !lane.busy)?;
        lane.busy = true;
        lane.waiting.pop_front()
    }

    /// Takes everything that waits and must not be sent late.
    pub(crate) fn take_stale(&mut self) -> VecDeque<Request> {
        let (stale, fresh) = std::mem::take(&mut self.free).into_iter().partition(Request::is_fleeting);
        self.free = fresh;
        stale
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn send(conversation: &str, client_id: &str) -> Request {
        let data = json!({"conversation": conversation, "client_id": client_id});
        Request::new("message.send", data, ReplyTo::Nobody)
    }

    fn next(outbox: &mut Outbox) -> Option<String> {
        outbox.next().map(|request| request.data["client_id"].to_string())
    }

    #[test]
    fn a_retry_keeps_its_place() {
        let mut outbox = Outbox::default();
        outbox.push(send("cnv_1", "a"));
        outbox.push(send("cnv_1", "b"));
        let first = outbox.next().expect("a");
        assert!(outbox.next().is_none(), "b waits for a");
        outbox.again(first);
        let first = outbox.next().expect("a again");
        assert_eq!(first.data["client_id"], "a");
        outbox.done(&first);
        assert_eq!(next(&mut outbox).as_deref(), Some("\"b\""));
    }

    #[test]
    fn lanes_and_free_calls_do_not_wait_for_each_other() {
        let mut outbox = Outbox::default();
        outbox.push(send("cnv_1", "a"));
        outbox.push(send("cnv_2", "b"));
        outbox.push(Request::new("inbox", json!({}), ReplyTo::Nobody));
        assert_eq!((0..4).filter_map(|_| outbox.next()).count(), 3);
    }

    #[test]
    fn calls_that_nobody_waits_for_are_not_sent() {
        let mut outbox = Outbox::default();
        let (reply, answer) = oneshot::channel();
        outbox.push(Request { reply: ReplyTo::Caller(reply), ..send("cnv_1", "a") });
        outbox.push(send("cnv_1", "b"));
        drop(answer);
        assert_eq!(next(&mut outbox).as_deref(), Some("\"b\""));
    }
}
