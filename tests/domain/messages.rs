//! The rules of messages that are there: editing, removing, reacting, pinning, and what each member keeps for itself.

use tidings::domain::conversation::{
    ChangeSettings, Command, Decision, DeleteReason, EditMessage, Event, MAX_EDITS, MAX_PINS, MAX_REACTIONS, MarkRead,
    Notify, OfMessage, Reaction, SendMessage, Settings,
};
use tidings::domain::policy::{ConversationKind, History, Role};
use tidings::domain::{ConversationId, ErrorCode, Timestamp};

use crate::given::{Given, NOW, create, edit, reaction, send, set_role, update, user};

/// User 0 owns it, 1 is an admin, 2 and 3 are members; user 2 has sent a message.
fn group() -> Given {
    let mut given = Given::group(ConversationKind::Group, &[1, 2, 3]);
    given.when(0, set_role(1, Role::Admin));
    given.when(2, send(1));
    given
}

fn delete(seq: i64) -> Command {
    Command::Delete(OfMessage { seq })
}

fn pin(seq: i64) -> Command {
    Command::Pin(OfMessage { seq })
}

fn is_already(decision: &Decision) -> bool {
    matches!(decision, Decision::Done(done) if done.duplicate)
}

#[test]
fn a_message_is_edited_by_its_author_only_and_the_same_edit_is_one() {
    let mut given = group();
    assert_eq!(given.code(0, edit(1, 7)), Some(ErrorCode::Forbidden), "not even by the owner");
    assert_eq!(given.code(2, edit(2, 7)), Some(ErrorCode::BadRequest));
    assert_eq!(given.code(2, edit(1, 7)), None);
    assert!(is_already(&given.when(2, edit(1, 7))));
    for n in 1..MAX_EDITS {
        assert_eq!(given.code(2, edit(1, n as u8 + 7)), None);
    }
    assert_eq!(given.code(2, edit(1, 0)), Some(ErrorCode::Conflict));
    given.when(0, Command::RemoveMembers(tidings::domain::conversation::Users { users: vec![user(2)] }));
    assert_eq!(given.code(2, edit(1, 1)), Some(ErrorCode::NotAMember));
}

#[test]
fn guests_mention_users_and_not_everybody() {
    let mut given = group();
    given.when(0, set_role(3, Role::Guest));
    let mentioning = |n: u8, mentions: &[&str]| match send(n) {
        Command::Send(message) => {
            let mentions = mentions.iter().map(|mention| (*mention).to_owned()).collect();
            Command::Send(SendMessage { mentions, ..message })
        }
        other => other,
    };
    for everybody in ["all", "here"] {
        assert_eq!(given.code(3, mentioning(2, &[everybody])), Some(ErrorCode::Forbidden), "{everybody}");
    }
    assert_eq!(given.code(3, mentioning(3, &[&user(0).to_string()])), None);
    assert_eq!(given.code(2, mentioning(4, &["all"])), None, "a member does");
    let changed = |seq: i64, mentions: Vec<String>| match edit(seq, 7) {
        Command::Edit(edited) => Command::Edit(EditMessage { mentions: Some(mentions), ..edited }),
        other => other,
    };
    assert_eq!(given.code(3, changed(2, vec!["here".into()])), Some(ErrorCode::Forbidden), "nor by an edit");
    given.when(0, set_role(2, Role::Guest));
    assert_eq!(given.code(2, changed(3, vec!["all".into()])), None, "what it said before stays");
}

#[test]
fn a_message_is_removed_by_its_author_and_by_those_above() {
    for (actor, expected) in [
        (0, Ok(DeleteReason::Moderator)),
        (1, Ok(DeleteReason::Moderator)),
        (2, Ok(DeleteReason::Author)),
        (3, Err(ErrorCode::Forbidden)),
        (4, Err(ErrorCode::NotAMember)),
    ] {
        let mut given = group();
        let decided = match given.when(actor, delete(1)) {
            Decision::Record(recorded) => match recorded.event {
                Event::Deleted(deleted) => Ok(deleted.reason),
                other => panic!("{other:?}"),
            },
            Decision::Reject(rejection) => Err(rejection.code),
            Decision::Done(done) => panic!("{done:?}"),
        };
        assert_eq!(decided, expected, "by user {actor}");
    }
    let mut given = group();
    given.when(0, send(2));
    assert_eq!(given.code(1, delete(2)), Some(ErrorCode::Forbidden), "an admin is below an owner");
    given.when(2, delete(1));
    assert!(is_already(&given.when(3, delete(1))), "it is gone, whoever asks");
    for command in [edit(1, 1), Command::React(reaction(1, true)), pin(1)] {
        let refused = [ErrorCode::NotFound, ErrorCode::NotFound, ErrorCode::NotFound];
        assert!(given.code(0, command).is_some_and(|code| refused.contains(&code)));
    }
    // A late retry of the send hears what the first try heard, and nothing is sent.
    assert!(matches!(given.when(2, send(1)), Decision::Done(done) if done.duplicate && done.seq == 1));
}

#[test]
fn a_removal_names_a_retry_as_long_as_one_may_come() {
    let day = 24 * 3_600_000;
    for (later, named) in [(day, true), (day + 1, false)] {
        let mut given = group();
        given.at = NOW + later;
        let Decision::Record(recorded) = given.when(2, delete(1)) else { panic!("not removed") };
        let Event::Deleted(deleted) = recorded.event else { panic!("not removed") };
        assert_eq!(deleted.messages[0].client_id.is_some(), named, "{later}");
        assert_eq!(deleted.messages[0].at, Timestamp(NOW));
    }
}

#[test]
fn reactions_are_emoji_each_once_and_of_few_kinds() {
    let mut given = group();
    assert_eq!(given.code(3, Command::React(reaction(1, true))), None);
    assert!(is_already(&given.when(3, Command::React(reaction(1, true)))));
    assert!(is_already(&given.when(3, Command::Unreact(reaction(1, false)))));
    assert_eq!(given.code(3, Command::Unreact(reaction(1, true))), None);
    let text = Command::React(Reaction { seq: 1, emoji: "remember me".into() });
    assert_eq!(given.code(3, text), Some(ErrorCode::BadRequest));
    assert_eq!(given.code(4, Command::React(reaction(1, true))), Some(ErrorCode::NotAMember));
    for n in 0..MAX_REACTIONS {
        assert_eq!(given.code(3, Command::React(Reaction { seq: 1, emoji: format!(":n{n}:") })), None);
    }
    assert_eq!(given.code(3, Command::React(reaction(1, true))), Some(ErrorCode::Conflict));
    let known = Command::React(Reaction { seq: 1, emoji: ":n7:".into() });
    assert_eq!(given.code(2, known), None, "of a kind that is there");
}

#[test]
fn owners_and_admins_pin_a_limited_number() {
    let mut given = group();
    assert_eq!(given.code(2, pin(1)), Some(ErrorCode::Forbidden));
    assert_eq!(given.code(1, pin(1)), None);
    assert!(is_already(&given.when(0, pin(1))));
    assert_eq!(given.code(1, Command::Unpin(OfMessage { seq: 1 })), None);
    assert!(is_already(&given.when(1, Command::Unpin(OfMessage { seq: 1 }))));
    for n in 0..=MAX_PINS {
        given.when(2, send(n as u8 + 2));
        let expected = (n == MAX_PINS).then_some(ErrorCode::Conflict);
        assert_eq!(given.code(0, pin(n as i64 + 2)), expected, "pin {n}");
    }
    let mut direct = Given::nothing();
    direct.id = ConversationId::direct(user(0), user(1));
    direct.when(0, create(ConversationKind::Direct, vec![user(1)]));
    direct.when(0, send(1));
    assert_eq!(direct.code(1, pin(1)), None);
    assert_eq!(direct.code(1, delete(1)), Some(ErrorCode::Forbidden));
}

#[test]
fn the_last_owner_stays_one() {
    let mut given = group();
    assert_eq!(given.code(0, set_role(0, Role::Member)), Some(ErrorCode::Conflict));
    assert_eq!(given.code(1, set_role(2, Role::Owner)), Some(ErrorCode::Forbidden));
    assert_eq!(given.code(0, set_role(9, Role::Admin)), Some(ErrorCode::NotFound));
    assert_eq!(given.code(0, set_role(2, Role::Owner)), None);
    assert!(is_already(&given.when(0, set_role(2, Role::Owner))));
    assert_eq!(given.code(0, set_role(0, Role::Member)), None, "ownership is handed on");
    assert_eq!(given.code(0, update(Some(History::SinceJoin))), Some(ErrorCode::Forbidden));
}

#[test]
fn who_came_later_sees_nothing_from_before_where_it_is_hidden() {
    let mut given = group();
    assert_eq!(given.code(0, update(Some(History::SinceJoin))), None);
    assert!(is_already(&given.when(0, update(Some(History::SinceJoin)))));
    given.when(0, Command::AddMembers(tidings::domain::conversation::Users { users: vec![user(5)] }));
    for command in [Command::React(reaction(1, true)), Command::Delivered(MarkRead { seq: 1 })] {
        assert_eq!(given.code(5, command.clone()), Some(ErrorCode::BadRequest));
        assert_eq!(given.code(3, command), None, "who was there");
    }
    given.when(2, send(2));
    assert_eq!(given.code(5, Command::React(reaction(2, true))), None);
    given.when(0, update(Some(History::All)));
    assert_eq!(given.code(5, Command::React(reaction(1, true))), None);
}

#[test]
fn pointers_only_rise_and_what_was_read_was_delivered() {
    let mut given = group();
    let pointers = |given: &Given| {
        let member = given.state.as_ref().expect("created").members[&user(3)];
        (member.read_seq, member.delivered_seq)
    };
    assert_eq!(given.code(3, Command::Delivered(MarkRead { seq: 1 })), None);
    assert_eq!(pointers(&given), (0, 1));
    assert!(is_already(&given.when(3, Command::Delivered(MarkRead { seq: 1 }))));
    given.when(2, send(2));
    assert_eq!(given.code(3, Command::Read(MarkRead { seq: 2 })), None);
    assert_eq!(pointers(&given), (2, 2));
    assert!(is_already(&given.when(3, Command::Delivered(MarkRead { seq: 1 }))));
}

#[test]
fn settings_are_ones_own_and_an_archived_conversation_comes_back() {
    let mut given = group();
    let archive = ChangeSettings { archived: Some(true), notify: Some(Notify::Mentions), ..ChangeSettings::default() };
    assert_eq!(given.code(3, Command::Settings(archive.clone())), None);
    assert!(is_already(&given.when(3, Command::Settings(archive))));
    let settings = |given: &Given| given.state.as_ref().expect("created").members[&user(3)].settings;
    let mut expected = Settings { archived_seq: Some(1), notify: Notify::Mentions, ..Settings::default() };
    assert_eq!(settings(&given), expected);
    let now = Timestamp(NOW);
    assert!(expected.is_archived(1, now) && !expected.is_archived(2, now), "until the next message");
    let until = Some(now.plus(10));
    given.when(3, Command::Settings(ChangeSettings { muted_until: until, ..ChangeSettings::default() }));
    expected.muted_until = until;
    assert_eq!(settings(&given), expected);
    assert!(expected.is_archived(2, now) && !expected.is_archived(2, now.plus(10)), "or as long as it is muted");
    given.when(3, Command::Settings(ChangeSettings { unmuted: true, ..ChangeSettings::default() }));
    assert_eq!(settings(&given).muted_until, None);
    assert_eq!(given.code(4, Command::Settings(ChangeSettings::default())), Some(ErrorCode::NotAMember));
}
