use serde_json::{Value, json};

use super::*;
use crate::codec::records::{PresenceStatus, Receipt};
use crate::domain::UserId;
use crate::domain::conversation::{
    ConversationCreated, DeleteReason, Event, LeaveReason, MemberJoined, MemberLeft, MemberRole, MessageDeleted,
    MessageEdited, MessageSent, Notify, OfMessage, Reaction, RemovedMessage, Settings, UpdateConversation,
};
use crate::domain::policy::{ConversationKind, History, JoinRule, Role};
use crate::gateway::fakes::FakeKeys;
use crate::gateway::ports::Sealed;
use crate::gateway::ports::{ConversationRow, EditRow, EventRow, MessageRow, PresenceRow, ReactionRow};
use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

const AT: Timestamp = Timestamp(1_795_000_000_007);
const CONVERSATION: ConversationId = ConversationId::from_bytes([1; 16]);
const ADA: UserId = UserId::from_bytes([2; 16]);
const EVE: UserId = UserId::from_bytes([3; 16]);

fn row() -> MessageRow {
    let sent = MessageSent {
        text: Some(FakeKeys::sealed("hello")),
        reply_to: Some(2),
        mentions: vec!["all".into()],
        ..MessageSent::new(3, Uuid::from_bytes([4; 16]))
    };
    MessageRow::of(sent, 7, ADA, AT, CommandId::from_bytes([5; 16]))
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
    assert_eq!(event("message.sent", Some(Event::Sent(row().sent))), Ok(message()));
}

#[test]
fn an_edited_message_shows_the_edit_and_who_reacted() {
    let keys = FakeKeys::default();
    let (causation, mentions) = (CommandId::from_bytes([6; 16]), vec![]);
    let edit = EditRow { at: AT.plus(1_000), causation, text: FakeKeys::sealed("hullo"), mentions };
    let reaction = ReactionRow { emoji: "👍".into(), count: 2, mine: true };
    let row = MessageRow { edit: Some(edit), reactions: vec![reaction], ..row() };
    let mut expected = message();
    expected["text"] = "hullo".into();
    expected["mentions"] = json!([]);
    expected["edited_at"] = "2026-11-18T11:06:41.007Z".into();
    expected["reactions"] = json!({"👍": {"count": 2, "mine": true}});
    assert_eq!(Opener::new(&keys, TenantId::default()).message(CONVERSATION, row).map(value), Ok(expected));
}

#[test]
fn a_removed_message_says_nothing_else() {
    let removed = Message::removed(CONVERSATION, 3);
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
    let joined = MemberJoined { users: vec![EVE], role: Role::Member, first_slot: 2, read_seq: 3, invite: None };
    assert_eq!(event("member.joined", Some(Event::Joined(joined))), Ok(json!({"users": [EVE]})));
    let left = MemberLeft::new(vec![EVE], LeaveReason::Removed);
    let expected = json!({"users": [EVE], "reason": "removed"});
    assert_eq!(event("member.left", Some(Event::Left(left))), Ok(expected));
    let (seq, emoji, text) = (3, "👍".to_owned(), FakeKeys::sealed("hullo"));
    let edited = MessageEdited { seq, text, fingerprint: Bytes::new(), mentions: vec!["here".into()] };
    let expected = json!({"seq": 3, "text": "hullo", "mentions": ["here"], "edited_at": "2026-11-18T11:06:40.007Z"});
    assert_eq!(event("message.edited", Some(Event::Edited(edited))), Ok(expected));
    let removed = RemovedMessage { seq, sender: ADA, positions: vec![4, 7], at: AT, client_id: None, thread: None };
    let deleted = MessageDeleted { messages: vec![removed], reason: DeleteReason::Moderator };
    let expected = json!({"seqs": [3], "reason": "moderator"});
    assert_eq!(event("message.deleted", Some(Event::Deleted(deleted))), Ok(expected));
    let reacted = Event::Reacted(Reaction { seq, emoji });
    assert_eq!(event("reaction.added", Some(reacted)), Ok(json!({"seq": 3, "emoji": "👍"})));
    assert_eq!(event("message.pinned", Some(Event::Pinned(OfMessage { seq }))), Ok(json!({"seq": 3})));
    let update = UpdateConversation {
        name: Some(FakeKeys::sealed("crew")),
        history: Some(History::SinceJoin),
        cleared: vec!["topic".into()],
        ..UpdateConversation::default()
    };
    let expected = json!({"name": "crew", "topic": null, "history": "since_join"});
    assert_eq!(event("conversation.updated", Some(Event::Updated(update))), Ok(expected));
    let role = Event::Role(MemberRole { user: EVE, role: Role::Guest });
    assert_eq!(event("member.role", Some(role)), Ok(json!({"user": EVE, "role": "guest"})));
    assert_eq!(event("message.sung", None), Ok(json!({})));
}

#[test]
fn a_conversation_counts_what_is_unread() {
    let keys = FakeKeys::default();
    let causation = CommandId::default();
    let row = ConversationRow {
        conversation: CONVERSATION,
        kind: ConversationKind::Group,
        name: Some(Sealed { bytes: FakeKeys::sealed("team"), causation }),
        topic: Some(Sealed { bytes: FakeKeys::sealed("plans"), causation }),
        picture: None,
        history: History::All,
        join: JoinRule::Closed,
        frozen: false,
        slow_mode_ms: 0,
        visible_after: 0,
        settings: Settings { pinned: true, archived_seq: Some(3), notify: Notify::Mentions, ..Settings::default() },
        draft: Some(Sealed { bytes: FakeKeys::sealed("Dear"), causation }),
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
        "conversation": CONVERSATION, "kind": "group", "name": "team", "topic": "plans", "picture": null,
        "history": "all", "join": "closed", "frozen": false, "slow_mode_ms": 0, "notify": "mentions", "draft": "Dear", "members_count": 2,
        "last_position": 7, "last_seq": 3, "last_message": message(), "read_seq": 1, "unread": 2,
        "mentions_unread": 1, "muted_until": null, "pinned": true, "archived": true, "role": "owner",
        "joined_at": "2026-11-18T11:06:40.007Z",
    });
    assert_eq!(opener.conversation(ADA, row.clone()).map(value), Ok(expected.clone()));
    let mut left = expected;
    left["last_message"] = Value::Null;
    left["left"] = true.into();
    left["draft"] = Value::Null;
    assert_eq!(opener.conversation(ADA, ConversationRow { left: true, ..row.clone() }).map(value), Ok(left));
    let shown = |row| opener.conversation(ADA, row).map(value).map(|shape| shape["last_message"].clone());
    let gone = ConversationRow { last_message: None, ..row.clone() };
    assert_eq!(shown(gone), Ok(json!({"conversation": CONVERSATION, "seq": 3, "deleted": true})));
    assert_eq!(shown(ConversationRow { visible_after: 3, ..row }), Ok(Value::Null), "of before one came");
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
        r#type: "receipt.read".into(),
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
    let broken = MessageRow { sent: MessageSent { text: Some(Bytes::from_static(b"?")), ..row().sent }, ..row() };
    let opened = Opener::new(&keys, TenantId::default()).message(CONVERSATION, broken);
    assert_eq!(opened.map(value), Err(OpenError::Broken));
}
