//! What is known of single messages and sends. In memory only what commands named lately, and what the view may lack; the rest is looked up.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use uuid::Uuid;

use super::Recorded;
use super::command::{Command, EditMessage, Input, SendMessage};
use super::event::{Event, InThread, Located, MessageSent, PollRules, Reaction, Vote};
use super::report::{Report, ReportMessage, Reports, Resolution};
use crate::domain::{Timestamp, UserId};

/// Single messages and sends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// Sends that a retry could repeat.
    pub sent: HashMap<(UserId, Uuid), Sent>,
    /// Messages that were named. One that was looked up and is not here was removed.
    pub messages: HashMap<i64, Message>,
    /// Threads that were named, by the message that each is of. One that was looked up and is not here is empty.
    pub threads: HashMap<i64, Thread>,
    /// What was reported of messages that were named, which may be removed since.
    pub reports: HashMap<i64, Reports>,
}

/// What a send was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Number of the message.
    pub seq: i64,
    /// Number of its event.
    pub position: i64,
    /// Time of its event.
    pub at: Timestamp,
}

/// A message that is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who sent it.
    pub sender: UserId,
    /// Of `message.sent`.
    pub position: i64,
    /// As the client named it.
    pub client_id: Uuid,
    /// Of `message.sent`.
    pub at: Timestamp,
    /// User ids, `all` or `here`.
    pub mentions: Vec<String>,
    /// Of each `message.edited`, oldest first.
    pub edits: Vec<i64>,
    /// Of the newest edit.
    pub fingerprint: Option<Bytes>,
    /// Where it stands, if it is in a thread.
    pub thread: Option<InThread>,
    /// Whether it repeats another's.
    pub forwarded: bool,
    /// Until when its location moves.
    pub live_until: Option<Timestamp>,
    /// When it is removed.
    pub expires_at: Option<Timestamp>,
    /// If it is a poll.
    pub poll: Option<Poll>,
    /// What single users voted for, as far as `reacted` goes.
    pub votes: HashMap<UserId, Vec<i32>>,
    /// How many reacted with what.
    pub reactions: BTreeMap<String, i64>,
    /// What single users reacted with: everybody, or those who were looked up.
    pub reacted: HashMap<UserId, BTreeSet<String>>,
    /// Whether `reacted` is of everybody, as the message was seen from its beginning.
    pub complete: bool,
    /// The newest event that changed it: once the view has that, it can be forgotten.
    pub touched: i64,
}

/// A poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// How votes are counted.
    pub rules: PollRules,
    /// Whether it was ended.
    pub closed: bool,
}

/// The messages that answer one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thread {
    /// Number of the newest.
    pub last: i64,
    /// How far single users have read: everybody, or those who were looked up.
    pub readers: HashMap<UserId, i64>,
    /// Whether `readers` is of everybody, as the thread was seen from its beginning.
    pub complete: bool,
    /// As of [`Message::touched`].
    pub touched: i64,
}

/// What must be looked up in the view before a command can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// Whether this user sent this client id.
    Send(UserId, Uuid),
    /// A message.
    Message(i64),
    /// A message, and what this user reacted with and voted for.
    Part(i64, UserId),
    /// A thread with the message that it is of, and how far this user has read it.
    Thread(i64, UserId),
    /// What was reported of a message, and by this user.
    Reports(i64, UserId),
}

impl Known {
    /// What must be looked up to decide `input`, as it is not here. A client id that memory is sure to know, made since `recent_since`, needs
    /// none.
    pub fn lookups(&self, input: &Input, recent_since: Timestamp) -> Vec<Lookup> {
        let one = match &input.command {
            Command::Send(send) => return self.lookups_of_send(input.actor, send, recent_since),
            Command::Edit(EditMessage { seq, .. }) | Command::Locate(Located { seq, .. }) => self.message(*seq),
            Command::Report(ReportMessage { seq, .. }) => {
                return self.message(*seq).into_iter().chain(self.reports(*seq, input.actor)).collect();
            }
            Command::Resolve(Resolution { seq, .. }) => self.reports(*seq, input.actor),
            Command::Delete(of) if input.moderator => {
                return self.message(of.seq).into_iter().chain(self.reports(of.seq, input.actor)).collect();
            }
            Command::Delete(of) | Command::Expire(of) | Command::Pin(of) | Command::ClosePoll(of) => {
                self.message(of.seq)
            }
            Command::React(Reaction { seq, .. })
            | Command::Unreact(Reaction { seq, .. })
            | Command::Vote(Vote { seq, .. }) => {
                let known = |message: &Message| message.complete || message.reacted.contains_key(&input.actor);
                (!self.messages.get(seq).is_some_and(known)).then_some(Lookup::Part(*seq, input.actor))
            }
            Command::ReadThread(InThread { thread, .. }) => {
                let known = |thread: &Thread| thread.complete || thread.readers.contains_key(&input.actor);
                (!self.threads.get(thread).is_some_and(known)).then_some(Lookup::Thread(*thread, input.actor))
            }
            _ => None,
        };
        one.into_iter().collect()
    }

    fn message(&self, seq: i64) -> Option<Lookup> {
        (!self.messages.contains_key(&seq)).then_some(Lookup::Message(seq))
    }

    /// A message seen from its beginning has the reports that were seen, or none.
    fn reports(&self, seq: i64, user: UserId) -> Option<Lookup> {
        let known = match self.reports.get(&seq) {
            Some(reports) => reports.know(user),
            None => self.messages.get(&seq).is_some_and(|message| message.complete),
        };
        (!known).then_some(Lookup::Reports(seq, user))
    }

    fn lookups_of_send(&self, sender: UserId, send: &SendMessage, recent_since: Timestamp) -> Vec<Lookup> {
        let made = Timestamp::of_uuid(send.client_id);
        let old = made.is_some_and(|made| made < recent_since) && !self.sent.contains_key(&(sender, send.client_id));
        let unknown = |root: &i64| !(self.threads.contains_key(root) && self.messages.contains_key(root));
        let thread = send.thread.filter(unknown).map(|root| Lookup::Thread(root, sender));
        old.then_some(Lookup::Send(sender, send.client_id)).into_iter().chain(thread).collect()
    }

    /// Applies what `decide` recorded.
    pub fn evolve(&mut self, recorded: &Recorded) {
        let position = recorded.position;
        match &recorded.event {
            Event::Sent(sent) => {
                let told = Sent { seq: sent.seq, position, at: recorded.at };
                self.sent.insert((recorded.actor, sent.client_id), told);
                self.messages.insert(sent.seq, Message::of(sent, recorded));
                if let Some(in_thread) = sent.in_thread() {
                    self.answer(in_thread, recorded);
                }
            }
            Event::ThreadRead(InThread { thread, thread_seq }) => {
                if let Some(read) = self.threads.get_mut(thread).and_then(|thread| thread.read_by(recorded.actor)) {
                    *read = *thread_seq;
                }
            }
            Event::Located(located) => self.change(located.seq, position, |message| {
                message.edits.push(position);
                message.live_until = Some(located.live_until);
            }),
            Event::Voted(vote) => self.change(vote.seq, position, |message| {
                if message.complete || message.reacted.contains_key(&recorded.actor) {
                    message.votes.insert(recorded.actor, vote.options.clone());
                }
            }),
            Event::PollClosed(of) => self.change(of.seq, position, |message| {
                if let Some(poll) = &mut message.poll {
                    poll.closed = true;
                }
            }),
            Event::Edited(edited) => self.change(edited.seq, position, |message| {
                message.edits.push(position);
                message.fingerprint = Some(edited.fingerprint.clone());
                message.mentions.clone_from(&edited.mentions);
            }),
            Event::Deleted(deleted) => {
                for removed in &deleted.messages {
                    self.messages.remove(&removed.seq);
                }
            }
            Event::Reacted(Reaction { seq, emoji }) => self.change(*seq, position, |message| {
                *message.reactions.entry(emoji.clone()).or_default() += 1;
                if let Some(own) = message.reacted_by(recorded.actor) {
                    own.insert(emoji.clone());
                }
            }),
            Event::Unreacted(Reaction { seq, emoji }) => self.change(*seq, position, |message| {
                if let Some(count) = message.reactions.get_mut(emoji) {
                    *count -= 1;
                    message.reactions.retain(|_, count| *count > 0);
                }
                if let Some(own) = message.reacted_by(recorded.actor) {
                    own.remove(emoji);
                }
            }),
            Event::Reported(report) => self.report(recorded, report),
            Event::Resolved(resolution) => {
                if let Some(reports) = self.reports.get_mut(&resolution.seq) {
                    reports.resolve(*resolution);
                }
            }
            _ => {}
        }
    }

    fn report(&mut self, recorded: &Recorded, report: &Report) {
        let complete = self.messages.get(&report.seq).is_some_and(|message| message.complete);
        let reports = match self.reports.entry(report.seq) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) if complete => entry.insert(Reports { complete, ..Reports::default() }),
            // To be looked up when it is named.
            Entry::Vacant(_) => return,
        };
        reports.report(recorded.actor, recorded.at, report);
    }

    /// A message came into a thread, which its sender has read up to there.
    fn answer(&mut self, InThread { thread, thread_seq }: InThread, recorded: &Recorded) {
        let complete = thread_seq == 1;
        let thread = self.threads.entry(thread).or_insert(Thread { complete, ..Thread::default() });
        (thread.last, thread.touched) = (thread_seq, recorded.position);
        thread.readers.insert(recorded.actor, thread_seq);
    }

    fn change(&mut self, seq: i64, position: i64, change: impl FnOnce(&mut Message)) {
        if let Some(message) = self.messages.get_mut(&seq) {
            message.touched = position;
            change(message);
        }
    }

    /// Takes what was looked up, brought up to date. What is here already is as new.
    pub fn recall(&mut self, found: Self) {
        for (send, told) in found.sent {
            self.sent.entry(send).or_insert(told);
        }
        for (seq, found) in found.messages {
            match self.messages.entry(seq) {
                Entry::Vacant(entry) => drop(entry.insert(found)),
                Entry::Occupied(mut entry) if !entry.get().complete => {
                    let message = entry.get_mut();
                    for (user, own) in found.votes {
                        if !message.reacted.contains_key(&user) {
                            message.votes.insert(user, own);
                        }
                    }
                    for (user, own) in found.reacted {
                        message.reacted.entry(user).or_insert(own);
                    }
                }
                Entry::Occupied(_) => {}
            }
        }
        for (seq, found) in found.reports {
            match self.reports.entry(seq) {
                Entry::Vacant(entry) => drop(entry.insert(found)),
                Entry::Occupied(mut entry) if !entry.get().complete => {
                    for (user, said) in found.said {
                        entry.get_mut().said.entry(user).or_insert(said);
                    }
                }
                Entry::Occupied(_) => {}
            }
        }
        for (root, found) in found.threads {
            match self.threads.entry(root) {
                Entry::Vacant(entry) => drop(entry.insert(found)),
                Entry::Occupied(mut entry) if !entry.get().complete => {
                    for (user, read) in found.readers {
                        entry.get_mut().readers.entry(user).or_insert(read);
                    }
                }
                Entry::Occupied(_) => {}
            }
        }
    }

    /// Forgets what the view has, which has all before `position`: messages, and sends whose client id was made before `before`.
    pub fn forget(&mut self, before: Timestamp, position: i64) {
        self.messages.retain(|_, message| message.touched >= position);
        self.threads.retain(|_, thread| thread.touched >= position);
        // As long as the message: of one that is here from its beginning, reports that are not here are taken for none.
        self.reports.retain(|seq, _| self.messages.contains_key(seq));
        self.sent.retain(|(_, client_id), sent| {
            sent.position >= position || Timestamp::of_uuid(*client_id).is_some_and(|made| made >= before)
        });
    }
}

impl Message {
    fn of(sent: &MessageSent, recorded: &Recorded) -> Self {
        Self {
            sender: recorded.actor,
            position: recorded.position,
            client_id: sent.client_id,
            at: recorded.at,
            mentions: sent.mentions.clone(),
            edits: Vec::new(),
            fingerprint: None,
            thread: sent.in_thread(),
            forwarded: sent.forward.is_some(),
            live_until: sent.live_until,
            expires_at: sent.expires_at,
            poll: sent.poll.map(|rules| Poll { rules, closed: false }),
            votes: HashMap::new(),
            reactions: BTreeMap::new(),
            reacted: HashMap::new(),
            complete: true,
            touched: recorded.position,
        }
    }

    /// What `user` reacted with, if that is known.
    fn reacted_by(&mut self, user: UserId) -> Option<&mut BTreeSet<String>> {
        if self.complete { Some(self.reacted.entry(user).or_default()) } else { self.reacted.get_mut(&user) }
    }
}

impl Thread {
    /// How far `user` has read, if that is known.
    fn read_by(&mut self, user: UserId) -> Option<&mut i64> {
        if self.complete { Some(self.readers.entry(user).or_default()) } else { self.readers.get_mut(&user) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: UserId = UserId::from_bytes([1; 16]);
    const EVE: UserId = UserId::from_bytes([2; 16]);

    fn recorded(position: i64, event: Event) -> Recorded {
        Recorded { actor: ADA, at: Timestamp(0), position, event }
    }

    fn sent(seq: i64) -> Event {
        Event::Sent(MessageSent::new(seq, Uuid::from_u128(seq as u128)))
    }

    fn react(seq: i64) -> Event {
        Event::Reacted(Reaction { seq, emoji: "👍".into() })
    }

    fn has_reacted(known: &Known, user: UserId) -> Option<bool> {
        Some(!known.messages.get(&1)?.reacted.get(&user)?.is_empty())
    }

    #[test]
    fn a_message_seen_from_its_beginning_needs_no_look() {
        let mut known = Known::default();
        known.evolve(&recorded(1, sent(1)));
        known.evolve(&recorded(2, react(1)));
        assert_eq!((has_reacted(&known, ADA), has_reacted(&known, EVE)), (Some(true), None));
        assert!(known.messages[&1].complete);
    }

    #[test]
    fn what_is_looked_up_is_brought_past_what_the_view_lacks() {
        // The view has the message, and asked who reacted with what: neither had.
        let mut found = Known::default();
        found.evolve(&recorded(1, sent(1)));
        let message = found.messages.get_mut(&1).expect("sent");
        message.complete = false;
        message.reacted = [(ADA, BTreeSet::new())].into();
        found.evolve(&recorded(2, react(1)));
        found.evolve(&recorded(3, sent(2)));
        let mut known = Known::default();
        known.recall(found.clone());
        assert_eq!(has_reacted(&known, ADA), Some(true));
        // Later another is looked up, and the first is as it was.
        found.messages.get_mut(&1).expect("sent").reacted = [(EVE, BTreeSet::new()), (ADA, BTreeSet::new())].into();
        known.recall(found);
        assert_eq!((has_reacted(&known, ADA), has_reacted(&known, EVE)), (Some(true), Some(false)));
    }

    #[test]
    fn only_what_the_view_has_is_forgotten() {
        let mut known = Known::default();
        for position in 1..=3 {
            known.evolve(&recorded(position, sent(position)));
        }
        known.evolve(&recorded(4, react(1)));
        known.forget(Timestamp(i64::MAX), 3);
        let mut left: Vec<_> = known.messages.keys().copied().collect();
        left.sort_unstable();
        assert_eq!(left, [1, 3], "the reaction to the first is not in the view yet");
        assert_eq!(known.sent.values().map(|sent| sent.seq).collect::<Vec<_>>(), [3]);
        known.forget(Timestamp(i64::MAX), i64::MAX);
        assert_eq!(known, Known::default());
    }
}
