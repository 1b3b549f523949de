//! The protocol's shapes. Every field but the names is optional, unknown ones are ignored, and `null` is as good
//! as absent: a server that knows more or less than this page is not an error.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// `null` is read as the default, as an absent field is.
pub(crate) fn nullable<'de, T, D>(input: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::<T>::deserialize(input)?.unwrap_or_default())
}

/// A message. A removed one has only `conversation`, `seq` and `deleted`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Message {
    /// The conversation it is in.
    pub conversation: String,
    /// Its number there.
    pub seq: u64,
    /// The position of its `message.sent`.
    pub position: Option<u64>,
    /// Who wrote it.
    pub sender: Option<String>,
    /// The sender's id for it.
    pub client_id: Option<String>,
    /// When it was accepted, RFC 3339.
    pub at: Option<String>,
    /// The text.
    pub text: Option<String>,
    /// Files.
    #[serde(deserialize_with = "nullable")]
    pub attachments: Vec<Attachment>,
    /// The `seq` it answers.
    pub reply_to: Option<u64>,
    /// The `seq` that its thread starts with.
    pub thread: Option<u64>,
    /// User ids, or `all`, `here`.
    #[serde(deserialize_with = "nullable")]
    pub mentions: Vec<String>,
    /// When it was last edited, RFC 3339.
    pub edited_at: Option<String>,
    /// It was removed.
    #[serde(deserialize_with = "nullable")]
    pub deleted: bool,
    /// When it expires, RFC 3339.
    pub expires_at: Option<String>,
    /// A place.
    pub location: Option<Location>,
    /// A card: `name`, `phones`, `emails`, `user`.
    pub contact: Option<serde_json::Value>,
    /// A poll, with how it stands: `question`, `options`, `multiple`, `closes_at`, `closed`, `voters`, `mine`.
    pub poll: Option<serde_json::Value>,
    /// Whose message it repeats: `author` and `at`.
    pub forwarded: Option<serde_json::Value>,
    /// Its number in its thread.
    pub thread_seq: Option<u64>,
    /// How many messages its own thread has.
    #[serde(deserialize_with = "nullable")]
    pub replies: u64,
    /// By emoji.
    #[serde(deserialize_with = "nullable")]
    pub reactions: BTreeMap<String, Reaction>,
}

/// The messages that answer one.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Thread {
    /// The `seq` that it starts with.
    pub thread: u64,
    /// That message.
    pub root: Message,
    /// Messages that are there.
    pub replies: u64,
    /// The `seq` of the newest.
    pub last_seq: u64,
    /// And its number in the thread.
    pub last_thread_seq: u64,
    /// Whether this user takes part.
    pub following: bool,
    /// How far this user has read.
    pub read_thread_seq: u64,
    /// What it has not read.
    pub unread: u64,
}

/// One emoji under a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Reaction {
    /// How many users.
    pub count: u64,
    /// This user among them.
    pub mine: bool,
}

/// A file of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// `att_…`.
    pub id: String,
    /// The file's name.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// The media type.
    #[serde(rename = "type", deserialize_with = "nullable")]
    pub media_type: String,
    /// In bytes.
    #[serde(deserialize_with = "nullable")]
    pub size_bytes: u64,
    /// In pixels.
    pub width: Option<u64>,
    /// In pixels.
    pub height: Option<u64>,
    /// Of sound or video, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Where it can be had.
    pub url: Option<String>,
}

/// A place.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Location {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lon: f64,
    /// Radius of certainty, in metres.
    pub accuracy_m: Option<f64>,
    /// Updated until then, RFC 3339.
    pub live_until: Option<String>,
}

/// A conversation as its member sees it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Conversation {
    /// `cnv_…`.
    pub conversation: String,
    /// `direct`, `group` or `channel`.
    #[serde(deserialize_with = "nullable")]
    pub kind: String,
    /// Absent for a direct one.
    pub name: Option<String>,
    /// What it is about.
    pub topic: Option<String>,
    /// Its picture.
    pub picture: Option<String>,
    /// `all` or `since_join`: what new members see of what was said before they came.
    pub history: Option<String>,
    /// How many members.
    #[serde(deserialize_with = "nullable")]
    pub members_count: u64,
    /// The newest durable event.
    #[serde(deserialize_with = "nullable")]
    pub last_position: u64,
    /// The newest message.
    #[serde(deserialize_with = "nullable")]
    pub last_seq: u64,
    /// That message.
    pub last_message: Option<Message>,
    /// This user has read to here.
    #[serde(deserialize_with = "nullable")]
    pub read_seq: u64,
    /// `last_seq - read_seq`.
    #[serde(deserialize_with = "nullable")]
    pub unread: u64,
    /// Unread mentions of this user.
    #[serde(deserialize_with = "nullable")]
    pub mentions_unread: u64,
    /// RFC 3339.
    pub muted_until: Option<String>,
    /// Pinned by this user.
    #[serde(deserialize_with = "nullable")]
    pub pinned: bool,
    /// Archived by this user.
    #[serde(deserialize_with = "nullable")]
    pub archived: bool,
    /// `all`, `mentions` or `none`: what this user is notified of.
    pub notify: Option<String>,
    /// What this user has begun to write.
    pub draft: Option<String>,
    /// This user's role.
    pub role: Option<String>,
    /// When this user joined, RFC 3339.
    pub joined_at: Option<String>,
    /// The membership ended.
    #[serde(deserialize_with = "nullable")]
    pub left: bool,
}

/// A member of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Member {
    /// `usr_…`.
    pub user: String,
    /// `owner`, `admin`, `member` or `guest`.
    #[serde(deserialize_with = "nullable")]
    pub role: String,
    /// The member has read to here, where the server tells.
    pub read_seq: Option<u64>,
}

/// Whether a user is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Presence {
    /// `usr_…`.
    pub user: String,
    /// `online`, `away` or `offline`.
    #[serde(deserialize_with = "nullable")]
    pub status: String,
    /// RFC 3339; absent where privacy hides it.
    pub last_seen: Option<String>,
}

/// To whom a user shows itself: `everyone`, `contacts` or `nobody`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Privacy {
    /// Whether it is online.
    pub presence: String,
    /// When it was last seen.
    pub last_seen: String,
}

/// How far the members of a conversation have got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Receipts {
    /// Of the message.
    pub seq: u64,
    /// How many have read it.
    pub read: u64,
    /// How many it has reached.
    pub delivered: u64,
    /// How many there are.
    pub members: u64,
    /// Each of them; absent where they are many.
    pub users: Option<Vec<Pointers>>,
}

/// How far a member has got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Pointers {
    /// `usr_…`.
    pub user: String,
    /// The newest message that it has read.
    pub read_seq: u64,
    /// The newest that has reached it.
    pub delivered_seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_and_unknown_fields_are_fine() {
        let text = r#"{"conversation":"cnv_1","seq":3,"text":null,"mentions":null,"reactions":null,"deleted":null,
            "attachments":null,"sparkles":{"deep":[1]}}"#;
        let message: Message = serde_json::from_str(text).expect("tolerant");
        assert_eq!((message.seq, message.deleted), (3, false));
        let entry: Conversation =
            serde_json::from_str(r#"{"conversation":"cnv_1","left":true,"x":1}"#).expect("tolerant");
        assert!(entry.left);
    }
}
