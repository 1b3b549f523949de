//! A typed method for each command, for whatever can call.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Error;
use crate::event::Event;
use crate::report::ReportsPage;
use crate::search::{Query, SearchPage};
use crate::types::{Conversation, Message, Presence, Privacy, Receipts, Thread, nullable};

/// Something that can send a command and get its answer.
pub trait Call: Sync {
    /// Sends a command of any type, and waits for `data` of its `ok`.
    fn call(&self, kind: &str, data: Value) -> impl Future<Output = Result<Value, Error>> + Send;
}

/// A new id for a send or a create: a UUIDv7, so that its age can be told.
pub fn new_client_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A message to send.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewMessage {
    /// Where to.
    pub conversation: String,
    /// Names this message for 24 hours: the same id again is the same message.
    pub client_id: String,
    /// The text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// `att_…` ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<String>,
    /// The `seq` it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<u64>,
    /// The `seq` that its thread starts with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<u64>,
    /// User ids, or `all`, `here`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<String>,
    /// Removed after this time, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    /// `lat`, `lon`, `accuracy_m`, `live_until`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Value>,
    /// `name`, `phones`, `emails`, `user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<Value>,
    /// `question`, `options`, `multiple`, `closes_at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll: Option<Value>,
    /// `conversation` and `seq` of the message to repeat, and then nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<Value>,
}

impl NewMessage {
    /// A text under a new id.
    pub fn text(conversation: &str, text: &str) -> Self {
        Self {
            conversation: conversation.to_owned(),
            client_id: new_client_id(),
            text: Some(text.to_owned()),
            ..Self::default()
        }
    }
}

/// Where a message went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Sent {
    /// Its number among the messages.
    pub seq: u64,
    /// Its number among the events.
    pub position: u64,
    /// When, RFC 3339.
    pub at: String,
    /// It had been accepted before.
    #[serde(deserialize_with = "nullable")]
    pub duplicate: bool,
}

/// Where a change went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Placed {
    /// The conversation; empty where the command named it.
    #[serde(deserialize_with = "nullable")]
    pub conversation: String,
    /// The event's number, or the newest when nothing had to change.
    #[serde(deserialize_with = "nullable")]
    pub position: u64,
    /// It was so already.
    #[serde(deserialize_with = "nullable")]
    pub duplicate: bool,
}

/// Which page of the inbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InboxQuery {
    /// `listed`, pinned ones first and then the newest change first, or `id`, where nothing moves from page to page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// Only archived ones, or only others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
    /// Of the page before, in the same order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// At most 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A page of the inbox.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct InboxPage {
    /// Newest first.
    pub conversations: Vec<Conversation>,
    /// For the next page; not a cursor for `hello`.
    pub cursor: Option<String>,
    /// There are more.
    #[serde(deserialize_with = "nullable")]
    pub has_more: bool,
}

/// A page of messages.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HistoryPage {
    /// Oldest first after `after_seq`, else newest first.
    pub messages: Vec<Message>,
    /// There are more.
    #[serde(deserialize_with = "nullable")]
    pub has_more: bool,
}

/// A page of threads.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ThreadsPage {
    /// The newest message first.
    pub threads: Vec<Thread>,
    /// There are more.
    #[serde(deserialize_with = "nullable")]
    pub has_more: bool,
}

/// A page of durable events.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct EventsPage {
    /// Oldest first. A position up to the last one that is absent was removed.
    pub events: Vec<Event>,
    /// The conversation's newest.
    #[serde(deserialize_with = "nullable")]
    pub last_position: u64,
}

/// Each command as a method. Refusals are [`Error::Server`].
pub trait Commands: Call {
    /// Calls, and reads the answer as `T`.
    fn call_as<T: DeserializeOwned>(&self, kind: &str, data: Value) -> impl Future<Output = Result<T, Error>> + Send {
        async move { T::deserialize(self.call(kind, data).await?).map_err(|error| Error::shape(kind, error)) }
    }

    /// Asks for a sign of life.
    fn ping(&self) -> impl Future<Output = Result<(), Error>> + Send {
        async move { self.call("ping", json!({})).await.map(drop) }
    }

    /// The one conversation with another user; again gives the same.
    fn create_direct(&self, user: &str) -> impl Future<Output = Result<Placed, Error>> + Send {
        let data = json!({"kind": "direct", "members": [user], "client_id": new_client_id()});
        self.call_as("conversation.create", data)
    }

    /// A group under a new id.
    fn create_group(&self, name: &str, members: &[&str]) -> impl Future<Output = Result<Placed, Error>> + Send {
        let data = json!({"kind": "group", "name": name, "members": members, "client_id": new_client_id()});
        self.call_as("conversation.create", data)
    }

    /// A channel under a new id.
    fn create_channel(&self, name: &str, members: &[&str]) -> impl Future<Output = Result<Placed, Error>> + Send {
        let data = json!({"kind": "channel", "name": name, "members": members, "client_id": new_client_id()});
        self.call_as("conversation.create", data)
    }

    /// Adds at most 1,000 users.
    fn add_members(&self, conversation: &str, users: &[&str]) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("member.add", json!({"conversation": conversation, "users": users}))
    }

    /// Removes at most 1,000 users.
    fn remove_members(&self, conversation: &str, users: &[&str]) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("member.remove", json!({"conversation": conversation, "users": users}))
    }

    /// Joins a conversation that is open to this user.
    fn join(&self, conversation: &str) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("conversation.join", json!({"conversation": conversation}))
    }

    /// Leaves.
    fn leave(&self, conversation: &str) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("conversation.leave", json!({"conversation": conversation}))
    }

    /// Sends a text under a new id.
    fn send_text(&self, conversation: &str, text: &str) -> impl Future<Output = Result<Sent, Error>> + Send {
        let message = NewMessage::text(conversation, text);
        async move { self.send(&message).await }
    }

    /// Sends a message under its own id; again gives the first answer, with `duplicate`.
    fn send(&self, message: &NewMessage) -> impl Future<Output = Result<Sent, Error>> + Send {
        async move {
            let data = serde_json::to_value(message).map_err(|error| Error::shape("message.send", error))?;
            self.call_as("message.send", data).await
        }
    }

    /// Another text for one of this user's messages.
    fn edit(&self, conversation: &str, seq: u64, text: &str) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("message.edit", json!({"conversation": conversation, "seq": seq, "text": text}))
    }

    /// Removes a message for everyone.
    fn delete(&self, conversation: &str, seq: u64) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("message.delete", json!({"conversation": conversation, "seq": seq, "scope": "everyone"}))
    }

    /// Removes a message for this user only.
    fn hide(&self, conversation: &str, seq: u64) -> impl Future<Output = Result<(), Error>> + Send {
        let data = json!({"conversation": conversation, "seq": seq, "scope": "me"});
        async move { self.call("message.delete", data).await.map(drop) }
    }

    /// Reacts with one emoji, or with the name of a custom one as `:party_parrot:`.
    fn react(&self, conversation: &str, seq: u64, emoji: &str) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("reaction.add", json!({"conversation": conversation, "seq": seq, "emoji": emoji}))
    }

    /// Takes a reaction back.
    fn unreact(&self, conversation: &str, seq: u64, emoji: &str) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("reaction.remove", json!({"conversation": conversation, "seq": seq, "emoji": emoji}))
    }

    /// One message, as a link names it.
    fn message(&self, conversation: &str, seq: u64) -> impl Future<Output = Result<Message, Error>> + Send {
        self.call_as("message.get", json!({"conversation": conversation, "seq": seq}))
    }

    /// Moves a live location of this user's; with `live_until` (RFC 3339) it ends then.
    fn move_location(
        &self,
        conversation: &str,
        seq: u64,
        location: Value,
    ) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("location.update", json!({"conversation": conversation, "seq": seq, "location": location}))
    }

    /// Votes in a poll, instead of the vote before; with no options takes it back.
    fn vote(
        &self,
        conversation: &str,
        seq: u64,
        options: &[u32],
    ) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("poll.vote", json!({"conversation": conversation, "seq": seq, "options": options}))
    }

    /// Ends a poll.
    fn close_poll(&self, conversation: &str, seq: u64) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("poll.close", json!({"conversation": conversation, "seq": seq}))
    }

    /// The threads of a conversation, the newest message first; only those this user takes part in, if `following`.
    fn threads(&self, conversation: &str, following: bool) -> impl Future<Output = Result<ThreadsPage, Error>> + Send {
        self.call_as("threads", json!({"conversation": conversation, "following": following}))
    }

    /// This user has read a thread up to its message number `thread_seq`.
    fn read_thread(
        &self,
        conversation: &str,
        thread: u64,
        thread_seq: u64,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let data = json!({"conversation": conversation, "thread": thread, "thread_seq": thread_seq});
        async move { self.call("thread.read", data).await.map(drop) }
    }

    /// Pins a message.
    fn pin(&self, conversation: &str, seq: u64) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("message.pin", json!({"conversation": conversation, "seq": seq}))
    }

    /// Unpins it.
    fn unpin(&self, conversation: &str, seq: u64) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("message.unpin", json!({"conversation": conversation, "seq": seq}))
    }

    /// The pinned messages, pinned last first.
    fn pins(&self, conversation: &str) -> impl Future<Output = Result<HistoryPage, Error>> + Send {
        self.call_as("pins", json!({"conversation": conversation}))
    }

    /// Changes what the conversation shows of itself: `name`, `topic`, `picture` (null takes it away), `history`.
    fn update(&self, conversation: &str, mut changes: Value) -> impl Future<Output = Result<Placed, Error>> + Send {
        changes["conversation"] = json!(conversation);
        self.call_as("conversation.update", changes)
    }

    /// Makes a member `owner`, `admin`, `member` or `guest`.
    fn set_role(
        &self,
        conversation: &str,
        user: &str,
        role: &str,
    ) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("member.role", json!({"conversation": conversation, "user": user, "role": role}))
    }

    /// Removes users and keeps them out, until a time (RFC 3339) or until it is lifted.
    fn ban(
        &self,
        conversation: &str,
        users: &[&str],
        until: Option<&str>,
    ) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("member.ban", json!({"conversation": conversation, "users": users, "until": until}))
    }

    /// Lets them come back.
    fn unban(&self, conversation: &str, users: &[&str]) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("member.unban", json!({"conversation": conversation, "users": users}))
    }

    /// Lets users only read, until a time (RFC 3339) or until it is lifted.
    fn mute(
        &self,
        conversation: &str,
        users: &[&str],
        until: Option<&str>,
    ) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("member.mute", json!({"conversation": conversation, "users": users, "until": until}))
    }

    /// Lets them write again.
    fn unmute(&self, conversation: &str, users: &[&str]) -> impl Future<Output = Result<Placed, Error>> + Send {
        self.call_as("member.unmute", json!({"conversation": conversation, "users": users}))
    }

    /// Tells the tenant's moderators of a message, and nobody else. The reason is `spam`, `harassment`, `violence`, `sexual`, `self_harm`,
    /// `illegal` or `other`.
    fn report(
        &self,
        conversation: &str,
        seq: u64,
        reason: &str,
        comment: Option<&str>,
    ) -> impl Future<Output = Result<Placed, Error>> + Send {
        let data = json!({"conversation": conversation, "seq": seq, "reason": reason, "comment": comment});
        self.call_as("message.report", data)
    }

    /// What was reported in the tenant, for its moderators: what is `open`, or `resolved`.
    fn reports(
        &self,
        state: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> impl Future<Output = Result<ReportsPage, Error>> + Send {
        let mut data = json!({"state": state, "limit": limit});
        if let Some(cursor) = cursor {
            data["cursor"] = json!(cursor);
        }
        self.call_as("reports", data)
    }

    /// Says, as a moderator, what came of the reports of a message: `dismissed`, `removed`, `restricted` or `other`. With the `last_at` that the
    /// moderator saw it is refused as a conflict if there is a newer report.
    fn resolve_report(
        &self,
        conversation: &str,
        seq: u64,
        outcome: &str,
        last_at: Option<&str>,
    ) -> impl Future<Output = Result<Placed, Error>> + Send {
        let data = json!({"conversation": conversation, "seq": seq, "outcome": outcome, "last_at": last_at});
        self.call_as("report.resolve", data)
    }

    /// Writes with a user no more.
    fn block(&self, user: &str) -> impl Future<Output = Result<(), Error>> + Send {
        let data = json!({"user": user});
        async move { self.call("block", data).await.map(drop) }
    }

    /// And again.
    fn unblock(&self, user: &str) -> impl Future<Output = Result<(), Error>> + Send {
        let data = json!({"user": user});
        async move { self.call("unblock", data).await.map(drop) }
    }

    /// To whom this user shows itself.
    fn privacy(&self) -> impl Future<Output = Result<Privacy, Error>> + Send {
        self.call_as("privacy", json!({}))
    }

    /// Shows this user's presence and when it was last seen to `everyone`, `contacts` or `nobody`; what is not given stays.
    fn set_privacy(
        &self,
        presence: Option<&str>,
        last_seen: Option<&str>,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let data = json!({"presence": presence, "last_seen": last_seen});
        async move { self.call("privacy.set", data).await.map(drop) }
    }

    /// How many members have read a message, and whom it has reached.
    fn receipts(&self, conversation: &str, seq: u64) -> impl Future<Output = Result<Receipts, Error>> + Send {
        self.call_as("receipts", json!({"conversation": conversation, "seq": seq}))
    }

    /// How this user sees the conversation: `muted_until`, `pinned`, `archived`, `notify`.
    fn settings(&self, conversation: &str, mut changes: Value) -> impl Future<Output = Result<(), Error>> + Send {
        changes["conversation"] = json!(conversation);
        async move { self.call("conversation.settings", changes).await.map(drop) }
    }

    /// What this user has begun to write, for its other devices.
    fn set_draft(&self, conversation: &str, text: Option<&str>) -> impl Future<Output = Result<(), Error>> + Send {
        let data = json!({"conversation": conversation, "text": text});
        async move { self.call("draft.set", data).await.map(drop) }
    }

    /// Messages up to `seq` have reached this device.
    fn delivered(&self, conversation: &str, seq: u64) -> impl Future<Output = Result<(), Error>> + Send {
        let data = json!({"conversation": conversation, "seq": seq});
        async move { self.call("delivered", data).await.map(drop) }
    }

    /// This user has read to `seq`.
    fn read(&self, conversation: &str, seq: u64) -> impl Future<Output = Result<(), Error>> + Send {
        let data = json!({"conversation": conversation, "seq": seq});
        async move { self.call("read", data).await.map(drop) }
    }

    /// This user is typing, or has stopped.
    fn typing(&self, conversation: &str, active: bool) -> impl Future<Output = Result<(), Error>> + Send {
        let data = json!({"conversation": conversation, "active": active});
        async move { self.call("typing", data).await.map(drop) }
    }

    /// Watches at most 200 users; gives how they are now.
    fn watch(&self, users: &[&str]) -> impl Future<Output = Result<Vec<Presence>, Error>> + Send {
        let data = json!({"users": users});
        async move { self.call("presence.watch", data).await.and_then(presences) }
    }

    /// No longer watches them.
    fn unwatch(&self, users: &[&str]) -> impl Future<Output = Result<(), Error>> + Send {
        let data = json!({"users": users});
        async move { self.call("presence.unwatch", data).await.map(drop) }
    }

    /// Shows this user as `online`, `away` or `invisible`.
    fn set_presence(&self, status: &str) -> impl Future<Output = Result<(), Error>> + Send {
        let data = json!({"status": status});
        async move { self.call("presence.set", data).await.map(drop) }
    }

    /// A page of the inbox as `query` has it: all conversations in an order that stays, only archived ones …
    fn inbox_by(&self, query: &InboxQuery) -> impl Future<Output = Result<InboxPage, Error>> + Send {
        self.call_as("inbox", json!(query))
    }

    /// A page of the inbox, from the `cursor` of the page before.
    fn inbox(&self, cursor: Option<&str>, limit: u32) -> impl Future<Output = Result<InboxPage, Error>> + Send {
        let mut data = json!({"limit": limit});
        if let Some(cursor) = cursor {
            data["cursor"] = json!(cursor);
        }
        self.call_as("inbox", data)
    }

    /// Messages before `before_seq`, or the newest; newest first, at most 200.
    fn history(
        &self,
        conversation: &str,
        before_seq: Option<u64>,
        limit: u32,
    ) -> impl Future<Output = Result<HistoryPage, Error>> + Send {
        let mut data = json!({"conversation": conversation, "limit": limit});
        if let Some(seq) = before_seq {
            data["before_seq"] = json!(seq);
        }
        self.call_as("history", data)
    }

    /// Messages after `after_seq`, oldest first, at most 200.
    fn history_after(
        &self,
        conversation: &str,
        after_seq: u64,
        limit: u32,
    ) -> impl Future<Output = Result<HistoryPage, Error>> + Send {
        self.call_as("history", json!({"conversation": conversation, "after_seq": after_seq, "limit": limit}))
    }

    /// Messages of one's conversations that hold all of `query`, newest first.
    fn search(&self, query: &Query) -> impl Future<Output = Result<SearchPage, Error>> + Send {
        self.call_as("search", json!(query))
    }

    /// Durable events after a position, oldest first, at most 1,000.
    fn events(
        &self,
        conversation: &str,
        after_position: u64,
        limit: u32,
    ) -> impl Future<Output = Result<EventsPage, Error>> + Send {
        self.call_as("events", json!({"conversation": conversation, "after_position": after_position, "limit": limit}))
    }
}

impl<T: Call> Commands for T {}

/// `{"presence": […]}`, as the command's row says, or the bare list.
pub(crate) fn presences(mut data: Value) -> Result<Vec<Presence>, Error> {
    let list = data.get_mut("presence").map(Value::take).unwrap_or(data);
    if list.as_object().is_some_and(serde_json::Map::is_empty) {
        return Ok(Vec::new());
    }
    Vec::deserialize(list).map_err(|error| Error::shape("presence.watch", error))
}
