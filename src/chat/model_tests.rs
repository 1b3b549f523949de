//! Given updates, when the user acts, then wishes.

use serde_json::json;
use tidings_client::{Closed, Conversation, Error, HistoryPage, InboxPage, Member, Message, Placed};

use super::*;

fn read<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    T::deserialize(value).expect("a good shape")
}

fn pushed(position: u64, seq: u64, sender: &str, text: &str) -> Update {
    let at = format!("2026-01-01T10:00:{seq:02}.000Z");
    Update::Event(read(json!({"type": "message.sent", "conversation": "cnv_1", "position": position, "at": at,
        "actor": sender, "data": message(seq, sender, text)})))
}

fn message(seq: u64, sender: &str, text: &str) -> serde_json::Value {
    json!({"conversation": "cnv_1", "seq": seq, "sender": sender, "text": text, "client_id": format!("c{seq}"),
        "at": format!("2026-01-01T10:00:{seq:02}.000Z")})
}

fn event(kind: &str, data: serde_json::Value) -> Update {
    Update::Event(read(json!({"type": kind, "conversation": "cnv_1", "data": data})))
}

/// Connected as `usr_me`, with a direct conversation with `usr_you` of two messages, one unread.
fn model() -> Model {
    let mut model = Model::new(None);
    model.update(Update::Status(Status::Connected { user: "usr_me".into() }));
    let entry: Conversation =
        read(json!({"conversation": "cnv_1", "kind": "direct", "last_position": 3, "last_seq": 2,
        "read_seq": 1, "last_message": message(2, "usr_you", "b")}));
    let effects = model.update(Update::Inbox(Box::new(entry)));
    assert_eq!(effects, [Effect::Peer { conversation: "cnv_1".into() }]);
    model
}

fn opened() -> Model {
    let mut model = model();
    let members = vec![
        Member { user: "usr_me".into(), ..Member::default() },
        Member { user: "usr_you".into(), ..Member::default() },
    ];
    let effects = model.outcome(Outcome::Peer { conversation: "cnv_1".into(), members });
    assert_eq!(effects, [Effect::Name("usr_you".into()), Effect::Watch("usr_you".into())]);
    let effects = model.action(Action::Next);
    let conversation = || "cnv_1".to_owned();
    assert_eq!(
        effects,
        [
            Effect::Follow { conversation: conversation(), after: 3 },
            Effect::History { conversation: conversation(), before: None }
        ]
    );
    let messages: Vec<Message> = vec![read(message(2, "usr_you", "b")), read(message(1, "usr_me", "a"))];
    let page = HistoryPage { messages, has_more: false };
    let effects = model.outcome(Outcome::History { conversation: conversation(), before: None, result: Ok(page) });
    assert_eq!(effects, [Effect::Read { conversation: conversation(), seq: 2 }], "shown is read");
    model
}

#[test]
fn a_direct_conversation_is_named_after_the_other() {
    let mut model = opened();
    let title = |model: &Model| model.title(model.chat().expect("open"));
    assert_eq!(title(&model), "usr_you");
    model.outcome(Outcome::Name { user: "usr_you".into(), name: Some("You\x1b[31m\n".into()) });
    assert_eq!(title(&model), "You[31m");
}

#[test]
fn a_message_of_another_conversation_counts_as_unread() {
    let mut model = model();
    assert!(model.update(pushed(4, 3, "usr_you", "c")).iter().all(|effect| !matches!(effect, Effect::Read { .. })));
    assert_eq!(model.ordered()[0].unread(), 2);
}

#[test]
fn a_message_is_read_when_shown_and_not_when_scrolled_away() {
    let mut model = opened();
    let effects = model.update(pushed(4, 3, "usr_you", "c"));
    assert_eq!(effects, [Effect::Read { conversation: "cnv_1".into(), seq: 3 }]);
    model.action(Action::Scroll(1));
    assert_eq!(model.update(pushed(5, 4, "usr_you", "d")), []);
    assert_eq!(model.action(Action::Bottom), [Effect::Read { conversation: "cnv_1".into(), seq: 4 }]);
}

#[test]
fn a_sent_message_waits_until_its_push() {
    let mut model = opened();
    let effects = model.action(Action::Enter("hello".into()));
    let [Effect::Send { client_id, text, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(text, "hello");
    assert_eq!(model.chat().map(|chat| chat.outgoing.len()), Some(1));
    let Update::Event(mut push) = pushed(4, 3, "usr_me", "hello") else { panic!("an event") };
    push.data["client_id"] = json!(client_id);
    assert_eq!(model.update(Update::Event(push)), [], "one's own message is read already");
    let chat = model.chat().expect("open");
    assert!(chat.outgoing.is_empty());
    assert_eq!((chat.unread(), chat.newest_seq()), (0, 3));
}

#[test]
fn a_refused_message_stays_with_its_reason() {
    let mut model = opened();
    let effects = model.action(Action::Enter("hello".into()));
    let [Effect::Send { client_id, conversation, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    let error = Error::Closed(Closed { code: Some(4503), reason: "revoked".into() });
    let (conversation, client_id) = (conversation.clone(), client_id.clone());
    model.outcome(Outcome::Sent { conversation, client_id, result: Err(error) });
    let failed = model.chat().and_then(|chat| chat.outgoing[0].failed.clone());
    assert!(failed.is_some_and(|reason| reason.contains("revoked")));
}

#[test]
fn typing_is_said_seldom_and_taken_back() {
    let mut model = opened();
    let typing = |active| vec![Effect::Typing { conversation: "cnv_1".into(), active }];
    assert_eq!(model.edited("h"), typing(true));
    model.tick(2_900);
    assert_eq!(model.edited("he"), []);
    model.tick(3_100);
    assert_eq!(model.edited("hel"), typing(true));
    assert_eq!(model.tick(8_000), []);
    assert_eq!(model.tick(8_200), typing(false));
    assert_eq!(model.edited("/wi"), [], "a command is nobody's business");
}

#[test]
fn others_typing_is_shown_until_they_send_or_fall_silent() {
    let mut model = opened();
    model.update(event("typing", json!({"user": "usr_you", "active": true})));
    model.update(event("typing", json!({"user": "usr_me", "active": true})));
    let typing = |model: &Model| model.chat().map(|chat| chat.typing.len());
    assert_eq!(typing(&model), Some(1));
    model.update(pushed(4, 3, "usr_you", "c"));
    assert_eq!(typing(&model), Some(0));
    model.update(event("typing", json!({"user": "usr_you", "active": true})));
    model.tick(60_000);
    assert_eq!(typing(&model), Some(0));
}

#[test]
fn receipts_edits_and_removals_change_what_is_shown() {
    let mut model = opened();
    model.update(event("receipt.read", json!({"user": "usr_you", "seq": 1})));
    model.update(event("message.edited", json!({"seq": 1, "text": "A", "edited_at": "2026-01-01T10:01:00.000Z"})));
    model.update(event("message.deleted", json!({"seqs": [2], "reason": "author"})));
    let chat = model.chat().expect("open");
    assert_eq!((chat.readers(1), chat.readers(2)), (1, 0));
    let shown: Vec<_> = chat.items.values().collect();
    assert!(matches!(shown[0], crate::chat::conversation::Item::Message(m) if m.text.as_deref() == Some("A")));
    assert!(matches!(shown[1], crate::chat::conversation::Item::Message(m) if m.deleted && m.text.is_none()));
}

#[test]
fn older_messages_are_loaded_at_the_top_once() {
    let mut model = opened();
    if let Some(chat) = model.chats.get_mut("cnv_1") {
        chat.complete = false;
    }
    model.at_top = true;
    let load = Effect::History { conversation: "cnv_1".into(), before: Some(1) };
    assert_eq!(model.action(Action::Page(1)), [load]);
    assert_eq!(model.action(Action::Page(1)), [], "already loading");
}

#[test]
fn what_was_asked_for_opens_after_the_inbox() {
    let mut model = Model::new(Some(Opening::With("usr_you".into())));
    model.update(Update::Status(Status::Connected { user: "usr_me".into() }));
    assert_eq!(model.update(Update::CaughtUp { reset: true }), [Effect::Inbox { cursor: None }]);
    let page = InboxPage { has_more: true, cursor: Some("p2".into()), ..InboxPage::default() };
    assert_eq!(model.outcome(Outcome::Inbox(Ok(page))), [Effect::Inbox { cursor: Some("p2".into()) }]);
    assert_eq!(model.outcome(Outcome::Inbox(Ok(InboxPage::default()))), [Effect::With("usr_you".into())]);
    let placed = Placed { conversation: "cnv_9".into(), position: 7, duplicate: true };
    let effects = model.outcome(Outcome::Opened(Ok(placed)));
    assert!(effects.contains(&Effect::Follow { conversation: "cnv_9".into(), after: 7 }), "{effects:?}");
    assert_eq!(model.current.as_deref(), Some("cnv_9"));
}

#[test]
fn a_membership_that_ended_closes_the_conversation() {
    let mut model = opened();
    model.update(event("member.left", json!({"users": ["usr_me"], "reason": "removed"})));
    assert!(model.chats.is_empty() && model.current.is_none() && model.notice.is_some());
    assert_eq!(model.action(Action::Enter("hello".into())), [], "there is nowhere to send it");
}

#[test]
fn commands_know_users_by_name() {
    let mut model = opened();
    model.outcome(Outcome::Name { user: "usr_you".into(), name: Some("Bob".into()) });
    let effects = model.action(Action::Enter("/create \"the team\" @bob usr_x".into()));
    assert_eq!(effects, [Effect::Create { name: "the team".into(), users: vec!["usr_you".into(), "usr_x".into()] }]);
}
