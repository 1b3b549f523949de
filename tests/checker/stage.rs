//! What all actors of a run share, and what each shows of itself while it plays.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_client::Timeline;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::history::{At, History};
use crate::support::Account;

pub const PARTITIONS: i32 = 4;

/// What actors do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// All they can.
    Act,
    /// They ask for nothing new, and bring to an end what they began.
    Settle,
    /// They go home.
    End,
}

pub struct Stage {
    /// Host and port, as clients see them.
    pub gateways: Vec<String>,
    pub accounts: Vec<Account>,
    /// Everything that was created, for those who are no members too.
    pub places: Mutex<Vec<String>>,
    /// Of invitations.
    pub links: Mutex<Vec<String>>,
    pub began: Instant,
    pub phase: watch::Receiver<Phase>,
    pub http: reqwest::Client,
    /// By partition: when the newest message that reached somebody else was first asked for.
    flow: [AtomicU64; PARTITIONS as usize],
    /// How long each message took to each socket that it was news to.
    delays: Mutex<Vec<At>>,
    pub shown: Vec<Arc<Shown>>,
}

/// What can be seen of an actor.
#[derive(Default)]
pub struct Shown {
    record: Mutex<Record>,
    /// When the newest command was asked for that was decided.
    pub decided: AtomicU64,
    /// It lost its socket and does not come back.
    pub away: AtomicBool,
}

#[derive(Default)]
pub struct Record {
    pub history: History,
    pub places: HashMap<String, Place>,
    /// It has a socket that has caught up.
    pub online: bool,
    /// Commands without a final answer.
    pub open: usize,
}

/// What an actor knows of a conversation.
pub struct Place {
    pub timeline: Timeline<()>,
    /// The newest that is known of the own membership: at this position it was so.
    pub member: (i64, bool),
    pub last_seq: i64,
    pub created: bool,
    /// The newest that one has sent oneself.
    pub mine: Vec<i64>,
}

impl Default for Place {
    fn default() -> Self {
        let mut timeline = Timeline::new(true);
        timeline.follow(0);
        Self { timeline, member: (0, false), last_seq: 0, created: false, mine: Vec::new() }
    }
}

impl Place {
    /// At `position` one was a member, or not.
    pub fn learn(&mut self, position: i64, member: bool) {
        if position >= self.member.0 {
            self.member = (position, member);
        }
    }

    /// After which position events must be fetched.
    pub fn missing(&self) -> Option<i64> {
        self.timeline.missing().filter(|_| self.member.1).and_then(|after| i64::try_from(after).ok())
    }

    /// As [`crate::history::Ending::known`].
    pub fn known(&self) -> Option<i64> {
        let position = self.timeline.position().and_then(|position| i64::try_from(position).ok());
        position.filter(|_| self.member.1)
    }
}

impl Shown {
    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage {
    pub fn new(gateways: Vec<String>, accounts: Vec<Account>, phase: watch::Receiver<Phase>) -> Self {
        let shown = accounts.iter().map(|_| Arc::default()).collect();
        let http = reqwest::Client::builder().timeout(std::time::Duration::from_secs(4)).build().expect("a client");
        Self {
            gateways,
            accounts,
            places: Mutex::default(),
            links: Mutex::default(),
            began: Instant::now(),
            phase,
            http,
            flow: Default::default(),
            delays: Mutex::default(),
            shown,
        }
    }

    pub fn now(&self) -> At {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A text that tells when it was first asked for.
    pub fn text(&self, actor: usize, number: u64) -> String {
        format!("{actor}-{number} @{}", self.now())
    }

    /// Somebody got another's message, and it was `news`.
    pub fn arrived(&self, conversation: &str, text: &str, news: bool) {
        let asked = text.rsplit_once('@').and_then(|(_, at)| at.parse().ok()).unwrap_or(0);
        if news {
            self.delays.lock().unwrap_or_else(PoisonError::into_inner).push(self.now().saturating_sub(asked));
        }
        let partition = tidings::log::partition_of(conversation.as_bytes(), PARTITIONS);
        self.flow[usize::try_from(partition).unwrap_or(0)].fetch_max(asked, Ordering::Relaxed);
    }

    /// How long messages took, sorted.
    pub fn delays(&self) -> Vec<At> {
        let mut delays = std::mem::take(&mut *self.delays.lock().unwrap_or_else(PoisonError::into_inner));
        delays.sort_unstable();
        delays
    }

    /// What does not flow yet of what was asked for after `since`: nothing is left when every partition carries messages and everybody
    /// is answered.
    pub fn stuck(&self, since: At) -> Vec<String> {
        let partitions = self.flow.iter().enumerate().filter(|(_, at)| at.load(Ordering::Relaxed) <= since);
        let mut stuck: Vec<_> = partitions.map(|(n, _)| format!("partition {n}")).collect();
        for (n, shown) in self.shown.iter().enumerate() {
            if !shown.away.load(Ordering::Relaxed) && shown.decided.load(Ordering::Relaxed) <= since {
                stuck.push(format!("actor {n}"));
            }
        }
        stuck
    }

    /// Who still has something to bring to an end.
    pub fn busy(&self) -> Vec<String> {
        let mut busy = Vec::new();
        for (n, shown) in self.shown.iter().enumerate() {
            let record = shown.record();
            if shown.away.load(Ordering::Relaxed) {
                continue;
            }
            let missing = record.places.values().filter(|place| place.missing().is_some()).count();
            if !record.online || record.open > 0 || missing > 0 {
                busy.push(format!("actor {n} (online {}, {} open, {missing} gaps)", record.online, record.open));
            }
        }
        busy
    }
}
