//! What members have not read, counted from the public streams alone: no query of the views is used, and no counter.

use std::collections::{BTreeMap, HashMap};

use crate::codec::records::{ConversationEvent, Receipt};
use crate::domain::conversation::Event;
use crate::domain::{ConversationId, UserId};

/// What an entry of somebody's inbox counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The conversation's newest event.
    pub last_position: i64,
    /// Messages after the own read pointer.
    pub unread: i64,
    /// Those of them that mention one.
    pub mentions: i64,
}

/// One event or receipt, as far as it counts, with its place in the journal.
pub struct Item {
    place: (i32, i64),
    conversation: ConversationId,
    position: i64,
    what: What,
}

enum What {
    /// Whose pointers start at which message.
    Came(Vec<UserId>, i64),
    Went(Vec<UserId>),
    Sent {
        seq: i64,
        sender: UserId,
        mentions: Vec<String>,
    },
    Edited {
        seq: i64,
        mentions: Vec<String>,
    },
    Removed(Vec<(i64, UserId)>),
    Read(UserId, i64),
    /// It only takes its position, and tells the newest message.
    Other,
}

impl Item {
    /// Of an event of the timeline.
    pub fn of_event(record: &ConversationEvent) -> Self {
        let what = match record.event() {
            Some(Event::Created(created)) => What::Came(created.members.iter().map(|member| member.user).collect(), 0),
            Some(Event::Joined(joined)) => What::Came(joined.users, joined.read_seq),
            Some(Event::Left(left)) => What::Went(left.users),
            Some(Event::Sent(sent)) => What::Sent { seq: sent.seq, sender: record.actor, mentions: sent.mentions },
            Some(Event::Edited(edited)) => What::Edited { seq: edited.seq, mentions: edited.mentions },
            Some(Event::Deleted(deleted)) => {
                What::Removed(deleted.messages.iter().map(|message| (message.seq, message.sender)).collect())
            }
            _ => What::Other,
        };
        Self { place: (record.epoch, record.index), conversation: record.conversation, position: record.position, what }
    }

    /// Of a receipt.
    pub fn of_receipt(record: &Receipt) -> Self {
        Self {
            place: (record.epoch, record.index),
            conversation: record.conversation,
            position: 0,
            what: What::Read(record.user, record.read_seq),
        }
    }
}

#[derive(Default)]
struct Conversation {
    last_position: i64,
    last_seq: i64,
    /// Read pointers of present members.
    members: HashMap<UserId, i64>,
    /// Of messages that mention somebody.
    mentions: BTreeMap<i64, Vec<String>>,
}

impl Conversation {
    fn take(&mut self, position: i64, what: What) {
        self.last_position = self.last_position.max(position);
        match what {
            What::Came(users, read_seq) => self.members.extend(users.into_iter().map(|user| (user, read_seq))),
            What::Went(users) => self.members.retain(|user, _| !users.contains(user)),
            What::Sent { seq, sender, mentions } => {
                self.last_seq = self.last_seq.max(seq);
                self.read(sender, seq);
                self.mention(seq, mentions);
            }
            What::Edited { seq, mentions } => self.mention(seq, mentions),
            What::Removed(messages) => {
                for (seq, sender) in messages {
                    // Where `message.sent` is compacted away, this tells of it.
                    self.last_seq = self.last_seq.max(seq);
                    self.read(sender, seq);
                    self.mentions.remove(&seq);
                }
            }
            What::Read(user, seq) => self.read(user, seq),
            What::Other => {}
        }
    }

    fn read(&mut self, user: UserId, seq: i64) {
        if let Some(read) = self.members.get_mut(&user) {
            *read = (*read).max(seq);
        }
    }

    fn mention(&mut self, seq: i64, mentions: Vec<String>) {
        if mentions.is_empty() {
            self.mentions.remove(&seq);
        } else {
            self.mentions.insert(seq, mentions);
        }
    }

    fn counts(&self, user: UserId, read: i64) -> Counts {
        let name = user.to_string();
        let mentioned =
            |mentions: &Vec<String>| mentions.iter().any(|one| *one == name || matches!(one.as_str(), "all" | "here"));
        let after = self.mentions.range(read + 1..).filter(|(_, mentions)| mentioned(mentions));
        Counts {
            last_position: self.last_position,
            unread: self.last_seq - read,
            mentions: i64::try_from(after.count()).unwrap_or(i64::MAX),
        }
    }
}

/// By member and conversation, what `items` of one partition come to, in whatever order they are.
pub fn count(mut items: Vec<Item>) -> HashMap<(UserId, ConversationId), Counts> {
    items.sort_by_key(|item| item.place);
    let mut conversations: HashMap<ConversationId, Conversation> = HashMap::new();
    for item in items {
        conversations.entry(item.conversation).or_default().take(item.position, item.what);
    }
    let of = |(id, conversation): (ConversationId, Conversation)| {
        let each = conversation.members.iter().map(move |(user, read)| (*user, *read)).collect::<Vec<_>>();
        each.into_iter().map(move |(user, read)| ((user, id), conversation.counts(user, read)))
    };
    conversations.into_iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::conversation::{
        ConversationCreated, DeleteReason, MemberRole, MessageDeleted, MessageSent, RemovedMessage,
    };
    use crate::domain::policy::{ConversationKind, Role};
    use crate::domain::{Timestamp, UserId};

    const ADA: UserId = UserId::from_bytes([1; 16]);
    const BOB: UserId = UserId::from_bytes([2; 16]);

    fn event(position: i64, event: Event) -> Item {
        let mut record = ConversationEvent { actor: ADA, position, index: position, ..ConversationEvent::default() };
        record.set(event);
        Item::of_event(&record)
    }

    fn created() -> Item {
        let members = [ADA, BOB].map(|user| MemberRole { user, role: Role::Member }).to_vec();
        event(1, Event::Created(ConversationCreated { kind: ConversationKind::Group, name: None, members }))
    }

    fn sent(position: i64, seq: i64, mentions: &[&str]) -> Item {
        let mentions = mentions.iter().map(|one| (*one).to_owned()).collect();
        event(position, Event::Sent(MessageSent { mentions, ..MessageSent::new(seq, Uuid::nil()) }))
    }

    fn removed(position: i64, seq: i64) -> Item {
        let message =
            RemovedMessage { seq, sender: ADA, positions: vec![], at: Timestamp(0), client_id: None, thread: None };
        event(position, Event::Deleted(MessageDeleted { messages: vec![message], reason: DeleteReason::Author }))
    }

    fn of(items: Vec<Item>, user: UserId) -> (i64, i64) {
        let counts = count(items)[&(user, ConversationId::default())];
        (counts.unread, counts.mentions)
    }

    #[test]
    fn what_one_has_not_read_is_counted() {
        let items = || vec![created(), sent(2, 1, &[]), sent(3, 2, &["all"]), sent(4, 3, &[&BOB.to_string(), "all"])];
        assert_eq!((of(items(), ADA), of(items(), BOB)), ((0, 0), (3, 2)));
        let read = Receipt {
            event_id: Default::default(),
            tenant: Default::default(),
            conversation: Default::default(),
            user: BOB,
            read_seq: 2,
            delivered_seq: 2,
            occurred_at: Timestamp(0),
            causation: Default::default(),
            traceparent: None,
            epoch: 0,
            partition: 0,
            index: 9,
            r#type: "receipt.read".into(),
        };
        let mut read_some = items();
        read_some.insert(0, Item::of_receipt(&read));
        assert_eq!(of(read_some, BOB), (1, 1), "in the order of the journal, not of the streams");
    }

    #[test]
    fn a_removed_message_counts_the_same_where_it_is_compacted_away() {
        let whole = vec![created(), sent(2, 1, &["all"]), sent(3, 2, &[]), removed(4, 1)];
        let compacted = vec![created(), sent(3, 2, &[]), removed(4, 1)];
        assert_eq!(of(whole, BOB), (2, 0));
        assert_eq!(of(compacted, BOB), (2, 0));
        let last = vec![created(), sent(2, 1, &[]), removed(4, 2)];
        assert_eq!(of(last, BOB), (2, 0));
    }
}
