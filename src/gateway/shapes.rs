//! The JSON shapes of the protocol, from records and from rows alike. The one place that knows them.

use std::collections::BTreeMap;

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::failure::{Failure, json};
use super::ports::{ConversationRow, EventRow, Keyring, MessageRow, OpenError, Place, PresenceRow};
use crate::codec::records::{ConversationEvent, PresenceStatus, Receipt, Signal};
use crate::domain::conversation::{ConversationCreated, Event, LeaveReason, MemberRole, MessageSent};
use crate::domain::policy::{ConversationKind, Role};
use crate::domain::{CommandId, ConversationId, TenantId, Timestamp, UserId};

/// How many members `conversation.created` names.
const MEMBERS_SHOWN: usize = 100;

/// RFC 3339 UTC with milliseconds.
pub fn rfc3339<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

fn rfc3339_option<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => rfc3339(at, serializer),
        None => serializer.serialize_none(),
    }
}

/// Opens sealed fields of one tenant.
#[derive(Clone, Copy)]
pub struct Opener<'a> {
    keyring: &'a dyn Keyring,
    tenant: TenantId,
}

/// A message.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Message {
    /// As it was sent.
    Present(Box<PresentMessage>),
    /// Removed: nothing else is said of it.
    Removed {
        /// Where.
        conversation: ConversationId,
        /// Which.
        seq: i64,
        /// True.
        deleted: bool,
    },
}

/// A message that is there.
#[derive(Clone, Debug, Serialize)]
pub struct PresentMessage {
    conversation: ConversationId,
    seq: i64,
    position: i64,
    sender: UserId,
    client_id: Uuid,
    #[serde(serialize_with = "rfc3339")]
    at: Timestamp,
    text: Option<String>,
    attachments: [(); 0],
    reply_to: Option<i64>,
    thread: Option<i64>,
    mentions: Vec<String>,
    #[serde(serialize_with = "rfc3339_option")]
    edited_at: Option<Timestamp>,
    deleted: bool,
    #[serde(serialize_with = "rfc3339_option")]
    expires_at: Option<Timestamp>,
    reactions: BTreeMap<String, ()>,
}

/// A conversation in the inbox.
#[derive(Clone, Debug, Serialize)]
pub struct Conversation {
    conversation: ConversationId,
    kind: ConversationKind,
    name: Option<String>,
    picture: Option<()>,
    members_count: i64,
    last_position: i64,
    last_seq: i64,
    last_message: Option<Message>,
    read_seq: i64,
    unread: i64,
    mentions_unread: i64,
    #[serde(serialize_with = "rfc3339_option")]
    muted_until: Option<Timestamp>,
    pinned: bool,
    archived: bool,
    role: Role,
    #[serde(serialize_with = "rfc3339")]
    joined_at: Timestamp,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    left: bool,
}

/// A durable event, as it is pushed and as `events` lists it.
#[derive(Clone, Debug, Serialize)]
pub struct DurableEvent {
    r#type: String,
    conversation: ConversationId,
    position: i64,
    #[serde(serialize_with = "rfc3339")]
    at: Timestamp,
    actor: UserId,
    data: EventData,
}

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum EventData {
    Created {
        kind: ConversationKind,
        name: Option<String>,
        members: Vec<MemberRole>,
        members_count: usize,
    },
    Sent(Box<PresentMessage>),
    Joined {
        users: Vec<UserId>,
    },
    Left {
        users: Vec<UserId>,
        reason: LeaveReason,
        /// Who became owner by it.
        #[serde(skip_serializing_if = "Option::is_none")]
        promoted: Option<UserId>,
    },
    /// Of a type that this program does not know: it takes its position all the same.
    Unknown {},
}

/// Presence.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Presence {
    user: UserId,
    status: PresenceStatus,
    #[serde(serialize_with = "rfc3339_option", skip_serializing_if = "Option::is_none")]
    last_seen: Option<Timestamp>,
}

impl From<PresenceRow> for Presence {
    fn from(row: PresenceRow) -> Self {
        // Nobody else ever sees that somebody is invisible.
        let status = if row.status == PresenceStatus::Invisible { PresenceStatus::Offline } else { row.status };
        Self { user: row.user, status, last_seen: row.last_seen }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::KeyMissing => Self::unavailable("a key is not here yet; try again"),
            OpenError::Broken => Self::internal(),
        }
    }
}

impl<'a> Opener<'a> {
    /// For content of `tenant`.
    pub fn new(keyring: &'a dyn Keyring, tenant: TenantId) -> Self {
        Self { keyring, tenant }
    }

    fn place(&self, conversation: ConversationId, command: CommandId) -> Place {
        Place { tenant: self.tenant, conversation, command }
    }

    /// Opens a message of the view.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn message(&self, conversation: ConversationId, row: MessageRow) -> Result<Message, OpenError> {
        let place = self.place(conversation, row.causation);
        let text = row.text.map(|sealed| self.keyring.open_text(place, row.sender, &sealed)).transpose()?;
        Ok(Message::Present(Box::new(PresentMessage {
            conversation,
            seq: row.seq,
            position: row.position,
            sender: row.sender,
            client_id: row.client_id,
            at: row.at,
            text,
            attachments: [],
            reply_to: row.reply_to,
            thread: row.thread,
            mentions: row.mentions,
            edited_at: None,
            deleted: false,
            expires_at: None,
            reactions: BTreeMap::new(),
        })))
    }

    /// Opens a conversation of the view.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn conversation(&self, row: ConversationRow) -> Result<Conversation, OpenError> {
        let name =
            row.name.map(|sealed| self.keyring.open_name(self.place(row.conversation, sealed.causation), &sealed.name));
        // What was said after the end of a membership is none of its former holder's business.
        let last = row.last_message.filter(|_| !row.left);
        let last_message = last.map(|message| self.message(row.conversation, message)).transpose()?;
        Ok(Conversation {
            conversation: row.conversation,
            kind: row.kind,
            name: name.transpose()?,
            picture: None,
            members_count: row.members_count,
            last_position: row.last_position,
            last_seq: row.last_seq,
            last_message,
            read_seq: row.read_seq,
            unread: (row.last_seq - row.read_seq).max(0),
            mentions_unread: row.mentions_unread,
            muted_until: None,
            pinned: false,
            archived: false,
            role: row.role,
            joined_at: row.joined_at,
            left: row.left,
        })
    }

    /// Opens an event, of the view or of a record.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn event(&self, conversation: ConversationId, row: EventRow) -> Result<DurableEvent, OpenError> {
        let data = match row.event {
            Some(Event::Created(created)) => self.created(self.place(conversation, row.causation), created)?,
            Some(Event::Sent(sent)) => {
                let message = MessageRow::of(sent, row.position, row.actor, row.at, row.causation);
                match self.message(conversation, message)? {
                    Message::Present(message) => EventData::Sent(message),
                    Message::Removed { .. } => EventData::Unknown {},
                }
            }
            Some(Event::Joined(joined)) => EventData::Joined { users: joined.users },
            Some(Event::Left(left)) => {
                EventData::Left { users: left.users, reason: left.reason, promoted: left.promoted }
            }
            Some(Event::Read(_)) | None => EventData::Unknown {},
        };
        Ok(DurableEvent { r#type: row.kind, conversation, position: row.position, at: row.at, actor: row.actor, data })
    }

    fn created(&self, place: Place, created: ConversationCreated) -> Result<EventData, OpenError> {
        let name = created.name.map(|sealed| self.keyring.open_name(place, &sealed)).transpose()?;
        let members_count = created.members.len();
        let mut members = created.members;
        members.truncate(MEMBERS_SHOWN);
        Ok(EventData::Created { kind: created.kind, name, members, members_count })
    }
}

impl MessageRow {
    /// The message that an event brought.
    pub fn of(sent: MessageSent, position: i64, sender: UserId, at: Timestamp, causation: CommandId) -> Self {
        let MessageSent { seq, client_id, text, reply_to, thread, mentions } = sent;
        Self { seq, position, sender, client_id, at, causation, text, reply_to, thread, mentions }
    }
}

/// What an id takes in JSON, with its quotes and comma.
const ID_BYTES: usize = 33;
/// What a message or an event takes beside what is of any length.
const FRAME_BYTES: usize = 256;

impl MessageRow {
    /// About how long it will be, for pages.
    pub fn bytes(&self) -> usize {
        FRAME_BYTES + self.text.as_ref().map_or(0, Bytes::len) + self.mentions.len() * ID_BYTES
    }
}

impl EventRow {
    /// About how long it will be, for pages.
    pub fn bytes(&self) -> usize {
        let content = match &self.event {
            Some(Event::Sent(sent)) => sent.text.as_ref().map_or(0, Bytes::len) + sent.mentions.len() * ID_BYTES,
            // With the role of each.
            Some(Event::Created(created)) => created.members.len().min(MEMBERS_SHOWN) * ID_BYTES * 2,
            Some(Event::Joined(joined)) => joined.users.len() * ID_BYTES,
            Some(Event::Left(left)) => left.users.len() * ID_BYTES,
            Some(Event::Read(_)) | None => 0,
        };
        FRAME_BYTES + content
    }
}

impl From<&ConversationEvent> for EventRow {
    fn from(record: &ConversationEvent) -> Self {
        Self {
            kind: record.r#type.clone(),
            position: record.position,
            at: record.occurred_at,
            actor: record.actor,
            causation: record.causation,
            event: record.event(),
        }
    }
}

/// What the server sends unasked of a conversation, without a position.
#[derive(Serialize)]
struct Passing<D> {
    r#type: &'static str,
    conversation: ConversationId,
    data: D,
}

/// The push of a moved read pointer.
pub fn receipt(receipt: &Receipt) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Data {
        user: UserId,
        seq: i64,
    }
    let data = Data { user: receipt.user, seq: receipt.read_seq };
    json(&Passing { r#type: "receipt.read", conversation: receipt.conversation, data }).into()
}

/// The push of a signal; none for a type that this program does not know.
pub fn signal(signal: &Signal) -> Option<Utf8Bytes> {
    #[derive(Serialize)]
    struct Data {
        user: UserId,
        active: bool,
    }
    let data = Data { user: signal.actor, active: signal.active };
    let push = Passing { r#type: "typing", conversation: signal.conversation, data };
    (signal.r#type == "typing").then(|| json(&push).into())
}

/// The push of a presence.
pub fn presence(row: PresenceRow) -> Utf8Bytes {
    super::frames::push("presence", &Presence::from(row))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fakes::FakeKeys;
    use super::super::ports::SealedName;
    use super::*;
    use crate::domain::conversation::{MemberJoined, MemberLeft};

    const AT: Timestamp = Timestamp(1_795_000_000_007);
    const CONVERSATION: ConversationId = ConversationId::from_bytes([1; 16]);
    const ADA: UserId = UserId::from_bytes([2; 16]);
    const EVE: UserId = UserId::from_bytes([3; 16]);

    fn row() -> MessageRow {
        MessageRow {
            seq: 3,
            position: 7,
            sender: ADA,
            client_id: Uuid::from_bytes([4; 16]),
            at: AT,
            causation: CommandId::from_bytes([5; 16]),
            text: Some(FakeKeys::sealed("hello")),
            reply_to: Some(2),
            thread: None,
            mentions: vec!["all".into()],
        }
    }

    fn message() -> Value {
        json!({
            "conversation": CONVERSATION, "seq": 3, "position": 7, "sender": ADA,
            "client_id": "04040404-0404-0404-0404-040404040404", "at": "2026-11-18T11:06:40.007Z", "text": "hello",
            "attachments": [], "reply_to": 2, "thread": null, "mentions": ["all"], "edited_at": null, "deleted": false,
            "expires_at": null, "reactions": {},
        })
    }

    fn value<T: Serialize>(shape: T) -> Value {
        serde_json::to_value(shape).unwrap_or_default()
    }

    fn event(kind: &str, event: Option<Event>) -> Result<Value, OpenError> {
        let keys = FakeKeys::default();
        let row = EventRow {
            kind: kind.into(),
            position: 7,
            at: AT,
            actor: ADA,
            causation: CommandId::from_bytes([5; 16]),
            event,
        };
        let shape = Opener::new(&keys, TenantId::default()).event(CONVERSATION, row)?;
        let mut value = value(shape);
        assert_eq!(value["type"], kind);
        assert_eq!(value["position"], 7);
        assert_eq!(value["at"], "2026-11-18T11:06:40.007Z");
        assert_eq!((&value["actor"], &value["conversation"]), (&json!(ADA), &json!(CONVERSATION)));
        assert_eq!(value.as_object().map(|object| object.len()), Some(6));
        Ok(value["data"].take())
    }

    #[test]
    fn a_message_is_the_same_in_a_push_and_in_a_read() {
        let keys = FakeKeys::default();
        let read = Opener::new(&keys, TenantId::default()).message(CONVERSATION, row());
        assert_eq!(read.map(value), Ok(message()));
        let MessageRow { seq, client_id, text, reply_to, thread, mentions, .. } = row();
        let sent = MessageSent { seq, client_id, text, reply_to, thread, mentions };
        assert_eq!(event("message.sent", Some(Event::Sent(sent))), Ok(message()));
    }

    #[test]
    fn a_removed_message_says_nothing_else() {
        let removed = Message::Removed { conversation: CONVERSATION, seq: 3, deleted: true };
        assert_eq!(value(removed), json!({"conversation": CONVERSATION, "seq": 3, "deleted": true}));
    }

    #[test]
    fn events_have_the_data_of_the_protocol() {
        let members = (0..150).map(|n| MemberRole { user: UserId::from_bytes([n; 16]), role: Role::Member });
        let members: Vec<_> = members.collect();
        let name = Some(FakeKeys::sealed("team"));
        let created = ConversationCreated { kind: ConversationKind::Group, name, members: members.clone() };
        assert_eq!(
            event("conversation.created", Some(Event::Created(created))),
            Ok(json!({"kind": "group", "name": "team", "members": members[..100], "members_count": 150}))
        );
        assert_eq!(value(members[0]), json!({"user": members[0].user, "role": "member"}));
        let joined = MemberJoined { users: vec![EVE], role: Role::Member, first_slot: 2, read_seq: 3 };
        assert_eq!(event("member.joined", Some(Event::Joined(joined))), Ok(json!({"users": [EVE]})));
        let left = MemberLeft { users: vec![EVE], reason: LeaveReason::Removed, promoted: None };
        let expected = json!({"users": [EVE], "reason": "removed"});
        assert_eq!(event("member.left", Some(Event::Left(left))), Ok(expected));
        assert_eq!(event("message.sung", None), Ok(json!({})));
    }

    #[test]
    fn a_conversation_counts_what_is_unread() {
        let keys = FakeKeys::default();
        let causation = CommandId::default();
        let row = ConversationRow {
            conversation: CONVERSATION,
            kind: ConversationKind::Group,
            name: Some(SealedName { name: FakeKeys::sealed("team"), causation }),
            members_count: 2,
            last_position: 7,
            last_seq: 3,
            last_message: Some(row()),
            read_seq: 1,
            mentions_unread: 1,
            role: Role::Owner,
            joined_at: AT,
            left: false,
        };
        let opener = Opener::new(&keys, TenantId::default());
        let expected = json!({
            "conversation": CONVERSATION, "kind": "group", "name": "team", "picture": null, "members_count": 2,
            "last_position": 7, "last_seq": 3, "last_message": message(), "read_seq": 1, "unread": 2,
            "mentions_unread": 1, "muted_until": null, "pinned": false, "archived": false, "role": "owner",
            "joined_at": "2026-11-18T11:06:40.007Z",
        });
        assert_eq!(opener.conversation(row.clone()).map(value), Ok(expected.clone()));
        let mut left = expected;
        left["last_message"] = Value::Null;
        left["left"] = true.into();
        assert_eq!(opener.conversation(ConversationRow { left: true, ..row }).map(value), Ok(left));
    }

    #[test]
    fn what_passes_has_no_position() {
        let text = receipt(&Receipt {
            event_id: Default::default(),
            tenant: Default::default(),
            conversation: CONVERSATION,
            user: ADA,
            read_seq: 4,
            delivered_seq: 5,
            occurred_at: AT,
            causation: Default::default(),
            traceparent: None,
            epoch: 0,
            partition: 0,
            index: 1,
        });
        let expected =
            format!(r#"{{"type":"receipt.read","conversation":"{CONVERSATION}","data":{{"user":"{ADA}","seq":4}}}}"#);
        assert_eq!(text.as_str(), expected);
        let row = |status, last_seen| PresenceRow { user: ADA, status, last_seen };
        let shown = |row| value(Presence::from(row));
        assert_eq!(shown(row(PresenceStatus::Invisible, None)), json!({"user": ADA, "status": "offline"}));
        assert_eq!(
            shown(row(PresenceStatus::Away, Some(AT))),
            json!({"user": ADA, "status": "away", "last_seen": "2026-11-18T11:06:40.007Z"})
        );
    }

    #[test]
    fn a_missing_key_is_unavailable_and_never_deleted() {
        let keys = FakeKeys::missing();
        let opened = Opener::new(&keys, TenantId::default()).message(CONVERSATION, row());
        assert_eq!(opened.map(value), Err(OpenError::KeyMissing));
        let keys = FakeKeys::default();
        let broken = MessageRow { text: Some(Bytes::from_static(b"?")), ..row() };
        let opened = Opener::new(&keys, TenantId::default()).message(CONVERSATION, broken);
        assert_eq!(opened.map(value), Err(OpenError::Broken));
    }
}
