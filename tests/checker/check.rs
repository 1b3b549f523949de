//! Whether a history is right. Pure: a history in, what is wrong with it out.

mod acknowledged;
mod delivered;
mod logs;
mod stored;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::history::{Event, History, Removed};

/// What must never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It was acknowledged and is not in the log, or not as told.
    AcknowledgedMissing,
    /// One message is in the log twice.
    Twice,
    /// A retry was told something else than the first try.
    AnswersDiffer,
    /// A position is missing or doubled.
    PositionGap,
    /// A seq is missing or doubled.
    SeqGap,
    /// Two members see different logs.
    LogsDiffer,
    /// `history` is not the messages of `events`.
    HistoryDiffers,
    /// A member has not got all, and could not learn of it.
    SilentGap,
    /// Somebody does not know that the membership has ended.
    LeftUnnoticed,
    /// A read pointer, or what follows from it, is wrong.
    Unread,
    /// It was delivered and is not in the log.
    NotInLog,
    /// Delivered to somebody who was no member then.
    ToOutsider,
    /// Online without a socket, or the other way round.
    Presence,
    /// The public streams are not the accepted journal.
    Streams,
    /// A journal is not whole.
    Journal,
    /// A message outlives its time.
    Overdue,
    /// A search does not find what is there, or finds what is not.
    Search,
    /// A rebuilt view is not the live one.
    Rebuild,
    /// Somebody was refused who did nothing wrong.
    Refused,
    /// Nothing is wrong any more, and yet it does not go on.
    Stuck,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    pub kind: Kind,
    pub text: String,
}

/// What is wrong so far.
#[derive(Default)]
pub struct Findings(Vec<Violation>);

impl Findings {
    fn add(&mut self, kind: Kind, text: impl Into<String>) {
        self.0.push(Violation { kind, text: text.into() });
    }

    fn require(&mut self, holds: bool, kind: Kind, text: impl FnOnce() -> String) {
        if !holds {
            self.add(kind, text());
        }
    }
}

/// Everything that is wrong with `history`.
pub fn check(history: &History) -> Vec<Violation> {
    let logs = Logs::of(history);
    let mut findings = Findings::default();
    logs::check(history, &logs, &mut findings);
    acknowledged::check(history, &logs, &mut findings);
    delivered::check(history, &logs, &mut findings);
    stored::check(history, &logs, &mut findings);
    for text in &history.refusals {
        findings.add(Kind::Refused, text);
    }
    for text in &history.stuck {
        findings.add(Kind::Stuck, text);
    }
    findings.0
}

/// The conversations as their logs say.
pub struct Logs<'a>(BTreeMap<&'a str, Log<'a>>);

/// One conversation.
pub struct Log<'a> {
    /// By position.
    events: BTreeMap<i64, &'a Event>,
    last_position: i64,
    last_seq: i64,
    memberships: HashMap<&'a str, Vec<Membership>>,
    /// Nobody who could read it is left: the texts are not known.
    sealed: bool,
    /// Positions of events that are no more.
    removed: BTreeSet<i64>,
    /// Removed messages, and who sent them.
    gone: BTreeMap<i64, &'a str>,
}

/// From the event that began it to the one that ended it.
#[derive(Debug)]
pub struct Membership {
    first: i64,
    /// None: it goes on.
    last: Option<i64>,
    /// The newest message when it began.
    seq: i64,
}

impl<'a> Logs<'a> {
    /// Of what several members see all counts; that they agree is checked apart.
    fn of(history: &'a History) -> Self {
        let mut seen: BTreeMap<&str, BTreeMap<i64, &Event>> = BTreeMap::new();
        for ((conversation, _), events) in &history.ending.logs {
            let log = seen.entry(conversation).or_default();
            for event in events {
                log.entry(event.position).or_insert(event);
            }
        }
        // What each of them removed for itself is known from the stream alone.
        for (conversation, log) in &mut seen {
            for event in history.ending.sealed.get(*conversation).into_iter().flatten() {
                log.entry(event.position).or_insert(event);
            }
        }
        let removed = |conversation: &str| history.ending.removed.get(conversation).map_or(&[][..], Vec::as_slice);
        let mut logs: BTreeMap<_, _> =
            seen.into_iter().map(|(id, events)| (id, Log::of(events, removed(id)))).collect();
        for (conversation, events) in &history.ending.sealed {
            let events = events.iter().map(|event| (event.position, event)).collect();
            logs.entry(conversation).or_insert_with(|| Log { sealed: true, ..Log::of(events, removed(conversation)) });
        }
        Self(logs)
    }

    fn get(&self, conversation: &str) -> Option<&Log<'a>> {
        self.0.get(conversation)
    }

    /// What the log has at `position`; with this `text` where nobody can tell what it was.
    fn event(&self, conversation: &str, position: i64, text: Option<&String>) -> Option<Event> {
        let log = self.get(conversation)?;
        let mut event = (*log.events.get(&position)?).clone();
        let of_message = matches!(event.kind.as_str(), "message.sent" | "message.edited");
        if log.sealed || of_message && event.text.is_none() {
            event.text = text.cloned();
        }
        Some(event)
    }
}

impl<'a> Log<'a> {
    fn of(events: BTreeMap<i64, &'a Event>, removed: &'a [Removed]) -> Self {
        let mut memberships: HashMap<&str, Vec<Membership>> = HashMap::new();
        // A removed message counted from the position that it was sent at.
        let mut sent: BTreeMap<i64, i64> =
            removed.iter().filter_map(|removed| Some((*removed.positions.first()?, removed.seq))).collect();
        sent.extend(events.values().filter(|event| event.kind == "message.sent").map(|e| (e.position, e.seq)));
        let last_position = events.keys().next_back().copied().unwrap_or(0);
        for event in events.values() {
            let last_seq = sent.range(..=event.position).next_back().map_or(0, |(_, seq)| *seq);
            for user in &event.users {
                let of_user = memberships.entry(user).or_default();
                match event.kind.as_str() {
                    "member.left" => {
                        if let Some(membership) = of_user.last_mut() {
                            membership.last.get_or_insert(event.position);
                        }
                    }
                    "conversation.created" | "member.joined" => {
                        of_user.push(Membership { first: event.position, last: None, seq: last_seq })
                    }
                    _ => {}
                }
            }
        }
        let last_seq = sent.values().next_back().copied().unwrap_or(0);
        let gone = removed.iter().map(|removed| (removed.seq, removed.sender.as_str())).collect();
        let removed = removed.iter().flat_map(|removed| removed.positions.iter().copied()).collect();
        Self { events, last_position, last_seq, memberships, sealed: false, removed, gone }
    }

    /// Each message by its seq, as it is after the last edit: mentions and text.
    fn messages(&self) -> BTreeMap<i64, (&'a [String], Option<&'a String>)> {
        let mut messages = BTreeMap::new();
        for event in
            self.events.values().filter(|event| matches!(event.kind.as_str(), "message.sent" | "message.edited"))
        {
            messages.insert(event.seq, (event.mentions.as_slice(), event.text.as_ref()));
        }
        messages
    }

    fn describe(&self, user: &str) -> String {
        format!(
            "{:?} of 1 to {}",
            self.memberships.get(user).map(Vec::as_slice).unwrap_or_default(),
            self.last_position
        )
    }

    fn membership_at(&self, user: &str, position: i64) -> Option<&Membership> {
        let all = self.memberships.get(user)?;
        all.iter().find(|m| m.first <= position && m.last.is_none_or(|last| position <= last))
    }

    /// The membership that goes on.
    fn present(&self, user: &str) -> Option<&Membership> {
        self.memberships.get(user)?.last().filter(|membership| membership.last.is_none())
    }
}
