//! One conversation as the chat knows it.

use std::collections::{BTreeMap, HashMap};

use tidings_client::{Body, Conversation, Event, Member, Message};

/// Somebody who says nothing more is taken to have stopped typing, in milliseconds.
const TYPING_FOR_MS: u64 = 7_000;

/// A line of the timeline.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Message(Box<Message>),
    /// Something that happened: who, what, to whom.
    Notice {
        actor: Option<String>,
        at: String,
        what: &'static str,
        users: Vec<String>,
        name: Option<String>,
    },
}

impl Item {
    /// When, RFC 3339; empty when that is not known.
    pub(crate) fn at(&self) -> &str {
        match self {
            Self::Message(message) => message.at.as_deref().unwrap_or_default(),
            Self::Notice { at, .. } => at,
        }
    }
}

/// A message of this user that has no place yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) client_id: String,
    pub(crate) text: String,
    pub(crate) failed: Option<String>,
}

/// The state of one conversation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chat {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
    /// The other one, in a direct conversation.
    pub(crate) peer: Option<String>,
    pub(crate) members_count: u64,
    pub(crate) last_seq: u64,
    pub(crate) read_seq: u64,
    /// The greatest position heard of.
    pub(crate) position: u64,
    /// At the top of the list.
    pub(crate) pinned: bool,
    /// Of the last activity, RFC 3339: the list's order.
    pub(crate) active_at: String,
    /// By (seq, position): a notice stands after the message that was newest when it came.
    pub(crate) items: BTreeMap<(u64, u64), Item>,
    pub(crate) outgoing: Vec<Outgoing>,
    /// Others have read to here.
    pub(crate) read_by: HashMap<String, u64>,
    /// Until when (in the model's milliseconds) a user counts as typing.
    pub(crate) typing: BTreeMap<String, u64>,
    /// It was shown once: followed, and its messages are kept.
    pub(crate) open: bool,
    pub(crate) loading: bool,
    /// The first message is here.
    pub(crate) complete: bool,
}

impl Chat {
    pub(crate) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    pub(crate) fn unread(&self) -> u64 {
        self.last_seq.saturating_sub(self.read_seq)
    }

    pub(crate) fn is_direct(&self) -> bool {
        self.kind == "direct"
    }

    /// The oldest message here.
    pub(crate) fn oldest_seq(&self) -> Option<u64> {
        self.items.values().find_map(|item| match item {
            Item::Message(message) => Some(message.seq),
            Item::Notice { .. } => None,
        })
    }

    /// The newest message here.
    pub(crate) fn newest_seq(&self) -> u64 {
        self.items.last_key_value().map_or(0, |((seq, _), _)| *seq)
    }

    /// How many others have read to `seq`.
    pub(crate) fn readers(&self, seq: u64) -> usize {
        self.read_by.values().filter(|read| **read >= seq).count()
    }

    /// The inbox entry is the server's word, but never takes back what came later.
    pub(crate) fn entry(&mut self, entry: &Conversation) {
        self.kind.clone_from(&entry.kind);
        if entry.last_position >= self.position {
            self.name.clone_from(&entry.name);
            self.members_count = entry.members_count;
        }
        self.position = self.position.max(entry.last_position);
        self.last_seq = self.last_seq.max(entry.last_seq);
        self.read_seq = self.read_seq.max(entry.read_seq);
        self.pinned = entry.pinned;
        let last_at = entry.last_message.as_ref().and_then(|message| message.at.clone());
        if let Some(at) = last_at.or_else(|| entry.joined_at.clone()) {
            self.touch(&at);
        }
    }

    fn touch(&mut self, at: &str) {
        if at > self.active_at.as_str() {
            self.active_at = at.to_owned();
        }
    }

    /// A page of history.
    pub(crate) fn history(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.last_seq = self.last_seq.max(message.seq);
            self.items.insert((message.seq, 0), Item::Message(Box::new(message)));
        }
    }

    pub(crate) fn members(&mut self, members: &[Member], me: &str) {
        for member in members.iter().filter(|member| member.user != me) {
            if let Some(seq) = member.read_seq {
                self.read(&member.user, seq);
            }
            if self.is_direct() {
                self.peer = Some(member.user.clone());
            }
        }
    }

    fn read(&mut self, user: &str, seq: u64) {
        let read = self.read_by.entry(user.to_owned()).or_default();
        *read = seq.max(*read);
    }

    /// An event of this conversation. Twice is as once.
    pub(crate) fn event(&mut self, event: &Event, me: &str, now_ms: u64) {
        let newer = event.position.is_some_and(|position| position > self.position);
        self.position = self.position.max(event.position.unwrap_or(0));
        // Counted once, however often it comes.
        let count = |users: &[String]| if newer { users.len() as u64 } else { 0 };
        match event.body() {
            Body::MessageSent(message) => self.sent(message, me),
            Body::MessageEdited { seq, text, edited_at, .. } => {
                if let Some(Item::Message(message)) = self.items.get_mut(&(seq, 0))
                    && !message.deleted
                {
                    message.text = Some(text);
                    message.edited_at = edited_at.or_else(|| event.at.clone());
                }
            }
            Body::MessageDeleted { seqs, .. } => seqs.into_iter().for_each(|seq| self.deleted(seq)),
            Body::ConversationCreated { kind, name, members, members_count } => {
                self.kind = kind;
                self.name = name;
                self.members_count = members_count;
                self.members(&members, me);
                self.notice(event, "created the conversation", Vec::new(), None);
            }
            Body::ConversationUpdated { name: Some(name) } => {
                self.name = Some(name.clone());
                self.notice(event, "renamed it to", Vec::new(), Some(name));
            }
            Body::MemberJoined { users } => {
                self.members_count += count(&users);
                let alone = users.as_slice() == event.actor.as_slice();
                let (what, users) = if alone { ("joined", Vec::new()) } else { ("added", users) };
                self.notice(event, what, users, None);
            }
            Body::MemberLeft { users, reason } => {
                self.read_by.retain(|user, _| !users.contains(user));
                self.typing.retain(|user, _| !users.contains(user));
                self.members_count = self.members_count.saturating_sub(count(&users));
                let alone = reason == "left" || reason == "erased";
                let (what, users) = if alone { ("left", Vec::new()) } else { ("removed", users) };
                self.notice(event, what, users, None);
            }
            Body::ReceiptRead { user, seq } if user == me => self.read_seq = self.read_seq.max(seq),
            Body::ReceiptRead { user, seq } => self.read(&user, seq),
            Body::Typing { user, active: true } if user != me => {
                self.typing.insert(user, now_ms + TYPING_FOR_MS);
            }
            Body::Typing { user, .. } => drop(self.typing.remove(&user)),
            _ => {}
        }
    }

    fn sent(&mut self, message: Box<Message>, me: &str) {
        if let Some(at) = &message.at {
            self.touch(at);
        }
        self.last_seq = self.last_seq.max(message.seq);
        if let Some(sender) = message.sender.clone() {
            self.typing.remove(&sender);
            if sender == me {
                // Sending reads; and what had no place yet has one now.
                self.read_seq = self.read_seq.max(message.seq);
                self.outgoing.retain(|out| Some(&out.client_id) != message.client_id.as_ref());
            } else {
                self.read(&sender, message.seq);
                if self.is_direct() {
                    self.peer = Some(sender);
                }
            }
        }
        // A history that was loaded before knows of edits that this does not.
        if self.open {
            self.items.entry((message.seq, 0)).or_insert(Item::Message(message));
        }
    }

    fn deleted(&mut self, seq: u64) {
        if let Some(Item::Message(message)) = self.items.get_mut(&(seq, 0)) {
            let conversation = std::mem::take(&mut message.conversation);
            **message = Message { conversation, seq, deleted: true, at: message.at.take(), ..Message::default() };
        }
    }

    fn notice(&mut self, event: &Event, what: &'static str, users: Vec<String>, name: Option<String>) {
        let at = event.at.clone().unwrap_or_default();
        self.touch(&at);
        let Some(position) = event.position.filter(|_| self.open) else { return };
        let item = Item::Notice { actor: event.actor.clone(), at, what, users, name };
        self.items.entry((self.newest_seq(), position)).or_insert(item);
    }
}
