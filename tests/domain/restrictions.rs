//! The rules of who may come, and who may write: bans, mutes, freezes, slow mode.

use tidings::domain::conversation::{
    Block, Command, Decision, Event, LeaveReason, MarkRead, Restriction, UpdateConversation, Users,
};
use tidings::domain::policy::{ConversationKind, JoinRule, Role};
use tidings::domain::{ConversationId, ErrorCode, Timestamp};

use crate::given::{Given, NOW, create, edit, reaction, send, set_role, user};

/// User 0 owns it, 1 is an admin, 2 and 3 are members.
fn of(kind: ConversationKind) -> Given {
    let mut given = Given::group(kind, &[1, 2, 3]);
    given.when(0, set_role(1, Role::Admin));
    given
}

fn named(n: u8, until: Option<i64>) -> Restriction {
    Restriction { users: vec![user(n)], until: until.map(Timestamp) }
}

fn users(n: u8) -> Users {
    Users { users: vec![user(n)] }
}

fn rule(change: impl FnOnce(&mut UpdateConversation)) -> Command {
    let mut update = UpdateConversation::default();
    change(&mut update);
    Command::Update(update)
}

#[test]
fn who_is_banned_is_gone_and_does_not_come_back_before_it_ends() {
    let mut given = of(ConversationKind::Channel);
    assert_eq!(given.code(2, Command::Ban(named(3, None))), Some(ErrorCode::Forbidden));
    assert_eq!(given.code(1, Command::Ban(named(0, None))), Some(ErrorCode::Forbidden), "an owner is above");
    assert_eq!(given.code(1, Command::Ban(named(1, None))), Some(ErrorCode::BadRequest));
    assert_eq!(given.code(1, Command::Ban(named(3, Some(NOW)))), Some(ErrorCode::BadRequest), "it has ended");
    let Decision::Record(recorded) = given.when(1, Command::Ban(named(3, Some(NOW + 100)))) else { panic!("no ban") };
    let Event::Left(left) = recorded.event else { panic!("no ban") };
    assert_eq!((left.reason, left.users, left.banned), (LeaveReason::Banned, vec![user(3)], vec![user(3)]));
    let again = given.when(1, Command::Ban(named(3, Some(NOW + 100))));
    assert!(matches!(again, Decision::Done(done) if done.duplicate));
    assert_eq!(given.code(3, Command::Join), Some(ErrorCode::Forbidden));
    assert_eq!(given.code(0, Command::AddMembers(users(3))), Some(ErrorCode::Forbidden));
    given.at = NOW + 100;
    assert_eq!(given.code(3, Command::Join), None, "it has ended");
    assert_eq!(given.code(0, Command::Ban(named(9, None))), None, "who never was a member");
    assert_eq!(given.code(9, Command::Join), Some(ErrorCode::Forbidden));
    assert_eq!(given.code(0, Command::Unban(users(9))), None);
    assert_eq!(given.code(9, Command::Join), None);
}

#[test]
fn who_is_muted_only_reads_and_coming_back_changes_nothing() {
    let mut given = of(ConversationKind::Group);
    given.when(3, send(1));
    assert_eq!(given.code(2, Command::Mute(named(3, None))), Some(ErrorCode::Forbidden));
    assert_eq!(given.code(1, Command::Mute(named(3, None))), None);
    for command in [send(2), edit(1, 1), Command::React(reaction(1, true))] {
        assert_eq!(given.code(3, command), Some(ErrorCode::Forbidden));
    }
    assert_eq!(given.code(3, Command::Leave), None);
    assert_eq!(given.code(1, Command::AddMembers(users(3))), None);
    assert_eq!(given.code(3, send(3)), Some(ErrorCode::Forbidden));
    assert_eq!(given.code(1, Command::Unmute(users(3))), None);
    assert!(matches!(given.when(1, Command::Unmute(users(3))), Decision::Done(done) if done.duplicate));
    assert_eq!(given.code(3, send(4)), None);
    assert_eq!(given.code(1, Command::Mute(named(3, Some(NOW + 100)))), None);
    assert_eq!(given.code(3, send(5)), Some(ErrorCode::Forbidden));
    given.at = NOW + 100;
    assert_eq!(given.code(3, send(6)), None, "it has ended");
}

#[test]
fn in_a_channel_few_write_and_many_read() {
    let mut given = of(ConversationKind::Channel);
    assert_eq!((given.code(0, send(1)), given.code(1, send(2))), (None, None));
    assert_eq!(given.code(2, send(3)), Some(ErrorCode::Forbidden));
    assert_eq!(given.code(2, Command::React(reaction(1, true))), None);
    assert_eq!(given.code(0, rule(|update| update.join = Some(JoinRule::Closed))), None);
    assert_eq!(given.code(8, Command::Join), Some(ErrorCode::Forbidden));
    let mut group = of(ConversationKind::Group);
    assert_eq!(group.code(8, Command::Join), Some(ErrorCode::Forbidden));
    assert_eq!(group.code(0, rule(|update| update.join = Some(JoinRule::Open))), None);
    assert_eq!(group.code(8, Command::Join), None);
}

#[test]
fn what_is_frozen_is_written_to_by_owners_and_admins_only() {
    let mut given = of(ConversationKind::Group);
    given.when(3, send(1));
    assert_eq!(given.code(1, rule(|update| update.frozen = Some(true))), None);
    assert!(matches!(given.when(1, rule(|update| update.frozen = Some(true))), Decision::Done(done) if done.duplicate));
    for command in [send(2), edit(1, 1), Command::React(reaction(1, true))] {
        assert_eq!(given.code(3, command), Some(ErrorCode::Forbidden));
    }
    assert_eq!((given.code(0, send(3)), given.code(1, send(4))), (None, None));
    assert_eq!(given.code(1, rule(|update| update.frozen = Some(false))), None);
    assert_eq!(given.code(3, send(5)), None);
}

#[test]
fn who_has_blocked_the_other_and_who_is_blocked_do_not_write() {
    let mut given = Given::nothing();
    given.id = ConversationId::direct(user(0), user(1));
    given.when(0, create(ConversationKind::Direct, vec![user(1)]));
    given.when(0, send(1));
    let block = |blocked| Command::Block(Block { blocked });
    assert_eq!(given.code(0, block(true)), None);
    assert!(matches!(given.when(0, block(true)), Decision::Done(done) if done.duplicate));
    for n in [0, 1] {
        for command in [send(10 + n), Command::React(reaction(1, true))] {
            assert_eq!(given.code(n, command), Some(ErrorCode::Blocked), "user {n}");
        }
    }
    assert!(matches!(given.when(0, send(1)), Decision::Done(done) if done.duplicate), "a retry hears the same");
    assert_eq!(given.code(1, Command::Read(MarkRead { seq: 1 })), None);
    assert_eq!(given.code(1, block(true)), None, "both may");
    assert_eq!(given.code(0, block(false)), None);
    assert_eq!(given.code(0, send(2)), Some(ErrorCode::Blocked), "the other still does");
    assert_eq!(given.code(1, block(false)), None);
    assert_eq!((given.code(0, send(3)), given.code(1, send(4))), (None, None));
    assert_eq!(given.code(2, block(true)), Some(ErrorCode::NotAMember));
    let mut group = of(ConversationKind::Group);
    assert_eq!(group.code(1, block(true)), Some(ErrorCode::BadRequest));
}

#[test]
fn in_slow_mode_members_wait_and_are_told_how_long() {
    let mut given = of(ConversationKind::Group);
    assert_eq!(given.code(1, rule(|update| update.slow_mode_ms = Some(-1))), Some(ErrorCode::BadRequest));
    assert_eq!(given.code(1, rule(|update| update.slow_mode_ms = Some(30_000))), None);
    assert_eq!(given.code(3, send(1)), None);
    given.at = NOW + 10_000;
    let Decision::Reject(rejection) = given.when(3, send(2)) else { panic!("not refused") };
    assert_eq!((rejection.code, rejection.retry_after_ms), (ErrorCode::RateLimited, Some(20_000)));
    assert!(matches!(given.when(3, send(1)), Decision::Done(done) if done.duplicate), "a retry is no new message");
    assert_eq!((given.code(2, send(3)), given.code(0, send(4)), given.code(0, send(5))), (None, None, None));
    given.at = NOW + 30_000;
    assert_eq!(given.code(3, send(2)), None);
}
