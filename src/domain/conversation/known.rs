//! What is known of single messages and sends. In memory only what commands named lately, and what the view may lack; the rest is looked up.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use uuid::Uuid;

use super::Recorded;
use super::command::{Command, Input};
use super::event::{Event, MessageSent, Reaction};
use crate::domain::{Timestamp, UserId};

/// Single messages and sends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// Sends that a retry could repeat.
    pub sent: HashMap<(UserId, Uuid), Sent>,
    /// Messages that were named. One that was looked up and is not here was removed.
    pub messages: HashMap<i64, Message>,
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
    /// How many reacted with what.
    pub reactions: BTreeMap<String, i64>,
    /// What single users reacted with: everybody, or those who were looked up.
    pub reacted: HashMap<UserId, BTreeSet<String>>,
    /// Whether `reacted` is of everybody, as the message was seen from its beginning.
    pub complete: bool,
    /// The newest event that changed it: once the view has that, it can be forgotten.
    pub touched: i64,
}

/// What must be looked up in the view before a command can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// Whether this user sent this client id.
    Send(UserId, Uuid),
    /// A message.
    Message(i64),
    /// A message, and what this user reacted with.
    Reactions(i64, UserId),
}

impl Known {
    /// What must be looked up to decide `input`, as it is not here. A client id that memory is sure to know, made since `recent_since`, needs
    /// none.
    pub fn lookup(&self, input: &Input, recent_since: Timestamp) -> Option<Lookup> {
        let message = |seq: i64| (!self.messages.contains_key(&seq)).then_some(Lookup::Message(seq));
        match &input.command {
            Command::Send(send) => {
                let old = Timestamp::of_uuid(send.client_id)? < recent_since;
                let of = (input.actor, send.client_id);
                (old && !self.sent.contains_key(&of)).then_some(Lookup::Send(of.0, of.1))
            }
            Command::Edit(edit) => message(edit.seq),
            Command::Delete(of) | Command::Pin(of) => message(of.seq),
            Command::React(Reaction { seq, .. }) | Command::Unreact(Reaction { seq, .. }) => {
                let known = |message: &Message| message.complete || message.reacted.contains_key(&input.actor);
                (!self.messages.get(seq).is_some_and(known)).then_some(Lookup::Reactions(*seq, input.actor))
            }
            _ => None,
        }
    }

    /// Applies what `decide` recorded.
    pub fn evolve(&mut self, recorded: &Recorded) {
        let position = recorded.position;
        match &recorded.event {
            Event::Sent(sent) => {
                let told = Sent { seq: sent.seq, position, at: recorded.at };
                self.sent.insert((recorded.actor, sent.client_id), told);
                self.messages.insert(sent.seq, Message::of(sent, recorded));
            }
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
            _ => {}
        }
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
                    for (user, own) in found.reacted {
                        entry.get_mut().reacted.entry(user).or_insert(own);
                    }
                }
                Entry::Occupied(_) => {}
            }
        }
    }

    /// Forgets what the view has, which has all before `position`: messages, and sends whose client id was made before `before`.
    pub fn forget(&mut self, before: Timestamp, position: i64) {
        self.messages.retain(|_, message| message.touched >= position);
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

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: UserId = UserId::from_bytes([1; 16]);
    const EVE: UserId = UserId::from_bytes([2; 16]);

    fn recorded(position: i64, event: Event) -> Recorded {
        Recorded { actor: ADA, at: Timestamp(0), position, event }
    }

    fn sent(seq: i64) -> Event {
        let (client_id, mentions) = (Uuid::from_u128(seq as u128), Vec::new());
        Event::Sent(MessageSent { seq, client_id, text: None, reply_to: None, thread: None, mentions })
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
