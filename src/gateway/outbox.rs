//! What waits to be written to one socket. Bounded in bytes: when it is full, what is not durable is dropped first, then the
//! socket is closed with `slow_consumer`. Empty it costs a hundred bytes.

mod budget;

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::Notify;

use super::closing::Closing;

pub use budget::Budget;

/// What a frame costs beside its bytes, so that very many tiny ones are bounded too.
const FRAME_OVERHEAD_BYTES: usize = 64;
/// So much less each socket may have waiting while all together have too much.
const CROWDED: usize = 16;
/// A queue longer than this gives its memory back when it is empty.
const KEPT_CAPACITY: usize = 32;

/// Whether a frame may be dropped for want of room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// The client counts on it: replies, durable events, `inbox.changed`.
    Durable,
    /// Typing, presence, receipts of others.
    Passing,
}

/// What the writer does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Write these, then ask again.
    Frames(Vec<Utf8Bytes>),
    /// Send a WebSocket ping.
    Ping,
    /// Say `bye` and close.
    Close(Closing),
}

#[derive(Debug)]
struct Queued {
    frame: Utf8Bytes,
    worth: Worth,
    /// What it counts for in the limit.
    cost: usize,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Queued>,
    bytes: usize,
    ping: bool,
    /// Replies that are still to come.
    owed: u32,
    /// To be closed so when none is owed any more.
    finishing: Option<Closing>,
    closing: Option<Closing>,
}

/// A locked queue. What it holds more or less is counted when it is let go.
struct Locked<'a> {
    state: MutexGuard<'a, State>,
    before: usize,
    budget: &'a Budget,
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.budget.change(self.before, self.state.bytes);
    }
}

/// The queue of one socket.
#[derive(Debug)]
pub struct Outbox {
    state: Mutex<State>,
    changed: Notify,
    /// For those who wait for room.
    drained: Notify,
    limit_bytes: usize,
    budget: Arc<Budget>,
}

impl Outbox {
    /// An empty one that holds at most `limit_bytes`, and less when `budget` is used up.
    pub fn new(limit_bytes: usize, budget: Arc<Budget>) -> Self {
        Self { state: Mutex::default(), changed: Notify::new(), drained: Notify::new(), limit_bytes, budget }
    }

    fn lock(&self) -> Locked<'_> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { before: state.bytes, state, budget: &self.budget }
    }

    /// What it may hold now.
    fn limit(&self) -> usize {
        if self.budget.used() <= self.budget.limit { self.limit_bytes } else { self.limit_bytes / CROWDED }
    }

    /// Queues `frame`. Never waits; see the module for what happens when there is no room.
    pub fn push(&self, frame: Utf8Bytes, worth: Worth) {
        let mut state = self.lock();
        if state.closing.is_some() {
            return;
        }
        let cost = cost(&frame);
        let limit = self.limit();
        if state.bytes + cost > limit {
            if worth == Worth::Passing {
                dropped(1);
                return;
            }
            state.drop_passing();
            if state.bytes + cost > limit {
                state.close(Closing::SlowConsumer);
                drop(state);
                self.changed.notify_one();
                self.drained.notify_waiters();
                return;
            }
        }
        state.bytes += cost;
        state.frames.push_back(Queued { frame, worth, cost });
        drop(state);
        self.changed.notify_one();
    }

    /// Queues a durable `frame` once less than half of the room is taken, or none for a very large one. For what a client asked for itself: a
    /// page of messages must not make it a slow consumer.
    pub async fn push_when_room(&self, frame: Utf8Bytes) {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            // Listens first, so that what drains between the look and the wait is not missed.
            drained.as_mut().enable();
            if self.push_if_room(&frame) {
                return;
            }
            drained.await;
        }
    }

    /// Whether there is nothing left to wait for.
    fn push_if_room(&self, frame: &Utf8Bytes) -> bool {
        // A very large one counts for half of the room, so that what is pushed behind it still has some.
        let cost = cost(frame).min(self.limit_bytes / 2);
        let mut state = self.lock();
        if state.closing.is_some() {
            return true;
        }
        if state.bytes + cost > self.limit_bytes / 2 {
            return false;
        }
        state.bytes += cost;
        state.frames.push_back(Queued { frame: frame.clone(), worth: Worth::Durable, cost });
        drop(state);
        self.changed.notify_one();
        true
    }

    /// Asks the writer for a WebSocket ping.
    pub fn ping(&self) {
        self.lock().ping = true;
        self.changed.notify_one();
    }

    /// Queues `frame` before all that waits: the reply to `hello`, which pushes may have overtaken.
    pub fn push_first(&self, frame: Utf8Bytes) {
        let mut state = self.lock();
        if state.closing.is_none() {
            let cost = cost(&frame);
            state.bytes += cost;
            state.frames.push_front(Queued { frame, worth: Worth::Durable, cost });
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Ends the socket. What is queued already is still written first, unless the client is too slow for it. The first reason counts.
    pub fn close(&self, closing: Closing) {
        let mut state = self.lock();
        if state.closing.is_none() {
            state.close(closing);
        }
        drop(state);
        self.changed.notify_one();
        self.drained.notify_waiters();
    }

    /// One more reply is to come; [`Outbox::paid`] is to be called after it, or instead.
    pub fn owe(&self) {
        self.lock().owed += 1;
    }

    /// One reply is owed no more.
    pub fn paid(&self) {
        let mut state = self.lock();
        state.owed = state.owed.saturating_sub(1);
        let finished = state.finishing.filter(|_| state.owed == 0);
        drop(state);
        if let Some(closing) = finished {
            self.close(closing);
        }
    }

    /// Ends the socket once no reply is owed. What is pushed until then is still written.
    pub fn finish(&self, closing: Closing) {
        let mut state = self.lock();
        state.finishing.get_or_insert(closing);
        let is_idle = state.owed == 0;
        drop(state);
        if is_idle {
            self.close(closing);
        }
    }

    /// Whether nothing more may be asked.
    pub fn is_ending(&self) -> bool {
        let state = self.lock();
        state.closing.is_some() || state.finishing.is_some()
    }

    /// The socket is gone: nothing will be written any more.
    pub fn abandon(&self) {
        let mut state = self.lock();
        state.frames = VecDeque::new();
        state.bytes = 0;
        state.closing.get_or_insert(Closing::Draining);
        drop(state);
        self.drained.notify_waiters();
    }

    /// Why it is closing, if it is.
    pub fn closing(&self) -> Option<Closing> {
        self.lock().closing
    }

    /// What waits to be written, in bytes.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// What to write next: at most about `max_bytes` of frames. Waits until there is something.
    pub async fn next(&self, max_bytes: usize) -> Next {
        loop {
            let next = self.lock().take(max_bytes);
            if let Some(next) = next {
                self.drained.notify_waiters();
                return next;
            }
            self.changed.notified().await;
        }
    }

    /// Waits until the socket is to be closed or is gone. For anybody, unlike the writer's [`Outbox::next`] and [`Outbox::closed`].
    pub async fn ended(&self) {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if self.closing().is_some() {
                return;
            }
            drained.await;
        }
    }

    /// Waits until the socket is to be closed, for the writer that is stuck in writing.
    pub async fn closed(&self) -> Closing {
        loop {
            if let Some(closing) = self.closing() {
                return closing;
            }
            self.changed.notified().await;
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let bytes = self.lock().bytes;
        self.budget.change(bytes, 0);
    }
}

impl State {
    fn close(&mut self, closing: Closing) {
        if closing == Closing::SlowConsumer {
            self.frames = VecDeque::new();
            self.bytes = 0;
        }
        metrics::counter!("tidings_gateway_closes_total", "reason" => closing.reason()).increment(1);
        self.closing = Some(closing);
    }

    fn drop_passing(&mut self) {
        let before = self.frames.len();
        self.frames.retain(|queued| queued.worth == Worth::Durable);
        self.bytes = self.frames.iter().map(|queued| queued.cost).sum();
        dropped(before - self.frames.len());
    }

    fn take(&mut self, max_bytes: usize) -> Option<Next> {
        if std::mem::take(&mut self.ping) {
            return Some(Next::Ping);
        }
        let mut taken = Vec::new();
        let mut bytes = 0;
        while bytes < max_bytes {
            let Some(queued) = self.frames.pop_front() else { break };
            bytes += queued.cost;
            taken.push(queued.frame);
        }
        self.bytes -= bytes;
        if self.frames.is_empty() && self.frames.capacity() > KEPT_CAPACITY {
            self.frames = VecDeque::new();
        }
        if taken.is_empty() { self.closing.map(Next::Close) } else { Some(Next::Frames(taken)) }
    }
}

fn cost(frame: &Utf8Bytes) -> usize {
    frame.len() + FRAME_OVERHEAD_BYTES
}

fn dropped(frames: usize) {
    metrics::counter!("tidings_gateway_outbox_dropped_total").increment(frames as u64);
}

#[cfg(test)]
mod tests;
