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
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// Room for exactly ten frames of ten bytes.
    fn outbox() -> Outbox {
        Outbox::new(10 * (10 + FRAME_OVERHEAD_BYTES), Budget::new(usize::MAX))
    }

    fn frame(n: usize) -> Utf8Bytes {
        format!("{n:010}").into()
    }

    fn all(outbox: &Outbox) -> Vec<Utf8Bytes> {
        match outbox.next(usize::MAX).now_or_never() {
            Some(Next::Frames(frames)) => frames,
            _ => Vec::new(),
        }
    }

    #[test]
    fn frames_leave_in_the_order_they_came() {
        let outbox = outbox();
        for n in 0..5 {
            outbox.push(frame(n), Worth::Durable);
        }
        outbox.push_first(frame(9));
        assert_eq!(all(&outbox), [9, 0, 1, 2, 3, 4].map(frame));
        assert_eq!(outbox.next(1).now_or_never(), None);
    }

    #[test]
    fn a_batch_is_bounded() {
        let outbox = outbox();
        for n in 0..5 {
            outbox.push(frame(n), Worth::Durable);
        }
        let two = 2 * (10 + FRAME_OVERHEAD_BYTES);
        assert_eq!(outbox.next(two).now_or_never(), Some(Next::Frames([0, 1].map(frame).to_vec())));
    }

    #[test]
    fn what_is_not_durable_is_dropped_first() {
        let outbox = outbox();
        for n in 0..10 {
            outbox.push(frame(n), if n % 2 == 0 { Worth::Passing } else { Worth::Durable });
        }
        outbox.push(frame(10), Worth::Passing);
        outbox.push(frame(11), Worth::Durable);
        assert_eq!(outbox.closing(), None);
        assert_eq!(all(&outbox), [1, 3, 5, 7, 9, 11].map(frame));
    }

    #[test]
    fn a_full_one_closes_the_socket() {
        let outbox = outbox();
        for n in 0..10 {
            outbox.push(frame(n), Worth::Durable);
        }
        outbox.push(frame(10), Worth::Passing);
        assert_eq!(outbox.closing(), None);
        outbox.push(frame(11), Worth::Durable);
        assert_eq!(outbox.next(1).now_or_never(), Some(Next::Close(Closing::SlowConsumer)));
        outbox.push(frame(12), Worth::Durable);
        assert_eq!(outbox.next(1).now_or_never(), Some(Next::Close(Closing::SlowConsumer)));
    }

    #[test]
    fn what_was_queued_before_an_orderly_close_is_written() {
        let outbox = outbox();
        outbox.push(frame(0), Worth::Durable);
        outbox.close(Closing::Draining);
        outbox.close(Closing::TokenExpired);
        assert_eq!(outbox.next(1).now_or_never(), Some(Next::Frames(vec![frame(0)])));
        assert_eq!(outbox.next(1).now_or_never(), Some(Next::Close(Closing::Draining)));
    }

    #[tokio::test]
    async fn what_was_asked_for_waits_for_room_instead_of_closing() {
        let outbox = outbox();
        for n in 0..9 {
            outbox.push(frame(n), Worth::Durable);
        }
        let waiting = outbox.push_when_room("x".repeat(5_000).into());
        tokio::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(all(&outbox).len(), 9);
        assert!(waiting.as_mut().now_or_never().is_some());
        assert_eq!(all(&outbox).len(), 1);
        assert_eq!(outbox.closing(), None);
    }

    #[tokio::test]
    async fn who_waits_for_room_of_a_closed_socket_is_let_go() {
        let outbox = outbox();
        outbox.push(frame(1), Worth::Durable);
        let waiting = outbox.push_when_room("x".repeat(5_000).into());
        tokio::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        outbox.abandon();
        assert!(waiting.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn the_writer_is_woken() {
        let outbox = std::sync::Arc::new(outbox());
        let writer = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.next(1).await }
        });
        tokio::task::yield_now().await;
        outbox.push(frame(1), Worth::Durable);
        assert_eq!(writer.await.ok(), Some(Next::Frames(vec![frame(1)])));
    }

    #[test]
    fn when_all_hold_too_much_each_may_hold_less() {
        let budget = Budget::new(1_000);
        let frame = || Utf8Bytes::from("x".repeat(500 - FRAME_OVERHEAD_BYTES));
        let (first, second) = (Outbox::new(1_600, budget.clone()), Outbox::new(1_600, budget.clone()));
        first.push(frame(), Worth::Durable);
        second.push(frame(), Worth::Durable);
        first.push(frame(), Worth::Durable);
        assert_eq!((budget.used(), first.closing(), second.closing()), (1_500, None, None));
        second.push(frame(), Worth::Durable);
        assert_eq!((budget.used(), second.closing()), (1_000, Some(Closing::SlowConsumer)));
        // There is room again.
        first.push(frame(), Worth::Durable);
        assert_eq!((budget.used(), first.closing()), (1_500, None));
        drop(first.next(usize::MAX).now_or_never());
        assert_eq!(budget.used(), 0);
        second.abandon();
        first.push(frame(), Worth::Durable);
        drop(first);
        assert_eq!(budget.used(), 0);
    }
}
