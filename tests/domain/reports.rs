//! The rules of reports, and of what the tenant's moderators may without being members.

use tidings::domain::conversation::{
    Command, Decision, DeleteReason, Event, OfMessage, Report, ReportOutcome, Resolution, Restriction,
    UpdateConversation, Users,
};
use tidings::domain::policy::{ConversationKind, History, JoinRule, Role};
use tidings::domain::{ConversationId, ErrorCode, Timestamp};

use crate::given::{Given, NOW, create, report, resolve, send, update, user};

/// Who moderates the tenant, and is a member of nothing.
const MODERATOR: u8 = 9;

/// User 0 owns it, 1 and 2 are members; 1 has sent two messages.
fn group() -> Given {
    let mut given = Given::group(ConversationKind::Group, &[1, 2]);
    given.moderator = Some(MODERATOR);
    given.when(1, send(1));
    given.when(1, send(2));
    given
}

/// Of 0 and 1, who has sent two messages.
fn direct() -> Given {
    let mut given = Given::nothing();
    given.id = ConversationId::direct(user(0), user(1));
    given.moderator = Some(MODERATOR);
    given.when(0, create(ConversationKind::Direct, vec![user(1)]));
    given.when(1, send(1));
    given.when(1, send(2));
    given
}

fn is_duplicate(decision: &Decision) -> bool {
    matches!(decision, Decision::Done(done) if done.duplicate)
}

fn reported(decision: Decision) -> Report {
    match decision {
        Decision::Record(recorded) => match recorded.event {
            Event::Reported(report) => report,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn of(seq: i64) -> OfMessage {
    OfMessage { seq }
}

fn named(n: u8) -> Restriction {
    Restriction { users: vec![user(n)], until: None }
}

fn freeze(frozen: bool) -> UpdateConversation {
    UpdateConversation { frozen: Some(frozen), ..UpdateConversation::default() }
}

#[test]
fn a_member_reports_what_it_sees_and_others_sent() {
    let mut given = group();
    assert_eq!(given.code(1, report(1, 1)), Some(ErrorCode::BadRequest), "its own");
    assert_eq!(given.code(3, report(1, 1)), Some(ErrorCode::NotAMember));
    assert_eq!(given.code(MODERATOR, report(1, 1)), Some(ErrorCode::NotAMember), "a moderator is no member either");
    assert_eq!(given.code(2, report(3, 1)), Some(ErrorCode::BadRequest), "there is none");
    given.when(1, Command::Delete(of(2)));
    assert_eq!(given.code(2, report(2, 1)), Some(ErrorCode::NotFound), "it was removed");
    given.when(0, update(Some(History::SinceJoin)));
    given.when(0, Command::AddMembers(Users { users: vec![user(4)] }));
    assert_eq!(given.code(4, report(1, 1)), Some(ErrorCode::BadRequest), "sent before it came");
    assert_eq!(reported(given.when(2, report(1, 1))).sender, user(1));
    for silent in [Command::Mute(named(2)), Command::Update(freeze(true))] {
        assert_eq!(given.code(0, silent), None);
    }
    assert_eq!(given.code(2, report(1, 2)), None, "who may not write may report");
}

#[test]
fn the_same_report_is_one_and_another_word_is_another() {
    let mut given = group();
    assert_eq!(given.code(2, report(1, 1)), None);
    assert!(is_duplicate(&given.when(2, report(1, 1))));
    given.at = NOW + 5;
    let again = reported(given.when(2, report(1, 2)));
    assert_eq!(again.opened_at.0, NOW, "it has waited since the first");
    assert_eq!(given.code(0, report(1, 1)), None, "others say theirs");
    assert!(given.events.iter().filter(|e| matches!(e.event, Event::Reported(_))).all(|e| e.position == 0));
}

#[test]
fn what_is_resolved_waits_again_when_somebody_says_more() {
    let mut given = group();
    let dismiss = || resolve(1, ReportOutcome::Dismissed);
    assert_eq!(given.code(MODERATOR, dismiss()), Some(ErrorCode::NotFound), "nobody has reported it");
    given.when(2, report(1, 1));
    for nobody in [0, 1, 2, 3] {
        assert_eq!(given.code(nobody, dismiss()), Some(ErrorCode::Forbidden), "user {nobody}");
    }
    assert_eq!(given.code(MODERATOR, dismiss()), None);
    assert!(is_duplicate(&given.when(MODERATOR, dismiss())));
    assert!(is_duplicate(&given.when(2, report(1, 1))), "a retry does not open it again");
    assert_eq!(given.code(MODERATOR, resolve(1, ReportOutcome::Restricted)), None, "on second thought");
    given.at = NOW + 7;
    assert_eq!(reported(given.when(0, report(1, 1))).opened_at.0, NOW + 7);
    assert_eq!(given.code(MODERATOR, dismiss()), None, "it waited again");
}

#[test]
fn what_was_said_since_a_moderator_looked_is_not_resolved_unseen() {
    let mut given = group();
    given.when(2, report(1, 1));
    given.at = NOW + 5;
    given.when(0, report(1, 1));
    let resolve = |last_at| {
        let outcome = ReportOutcome::Dismissed;
        Command::Resolve(Resolution { seq: 1, outcome, last_at: Some(Timestamp(last_at)) })
    };
    assert_eq!(given.code(MODERATOR, resolve(NOW + 4)), Some(ErrorCode::Conflict));
    assert_eq!(given.code(MODERATOR, resolve(NOW + 5)), None);
    assert!(is_duplicate(&given.when(MODERATOR, resolve(NOW + 4))), "it is so already");
}

#[test]
fn a_removed_message_is_resolved_all_the_same() {
    let mut given = group();
    given.when(2, report(1, 1));
    let Decision::Record(removed) = given.when(MODERATOR, Command::Delete(of(1))) else { panic!("not removed") };
    assert!(matches!(removed.event, Event::Deleted(deleted) if deleted.reason == DeleteReason::Moderator));
    assert_eq!(given.code(MODERATOR, resolve(1, ReportOutcome::Removed)), None);
    assert!(is_duplicate(&given.when(MODERATOR, resolve(1, ReportOutcome::Removed))));
}

#[test]
fn moderators_restrict_everybody_and_never_speak() {
    let mut given = group();
    let users = |n| Users { users: vec![user(n)] };
    for command in [Command::Mute(named(0)), Command::Unmute(users(0)), Command::Update(freeze(true))] {
        assert_eq!(given.code(MODERATOR, command), None);
    }
    assert!(is_duplicate(&given.when(MODERATOR, Command::Update(freeze(true)))));
    assert_eq!(given.code(MODERATOR, Command::Delete(of(2))), None, "reported or not");
    let renamed = UpdateConversation { join: Some(JoinRule::Open), ..freeze(false) };
    for command in [
        send(3),
        Command::React(crate::given::reaction(1, true)),
        Command::Update(renamed),
        Command::RemoveMembers(users(1)),
        Command::AddMembers(users(3)),
        Command::Pin(of(1)),
        Command::Hide(of(1)),
    ] {
        assert_eq!(given.code(MODERATOR, command.clone()), Some(ErrorCode::NotAMember), "{command:?}");
    }
    // Without the word of the gateway it is a stranger.
    given.moderator = None;
    for command in [Command::Ban(named(1)), Command::Delete(of(1)), Command::Update(freeze(false))] {
        assert_eq!(given.code(MODERATOR, command), Some(ErrorCode::NotAMember));
    }
}

#[test]
fn when_a_moderator_bans_the_last_owner_another_becomes_one() {
    let mut given = group();
    let Decision::Record(banned) = given.when(MODERATOR, Command::Ban(named(0))) else { panic!("no ban") };
    let Event::Left(left) = banned.event else { panic!("no ban") };
    assert_eq!((left.promoted, &left.banned), (Some(user(1)), &vec![user(0)]));
    let state = given.state.as_ref().expect("created");
    assert_eq!((state.role(user(0)), state.role(user(1))), (None, Some(Role::Owner)));
    assert_eq!(given.code(MODERATOR, Command::Unban(Users { users: vec![user(0)] })), None);
}

#[test]
fn in_a_direct_conversation_a_moderator_touches_only_what_was_reported() {
    let mut given = direct();
    given.when(0, report(1, 1));
    assert_eq!(given.code(MODERATOR, Command::Delete(of(2))), Some(ErrorCode::Forbidden));
    for command in [Command::Ban(named(1)), Command::Mute(named(1)), Command::Update(freeze(true))] {
        assert!(given.code(MODERATOR, command).is_some());
    }
    assert_eq!(given.code(MODERATOR, Command::Delete(of(1))), None);
    assert_eq!(given.code(MODERATOR, resolve(1, ReportOutcome::Removed)), None);
    assert_eq!(given.code(0, Command::Delete(of(2))), Some(ErrorCode::Forbidden), "and the other nothing");
}
