//! What people asked, what they were answered and what came unasked; and what the server says of it all at the end. Plain data: the
//! actors write it, the checker reads it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Milliseconds since the run began.
pub type At = u64;

/// Everything known of one run.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub commands: Vec<Command>,
    pub pushes: Vec<Push>,
    pub pages: Vec<Page>,
    /// `inbox.changed` and the answers of `inbox`, as they came.
    pub entries: Vec<Entry>,
    /// Sockets closed with a code that says not to come back.
    pub refusals: Vec<String>,
    /// What did not go on, or did not come to an end, though nothing was wrong any more.
    pub stuck: Vec<String>,
    pub ending: Ending,
}

/// One intention of a person. It may have been sent several times, over several ways.
#[derive(Clone, Debug)]
pub struct Command {
    pub user: String,
    pub what: What,
    pub tries: Vec<Try>,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The conversation is known once it was answered.
    Create {
        members: Vec<String>,
    },
    Send {
        conversation: String,
        client_id: String,
        text: String,
    },
    /// Of another message, as it is then.
    Forward {
        conversation: String,
        client_id: String,
    },
    Read {
        conversation: String,
        seq: i64,
    },
    Add {
        conversation: String,
        users: Vec<String>,
    },
    Remove {
        conversation: String,
        users: Vec<String>,
    },
    Join {
        conversation: String,
    },
    /// With a link, which contains the conversation.
    Accept,
    Leave {
        conversation: String,
    },
    Edit {
        conversation: String,
        seq: i64,
        text: String,
    },
    Delete {
        conversation: String,
        seq: i64,
    },
    /// Only for oneself.
    Hide {
        conversation: String,
        seq: i64,
    },
    /// A reaction or a pin, or taking it back: what makes an event of `kind` about a message.
    Mark {
        conversation: String,
        kind: &'static str,
        seq: i64,
        emoji: Option<String>,
    },
    /// Names, roles: what makes an event of `kind` about the conversation.
    Change {
        conversation: String,
        kind: &'static str,
    },
    /// Settings, drafts, delivered pointers: what is only of the one who wants it.
    Own {
        conversation: String,
    },
    /// Of which nothing stays.
    Passing,
}

/// One sending of a command.
#[derive(Clone, Debug)]
pub struct Try {
    pub asked: At,
    /// None: nothing came before the socket ended or patience did.
    pub answer: Option<(At, Answer)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Ok { conversation: Option<String>, position: i64, seq: i64, duplicate: bool },
    Refused { code: String },
}

/// A durable event, of whatever way it came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    pub conversation: String,
    pub position: i64,
    pub kind: String,
    pub actor: String,
    /// Of the message that it is, or is about, else 0.
    pub seq: i64,
    pub client_id: Option<String>,
    pub text: Option<String>,
    pub mentions: Vec<String>,
    /// Who became or ceased to be a member by it.
    pub users: Vec<String>,
    pub emoji: Option<String>,
    /// Which messages it removed.
    pub removed: Vec<i64>,
}

/// An event that the server sent unasked.
#[derive(Clone, Debug)]
pub struct Push {
    pub user: String,
    pub at: At,
    pub event: Event,
}

/// An answer of `events`.
#[derive(Clone, Debug)]
pub struct Page {
    pub user: String,
    pub conversation: String,
    pub after: i64,
    pub events: Vec<Event>,
    pub last_position: i64,
}

/// What an inbox says of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub user: String,
    pub conversation: String,
    pub last_position: i64,
    pub last_seq: i64,
    pub read_seq: i64,
    pub unread: i64,
    pub mentions_unread: i64,
    pub left: bool,
}

/// A removed message: the events that held it are no more.
#[derive(Clone, Debug, PartialEq)]
pub struct Removed {
    pub seq: i64,
    pub sender: String,
    pub positions: Vec<i64>,
}

/// Seq and text.
pub type Message = (i64, Option<String>);

/// What the server says when all is quiet again, and what each person knows by then without having been told to look.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// All of `events`, by (conversation, member).
    pub logs: BTreeMap<(String, String), Vec<Event>>,
    /// Every conversation as the public stream has it, and so without texts.
    pub sealed: BTreeMap<String, Vec<Event>>,
    /// What was removed of every conversation, as the public stream has it.
    pub removed: BTreeMap<String, Vec<Removed>>,
    /// All of `history`, by (conversation, member).
    pub messages: BTreeMap<(String, String), Vec<Message>>,
    /// The last page of `inbox` of everybody.
    pub inbox: Vec<Entry>,
    /// Up to where each person has every event, by (conversation, person); none: it knows that it is no member.
    pub known: BTreeMap<(String, String), Option<i64>>,
    /// Who has a socket that has caught up.
    pub online: BTreeSet<String>,
    /// Messages that are there though their time is over.
    pub overdue: Vec<String>,
    /// What a search does not find, or finds though it should not.
    pub searched: Vec<String>,
    /// Everybody's status, as a stranger is told it.
    pub shown: BTreeMap<String, String>,
    pub streams: Vec<Stream>,
    /// Journals that cannot be read from their beginning, though nothing in them is old enough to be trimmed.
    pub torn: Vec<String>,
    /// By projection: the rows before and after a rebuild.
    pub views: BTreeMap<String, (Vec<String>, Vec<String>)>,
}

/// Key and value.
pub type Keyed = (String, Option<Vec<u8>>);

/// One partition of a public stream, as it should be by the accepted journal, and as it is.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    pub name: String,
    pub accepted: Vec<Keyed>,
    pub public: Vec<Keyed>,
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(text).collect()
}

impl Event {
    /// Reads what is pushed and what `events` lists; none for what has no position.
    pub fn read(frame: &Value) -> Option<Self> {
        let data = &frame["data"];
        let members = data["members"].as_array().into_iter().flatten().filter_map(|member| text(&member["user"]));
        Some(Self {
            conversation: text(&frame["conversation"])?,
            position: frame["position"].as_i64()?,
            kind: text(&frame["type"])?,
            actor: text(&frame["actor"])?,
            seq: data["seq"].as_i64().unwrap_or(0),
            client_id: text(&data["client_id"]),
            text: text(&data["text"]),
            mentions: texts(&data["mentions"]),
            users: texts(&data["users"]).into_iter().chain(members).collect(),
            emoji: text(&data["emoji"]),
            removed: data["seqs"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect(),
        })
    }
}

impl Entry {
    /// Reads a conversation of an inbox.
    pub fn read(user: &str, data: &Value) -> Option<Self> {
        let number = |name: &str| data[name].as_i64();
        Some(Self {
            user: user.to_owned(),
            conversation: text(&data["conversation"])?,
            last_position: number("last_position")?,
            last_seq: number("last_seq")?,
            read_seq: number("read_seq")?,
            unread: number("unread")?,
            mentions_unread: number("mentions_unread")?,
            left: data["left"] == true,
        })
    }
}

impl Answer {
    /// Reads the outcome of a command.
    pub fn read(outcome: &Result<Value, Value>) -> Self {
        match outcome {
            Ok(data) => Self::Ok {
                conversation: text(&data["conversation"]),
                position: data["position"].as_i64().unwrap_or(0),
                seq: data["seq"].as_i64().unwrap_or(0),
                duplicate: data["duplicate"] == true,
            },
            Err(error) => Self::Refused { code: text(&error["code"]).unwrap_or_default() },
        }
    }
}

impl What {
    pub fn conversation(&self) -> Option<&str> {
        match self {
            Self::Create { .. } | Self::Accept | Self::Passing => None,
            Self::Send { conversation, .. }
            | Self::Forward { conversation, .. }
            | Self::Read { conversation, .. }
            | Self::Add { conversation, .. }
            | Self::Remove { conversation, .. }
            | Self::Join { conversation }
            | Self::Leave { conversation }
            | Self::Edit { conversation, .. }
            | Self::Delete { conversation, .. }
            | Self::Hide { conversation, .. }
            | Self::Mark { conversation, .. }
            | Self::Change { conversation, .. }
            | Self::Own { conversation } => Some(conversation),
        }
    }
}

impl Command {
    /// The accepted answers, in the order in which they were asked for.
    pub fn accepted(&self) -> impl Iterator<Item = (&Try, &Answer)> {
        let answered = self.tries.iter().filter_map(|sending| Some((sending, &sending.answer.as_ref()?.1)));
        answered.filter(|(_, answer)| matches!(answer, Answer::Ok { .. }))
    }
}

impl History {
    /// Puts what one person wrote to what others did.
    pub fn add(&mut self, other: Self) {
        self.commands.extend(other.commands);
        self.pushes.extend(other.pushes);
        self.pages.extend(other.pages);
        self.entries.extend(other.entries);
        self.refusals.extend(other.refusals);
        self.stuck.extend(other.stuck);
    }
}
