//! One connection taking part in a run.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::driver::{Connection, Event, Target};
use crate::payload::Tag;
use crate::stats::Stats;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Others are still connecting: listen.
    SetUp,
    /// Send.
    Run,
    /// Send no more, go on listening.
    Drain,
    /// Close.
    Done,
}

/// When a client sends its next message.
pub enum Pace {
    Never,
    /// As soon as the last one is acknowledged.
    AfterAck,
    /// As soon as the last one has reached everyone.
    AfterAll(Rc<Everyone>),
    /// At fixed times, whatever the server does; the first one after `offset`.
    Every {
        interval: Duration,
        offset: Duration,
    },
}

/// Tells a group's senders when their message has reached all its receivers.
pub struct Everyone {
    receivers: u32,
    missing: std::cell::RefCell<HashMap<u32, u32>>,
    turns: HashMap<u32, Notify>,
}

impl Everyone {
    pub fn new(senders: impl Iterator<Item = u32>, receivers: u32) -> Everyone {
        let turns = senders.map(|s| (s, Notify::new())).collect();
        Everyone { receivers, missing: Default::default(), turns }
    }

    fn sent(&self, sender: u32) {
        self.missing.borrow_mut().insert(sender, self.receivers);
    }

    fn reached_one(&self, sender: u32) {
        if let Some(left) = self.missing.borrow_mut().get_mut(&sender) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.turns[&sender].notify_one();
            }
        }
    }
}

pub struct Client {
    pub id: u32,
    pub conn: Connection,
    /// Where this client sends to, if it does.
    pub target: Option<Target>,
    pub pace: Pace,
    /// Whom to tell about deliveries, in a group whose senders wait for them.
    pub everyone: Option<Rc<Everyone>>,
    pub size: usize,
    pub stats: Rc<Stats>,
}

impl Client {
    /// Takes part until the phase is [`Phase::Done`] or the connection breaks.
    pub async fn run(mut self, phase: watch::Receiver<Phase>) {
        if self.take_part(phase).await.is_err() {
            self.stats.on_disconnect();
        }
        self.conn.ws.close().await;
    }

    async fn take_part(&mut self, mut phase: watch::Receiver<Phase>) -> Result<()> {
        let (mut out, mut events) = (Vec::new(), Vec::new());
        let mut last_seen: HashMap<u32, u32> = HashMap::new();
        let mut seq = 0;
        let mut sending = false;
        let mut due: Option<Instant> = None;
        let turn = match &self.pace {
            Pace::AfterAll(everyone) => Some(everyone.clone()),
            _ => None,
        };
        loop {
            tokio::select! {
                frame = self.conn.ws.recv() => {
                    self.conn.session.receive(&frame?, &mut out, &mut events);
                    for event in events.drain(..) {
                        if self.note(event, &mut last_seen) && sending {
                            self.send(&mut seq, self.stats.now(), &mut out);
                        }
                    }
                }
                _ = phase.changed() => match *phase.borrow_and_update() {
                    Phase::SetUp => {}
                    Phase::Run => {
                        sending = true;
                        match self.pace {
                            Pace::Never => {}
                            Pace::Every { offset, .. } => due = Some(Instant::now() + offset),
                            _ => self.send(&mut seq, self.stats.now(), &mut out),
                        }
                    }
                    Phase::Drain => {
                        sending = false;
                        due = None;
                    }
                    Phase::Done => return Ok(()),
                },
                _ = until(due) => {
                    // Messages are stamped with the time they were due, so a generator
                    // or server that falls behind shows up as latency.
                    let Pace::Every { interval, .. } = self.pace else { unreachable!("only this pace has due times") };
                    let now = Instant::now();
                    while let Some(at) = due.filter(|at| *at <= now) {
                        let late = (now - at).as_nanos() as u64;
                        self.send(&mut seq, self.stats.now().saturating_sub(late), &mut out);
                        due = Some(at + interval);
                    }
                }
                _ = my_turn(turn.as_deref(), self.id) => {
                    if sending {
                        self.send(&mut seq, self.stats.now(), &mut out);
                    }
                }
            }
            if !out.is_empty() {
                self.conn.ws.send_all(&mut out).await?;
            }
        }
    }

    fn send(&mut self, seq: &mut u32, at: u64, out: &mut Vec<String>) {
        let Some(target) = &self.target else { return };
        let tag = Tag { run: self.stats.run, sender: self.id, seq: *seq, at };
        *seq += 1;
        self.stats.on_send(tag);
        if let Pace::AfterAll(everyone) = &self.pace {
            everyone.sent(self.id);
        }
        self.conn.session.send(target, tag, &tag.body(self.size), out);
    }

    /// Counts an event; true if this client may send its next message because of it.
    fn note(&self, event: Event, last_seen: &mut HashMap<u32, u32>) -> bool {
        let goes_on = matches!(self.pace, Pace::AfterAck);
        match event {
            Event::Ack(tag) if tag.run == self.stats.run => {
                self.stats.on_ack(tag);
                goes_on
            }
            // A group may echo a message to its sender: not a delivery.
            Event::Deliver(tag) if tag.run == self.stats.run && tag.sender != self.id => {
                self.stats.on_deliver(tag);
                if last_seen.insert(tag.sender, tag.seq).is_some_and(|last| tag.seq <= last) {
                    self.stats.on_out_of_order();
                }
                if let Some(everyone) = &self.everyone {
                    everyone.reached_one(tag.sender);
                }
                false
            }
            Event::Reject => {
                self.stats.on_reject();
                goes_on
            }
            _ => false,
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn my_turn(everyone: Option<&Everyone>, id: u32) {
    match everyone.and_then(|e| e.turns.get(&id)) {
        Some(turn) => turn.notified().await,
        None => std::future::pending().await,
    }
}
