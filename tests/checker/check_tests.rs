//! The checker finds what is wrong: a right history has no violation, and every deliberately wrong one has its own.

use crate::check::{Kind, check};
use crate::history::{Answer, Command, Entry, Event, History, Page, Push, Removed, Stream, Try, What};

const PLACE: &str = "cnv_1";
const CHANGED: &str = "cnv_9";
const ADA: &str = "usr_ada";
const BOB: &str = "usr_bob";
const EVE: &str = "usr_eve";

fn event(position: i64, kind: &str, actor: &str) -> Event {
    Event { conversation: PLACE.into(), position, kind: kind.into(), actor: actor.into(), ..Event::default() }
}

fn members(position: i64, kind: &str, users: &[&str]) -> Event {
    Event { users: users.iter().map(|user| (*user).to_owned()).collect(), ..event(position, kind, ADA) }
}

fn message(position: i64, seq: i64, actor: &str) -> Event {
    let (client_id, text) = (Some(format!("id {seq}")), Some(format!("text {seq}")));
    Event { seq, client_id, text, ..event(position, "message.sent", actor) }
}

fn ok(position: i64, seq: i64, duplicate: bool) -> Answer {
    Answer::Ok { conversation: None, position, seq, duplicate }
}

fn tried(asked: u64, answer: Answer) -> Try {
    Try { asked, answer: Some((asked + 5, answer)) }
}

fn send(seq: i64) -> What {
    What::Send { conversation: PLACE.into(), client_id: format!("id {seq}"), text: format!("text {seq}") }
}

fn entry(user: &str, read_seq: i64) -> Entry {
    let (unread, mentions_unread) = (3 - read_seq, i64::from(read_seq < 2));
    let conversation = PLACE.into();
    Entry {
        user: user.into(),
        conversation,
        last_position: 6,
        last_seq: 3,
        read_seq,
        unread,
        mentions_unread,
        left: false,
    }
}

/// Ada makes a group with Bob and Eve; three messages, the second with a mention; Eve is removed before the last.
fn right() -> History {
    let mut second = message(3, 2, BOB);
    second.mentions = vec!["all".into()];
    let log = vec![
        members(1, "conversation.created", &[ADA, BOB, EVE]),
        message(2, 1, ADA),
        second,
        members(4, "member.left", &[EVE]),
        message(5, 3, ADA),
        members(6, "member.joined", &["usr_zoe"]),
    ];
    let mut history = History::default();
    let created = Answer::Ok { conversation: Some(PLACE.into()), position: 1, seq: 0, duplicate: false };
    let all = [ADA, BOB, EVE].map(str::to_owned).to_vec();
    let commands = [
        (ADA, What::Create { members: all }, vec![tried(1, created)]),
        (ADA, send(1), vec![tried(2, ok(2, 1, false)), tried(9, ok(2, 1, true))]),
        (BOB, send(2), vec![Try { asked: 3, answer: None }, tried(4, ok(3, 2, true))]),
        (BOB, What::Read { conversation: PLACE.into(), seq: 1 }, vec![tried(5, ok(0, 0, false))]),
        (ADA, What::Remove { conversation: PLACE.into(), users: vec![EVE.into()] }, vec![tried(6, ok(4, 0, false))]),
    ];
    history.commands =
        commands.into_iter().map(|(user, what, tries)| Command { user: user.into(), what, tries }).collect();
    let sealed = log.iter().map(|event| Event { text: None, ..event.clone() });
    history.ending.sealed.insert(PLACE.into(), sealed.collect());
    for user in [ADA, BOB] {
        history.pushes.extend(log.iter().map(|event| Push { user: user.into(), at: 9, event: event.clone() }));
        let key = (PLACE.to_owned(), user.to_owned());
        history.ending.logs.insert(key.clone(), log.clone());
        let messages = log.iter().filter(|event| event.seq > 0).map(|event| (event.seq, event.text.clone()));
        history.ending.messages.insert(key.clone(), messages.collect());
        history.ending.known.insert(key, Some(6));
        history.ending.online.insert(user.into());
        history.ending.shown.insert(user.into(), "online".into());
    }
    history.ending.inbox = vec![entry(ADA, 3), entry(BOB, 2)];
    history.pushes.extend(log[..4].iter().map(|event| Push { user: EVE.into(), at: 9, event: event.clone() }));
    history.pages.push(Page {
        user: EVE.into(),
        conversation: PLACE.into(),
        after: 1,
        events: log[1..3].to_vec(),
        last_position: 3,
    });
    history.ending.known.insert((PLACE.into(), EVE.into()), None);
    history.ending.online.insert(EVE.into());
    history.ending.shown.extend([(EVE.into(), "online".into()), ("usr_zoe".into(), "offline".into())]);
    let record = |key: &str, value: &str| (key.to_owned(), Some(value.as_bytes().to_vec()));
    let accepted = vec![record("a", "1"), record("b", "2"), record("a", "3")];
    let public = accepted[1..].to_vec();
    history.ending.streams = vec![Stream { name: "receipts".into(), accepted, public }];
    history.ending.views.insert("inbox".into(), (vec!["row".into()], vec!["row".into()]));
    changes(&mut history);
    history
}

/// Ada sends and removes a message; Bob sends one with a mention, edits it, and reacts to it; Ada removes that one for herself.
fn changes(history: &mut History) {
    let of = |event: Event| Event { conversation: CHANGED.into(), ..event };
    let mentions = vec![ADA.to_owned()];
    let sent = Event { mentions: mentions.clone(), ..message(3, 2, BOB) };
    let edited = Event { seq: 2, text: Some("new".into()), mentions, ..event(4, "message.edited", BOB) };
    let reacted = Event { seq: 2, emoji: Some("👍".into()), ..event(5, "reaction.added", BOB) };
    let deleted = Event { removed: vec![1], ..event(6, "message.deleted", ADA) };
    let log = [members(1, "conversation.created", &[ADA, BOB]), sent, edited, reacted, deleted].map(of);
    let removed = Removed { seq: 1, sender: ADA.into(), positions: vec![2] };
    history.ending.removed.insert(CHANGED.into(), vec![removed]);
    history.ending.sealed.insert(CHANGED.into(), log.iter().map(|e| Event { text: None, ..e.clone() }).collect());
    let conversation = || CHANGED.to_owned();
    let mark = What::Mark { conversation: conversation(), kind: "reaction.added", seq: 2, emoji: Some("👍".into()) };
    let send =
        |seq| What::Send { conversation: conversation(), client_id: format!("id {seq}"), text: format!("text {seq}") };
    for (user, what, answer) in [
        (ADA, send(1), ok(2, 1, false)),
        (BOB, send(2), ok(3, 2, false)),
        (BOB, What::Edit { conversation: conversation(), seq: 2, text: "new".into() }, ok(4, 0, false)),
        (BOB, mark, ok(5, 0, false)),
        (ADA, What::Delete { conversation: conversation(), seq: 1 }, ok(6, 0, false)),
        (ADA, What::Hide { conversation: conversation(), seq: 2 }, ok(0, 0, false)),
    ] {
        history.commands.push(Command { user: user.into(), what, tries: vec![tried(1, answer)] });
    }
    let first = of(message(2, 1, ADA));
    for (user, hidden) in [(ADA, true), (BOB, false)] {
        let key = (conversation(), user.to_owned());
        let seen = log.iter().filter(|event| !(hidden && event.position == 3));
        history.ending.logs.insert(key.clone(), seen.cloned().collect());
        let second = (!hidden).then(|| "new".to_owned());
        history.ending.messages.insert(key.clone(), vec![(1, None), (2, second)]);
        history.ending.known.insert(key, Some(6));
        let pushed = log.iter().chain([&first]);
        history.pushes.extend(pushed.map(|event| Push { user: user.into(), at: 9, event: event.clone() }));
        let (read_seq, mentions_unread) = (1 + i64::from(user == BOB), i64::from(user == ADA));
        let (user, last_seq, unread) = (user.to_owned(), 2, 2 - read_seq);
        let conversation = conversation();
        let last_position = 6;
        let left = false;
        history.ending.inbox.push(Entry {
            user,
            conversation,
            last_position,
            last_seq,
            read_seq,
            unread,
            mentions_unread,
            left,
        });
    }
    let page =
        Page { user: BOB.into(), conversation: conversation(), after: 1, events: log[1..].to_vec(), last_position: 6 };
    history.pages.push(page);
}

#[test]
fn a_right_history_has_no_violation() {
    assert_eq!(check(&right()), []);
}

#[test]
fn who_cannot_be_asked_any_more_is_no_violation() {
    let mut history = right();
    history.ending.logs.clear();
    history.ending.messages.clear();
    assert_eq!(check(&history), []);
}

/// What to spoil, and which violation must be found.
type Wrong = (Kind, &'static str, fn(&mut History));

fn logs(history: &mut History) -> impl Iterator<Item = &mut Vec<Event>> {
    history.ending.logs.iter_mut().filter(|((conversation, _), _)| conversation == PLACE).map(|(_, log)| log)
}

/// The log of what was changed, as somebody sees it.
fn changed<'a>(history: &'a mut History, user: &str) -> &'a mut Vec<Event> {
    history.ending.logs.get_mut(&(CHANGED.to_owned(), user.to_owned())).expect("a log")
}

const WRONG: &[Wrong] = &[
    (Kind::AcknowledgedMissing, "an acknowledged message is lost", |h| {
        h.commands.push(Command { user: ADA.into(), what: send(4), tries: vec![tried(9, ok(7, 4, false))] });
    }),
    (Kind::AcknowledgedMissing, "an acknowledged message has another text", |h| {
        logs(h).for_each(|log| log[1].text = Some("another".into()));
    }),
    (Kind::AcknowledgedMissing, "an acknowledged removal is something else", |h| {
        h.commands[4].tries[0] = tried(6, ok(5, 0, false));
    }),
    (Kind::AcknowledgedMissing, "an acknowledged creation is nowhere", |h| {
        let created = Answer::Ok { conversation: Some("cnv_2".into()), position: 1, seq: 0, duplicate: false };
        h.commands[0].tries[0] = tried(1, created);
    }),
    (Kind::AcknowledgedMissing, "an acknowledged edit says something else", |h| {
        for user in [ADA, BOB] {
            let edited = changed(h, user).iter_mut().find(|event| event.position == 4);
            edited.expect("the edit").text = Some("another".into());
        }
    }),
    (Kind::AcknowledgedMissing, "an acknowledged reaction is lost", |h| {
        h.commands
            .iter_mut()
            .filter(|c| matches!(c.what, What::Mark { .. }))
            .for_each(|c| c.tries[0] = tried(1, ok(7, 0, false)));
    }),
    (Kind::AcknowledgedMissing, "a removal removed something else", |h| {
        for user in [ADA, BOB] {
            changed(h, user).last_mut().expect("the removal").removed = vec![2];
        }
    }),
    (Kind::HistoryDiffers, "history shows what was said before the edit", |h| {
        h.ending.messages.insert((CHANGED.into(), BOB.into()), vec![(1, None), (2, Some("text 2".into()))]);
    }),
    (Kind::HistoryDiffers, "history shows a removed message", |h| {
        h.ending
            .messages
            .insert((CHANGED.into(), BOB.into()), vec![(1, Some("text 1".into())), (2, Some("new".into()))]);
    }),
    (Kind::HistoryDiffers, "history shows what somebody removed for itself", |h| {
        h.ending.messages.insert((CHANGED.into(), ADA.into()), vec![(1, None), (2, Some("new".into()))]);
    }),
    (Kind::LogsDiffer, "events show what somebody removed for itself", |h| {
        let shown = changed(h, BOB).clone();
        *changed(h, ADA) = shown;
    }),
    (Kind::Streams, "events show a removed message", |h| {
        let event = Event { conversation: CHANGED.into(), ..message(2, 1, ADA) };
        changed(h, BOB).insert(1, event);
    }),
    (Kind::PositionGap, "a position is missing of what was not removed", |h| {
        h.ending.removed.values_mut().flatten().for_each(|removed| removed.positions.clear());
    }),
    (Kind::SeqGap, "a message is missing that was not removed", |h| {
        h.ending.removed.values_mut().flatten().for_each(|removed| removed.seq = 7);
    }),
    (Kind::PositionGap, "a page lacks what was not removed", |h| {
        h.pages[1].events.remove(1);
    }),
    (Kind::AcknowledgedMissing, "an acknowledged forward is somebody else's", |h| {
        let what = What::Forward { conversation: PLACE.into(), client_id: "id 1".into() };
        h.commands.push(Command { user: BOB.into(), what, tries: vec![tried(9, ok(2, 1, false))] });
    }),
    (Kind::AcknowledgedMissing, "who was told to be in by a link is not", |h| {
        let told = Answer::Ok { conversation: Some(PLACE.into()), position: 2, seq: 0, duplicate: false };
        h.commands.push(Command { user: BOB.into(), what: What::Accept, tries: vec![tried(9, told)] });
    }),
    (Kind::Overdue, "a message outlives its time", |h| h.ending.overdue.push("cnv_1 7".into())),
    (Kind::Search, "a message is not found", |h| h.ending.searched.push("cnv_1 7".into())),
    (Kind::Unread, "who sent what was removed has not read it", |h| {
        let ada = h.ending.inbox.iter_mut().find(|entry| entry.conversation == CHANGED && entry.user == ADA);
        let ada = ada.expect("an entry");
        (ada.read_seq, ada.unread) = (0, 2);
    }),
    (Kind::Twice, "a retry was sent again", |h| {
        logs(h).for_each(|log| log[4] = Event { position: 5, seq: 3, ..log[1].clone() });
    }),
    (Kind::AnswersDiffer, "a retry was told another place", |h| h.commands[1].tries[1] = tried(9, ok(5, 3, true))),
    (Kind::AnswersDiffer, "a retry was told that it is new", |h| h.commands[1].tries[1] = tried(9, ok(2, 1, false))),
    (Kind::AnswersDiffer, "a retry of what was accepted was refused", |h| {
        h.commands[1].tries[1] = tried(9, Answer::Refused { code: "stale_client_id".into() });
    }),
    (Kind::PositionGap, "a position is missing", |h| {
        logs(h).for_each(|log| log[5].position = 7);
        h.ending.sealed.get_mut(PLACE).expect("a timeline")[5].position = 7;
    }),
    (Kind::LogsDiffer, "nobody sees what the public stream has", |h| logs(h).for_each(|log| drop(log.remove(4)))),
    (Kind::PositionGap, "a page skips a position", |h| h.pages[0].events.remove(0).position = 0),
    (Kind::SeqGap, "a seq is missing", |h| logs(h).for_each(|log| log[4].seq = 4)),
    (Kind::LogsDiffer, "two members see different events", |h| {
        h.ending.logs.entry((PLACE.into(), BOB.into())).and_modify(|log| log[4].text = None);
    }),
    (Kind::LogsDiffer, "one member sees less", |h| {
        h.ending.logs.entry((PLACE.into(), BOB.into())).and_modify(|log| drop(log.pop()));
    }),
    (Kind::HistoryDiffers, "history lacks a message", |h| {
        h.ending.messages.entry((PLACE.into(), BOB.into())).and_modify(|messages| drop(messages.pop()));
    }),
    (Kind::SilentGap, "a push is lost and nothing says so", |h| {
        h.ending.known.insert((PLACE.into(), BOB.into()), Some(5));
    }),
    (Kind::SilentGap, "a member never heard of it", |h| {
        h.ending.known.remove(&(PLACE.into(), BOB.into()));
    }),
    (Kind::SilentGap, "a member was told that it is none", |h| {
        h.ending.known.insert((PLACE.into(), BOB.into()), None);
    }),
    (Kind::LeftUnnoticed, "who was removed was not told", |h| {
        h.ending.known.insert((PLACE.into(), EVE.into()), Some(3));
    }),
    (Kind::Unread, "an acknowledged read is lost", |h| {
        h.ending.inbox[1] = entry(BOB, 0);
    }),
    (Kind::Unread, "a pointer is further than anybody read", |h| h.ending.inbox[1] = entry(BOB, 3)),
    (Kind::Unread, "unread is not what the pointer says", |h| h.ending.inbox[1].unread += 1),
    (Kind::Unread, "a mention is counted that is none", |h| h.ending.inbox[1].mentions_unread += 1),
    (Kind::Unread, "a conversation is not in the inbox", |h| {
        h.ending.inbox[1] = Entry { conversation: "cnv_2".into(), ..entry(BOB, 2) };
    }),
    (Kind::NotInLog, "a message was delivered that nobody sent", |h| h.pushes[1].event.text = Some("another".into())),
    (Kind::NotInLog, "a message was fetched that is not there", |h| h.pages[0].events[0].seq = 9),
    (Kind::ToOutsider, "who was removed got more", |h| {
        let event = message(5, 3, ADA);
        h.pushes.push(Push { user: EVE.into(), at: 9, event });
    }),
    (Kind::ToOutsider, "who was not yet a member got something", |h| {
        let event = message(2, 1, ADA);
        let users = vec!["usr_zoe".into()];
        let add = What::Add { conversation: PLACE.into(), users };
        h.commands.push(Command { user: ADA.into(), what: add, tries: vec![tried(10, ok(6, 0, false))] });
        h.pushes.push(Push { user: "usr_zoe".into(), at: 9, event });
    }),
    (Kind::ToOutsider, "who was removed could fetch more", |h| h.pages[0].last_position = 5),
    (Kind::ToOutsider, "who was removed was shown the inbox", |h| h.entries.push(entry(EVE, 3))),
    (Kind::Presence, "one with a dead gateway is online", |h| {
        h.ending.online.remove(EVE);
    }),
    (Kind::Presence, "one with a socket is offline", |h| drop(h.ending.shown.insert(BOB.into(), "offline".into()))),
    (Kind::Streams, "a record is published twice", |h| {
        let again = h.ending.streams[0].public[0].clone();
        h.ending.streams[0].public.push(again);
    }),
    (Kind::Streams, "a loser is published", |h| h.ending.streams[0].public[0].1 = Some(b"loser".to_vec())),
    (Kind::Streams, "an accepted record is not published", |h| drop(h.ending.streams[0].public.pop())),
    (Kind::Streams, "records are published in another order", |h| h.ending.streams[0].public.swap(0, 1)),
    (Kind::Streams, "the public stream has another event", |h| {
        h.ending.sealed.entry(PLACE.into()).and_modify(|events| events[2].actor = ADA.into());
    }),
    (Kind::AcknowledgedMissing, "a message is lost where nobody is left to read", |h| {
        h.ending.logs.clear();
        h.commands.push(Command { user: ADA.into(), what: send(4), tries: vec![tried(9, ok(7, 4, false))] });
    }),
    (Kind::Journal, "a journal is trimmed too early", |h| h.ending.torn.push("begins at 7".into())),
    (Kind::Refused, "a socket was closed for good", |h| h.refusals.push("closed with 4500".into())),
    (Kind::Refused, "a command was refused as internal", |h| {
        h.commands[1].tries[0] = tried(2, Answer::Refused { code: "internal".into() });
    }),
    (Kind::Stuck, "nothing flows after a fault", |h| h.stuck.push("partition 1".into())),
    (Kind::Rebuild, "a rebuilt view is another", |h| {
        h.ending.views.insert("inbox".into(), (vec!["row".into()], Vec::new()));
    }),
];

#[test]
fn every_wrong_history_is_found() {
    for (kind, what, spoil) in WRONG {
        let mut history = right();
        spoil(&mut history);
        let found = check(&history);
        assert!(found.iter().any(|violation| violation.kind == *kind), "{what}: {kind:?} is not found, but {found:?}");
    }
}
