//! The rules of coming without being added by name: invitations, and asking to be added.

use tidings::domain::conversation::{Command, Invite, OfInvite, UpdateConversation, Users};
use tidings::domain::policy::{ConversationKind, JoinRule, Role};
use tidings::domain::{ErrorCode, InviteId, LinkId, Timestamp};

use crate::given::{Given, NOW, restriction, set_role, user};

/// User 0 owns it, 1 is an admin, 2 is a member.
fn group() -> Given {
    let mut given = Given::group(ConversationKind::Group, &[1, 2]);
    given.when(0, set_role(1, Role::Admin));
    given
}

fn id(n: u8) -> InviteId {
    InviteId::of_link(LinkId::from_bytes([n; 16]))
}

fn invite(n: u8, expires_at: Option<i64>, max_uses: Option<i64>, role: Role) -> Command {
    Command::Invite(Invite { invite: id(n), expires_at: expires_at.map(Timestamp), max_uses, role })
}

fn come(n: u8) -> Command {
    Command::JoinByInvite(OfInvite { invite: id(n) })
}

fn role(given: &Given, n: u8) -> Option<Role> {
    given.state.as_ref().and_then(|state| state.role(user(n)))
}

#[test]
fn who_may_add_may_invite() {
    let mut given = group();
    assert_eq!(given.code(2, invite(1, None, None, Role::Member)), Some(ErrorCode::Forbidden));
    assert_eq!(given.code(9, invite(1, None, None, Role::Member)), Some(ErrorCode::NotAMember));
    assert_eq!(given.code(1, invite(1, None, None, Role::Admin)), Some(ErrorCode::BadRequest), "no higher role");
    assert_eq!(given.code(1, invite(1, Some(NOW), None, Role::Member)), Some(ErrorCode::BadRequest));
    assert_eq!(given.code(1, invite(1, None, Some(0), Role::Member)), Some(ErrorCode::BadRequest));
    assert_eq!(given.code(1, invite(1, None, None, Role::Guest)), None);
    let direct = &mut Given::nothing();
    direct.id = tidings::domain::ConversationId::direct(user(0), user(1));
    direct.when(0, crate::given::create(ConversationKind::Direct, vec![user(1)]));
    assert_eq!(direct.code(0, invite(1, None, None, Role::Member)), Some(ErrorCode::Forbidden));
}

#[test]
fn a_link_is_good_for_so_many_until_its_end() {
    let mut given = group();
    given.when(0, invite(1, Some(NOW + 100), Some(2), Role::Guest));
    assert_eq!(given.code(5, come(2)), Some(ErrorCode::NotFound), "whoever has another link");
    assert_eq!((given.code(5, come(1)), role(&given, 5)), (None, Some(Role::Guest)));
    assert_eq!(given.code(5, come(1)), None, "again is no use of it");
    assert_eq!(given.code(6, come(1)), None);
    assert_eq!(given.code(7, come(1)), Some(ErrorCode::NotFound), "two have come");
    given.when(0, invite(2, Some(NOW + 100), None, Role::Member));
    given.when(0, Command::Ban(restriction(vec![user(5)], false)));
    assert_eq!(given.code(5, come(2)), Some(ErrorCode::Forbidden), "who is banned stays out");
    given.at += 100;
    assert_eq!(given.code(7, come(2)), Some(ErrorCode::NotFound), "it has ended");
    given.when(0, invite(3, None, None, Role::Member));
    assert_eq!(given.code(2, Command::RevokeInvite(OfInvite { invite: id(3) })), Some(ErrorCode::Forbidden));
    given.when(1, Command::RevokeInvite(OfInvite { invite: id(3) }));
    assert_eq!(given.code(7, come(3)), Some(ErrorCode::NotFound), "it was revoked");
}

#[test]
fn who_asks_is_added_or_declined() {
    let mut given = group();
    assert_eq!(given.code(5, Command::Join), Some(ErrorCode::Forbidden));
    let by_request = UpdateConversation { join: Some(JoinRule::Request), ..UpdateConversation::default() };
    given.when(0, Command::Update(by_request));
    for n in [5, 6, 7] {
        assert_eq!((given.code(n, Command::Join), role(&given, n)), (None, None));
    }
    let asking = |given: &Given| given.state.as_ref().map(|state| state.requests.len());
    assert_eq!(asking(&given), Some(3));
    given.when(5, Command::Join);
    assert_eq!(asking(&given), Some(3), "once");
    let users = |n: u8| Users { users: vec![user(n)] };
    assert_eq!(given.code(2, Command::Decline(users(5))), Some(ErrorCode::Forbidden));
    given.when(1, Command::AddMembers(users(5)));
    given.when(1, Command::Decline(users(6)));
    given.when(1, Command::Ban(restriction(vec![user(7)], false)));
    assert_eq!((asking(&given), role(&given, 5), role(&given, 6)), (Some(0), Some(Role::Member), None));
    assert_eq!(given.code(7, Command::Join), Some(ErrorCode::Forbidden));
    assert_eq!(given.code(6, Command::Join), None, "who was declined may ask again");
}
