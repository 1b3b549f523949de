//! Whether somebody may do something, and if not, why: members by their role, others by how one comes in, moderators above all.

use super::{Action, Blocked, ConversationKind, JoinRule, Reported, Role, Standing};
use crate::domain::Timestamp;
use crate::domain::error::{ErrorCode, Rejection};

/// Whether somebody who stands so may do `action`.
///
/// # Errors
/// `not_a_member` or `forbidden`, with a message that says what is missing.
pub fn allow(standing: Standing, action: Action) -> Result<(), Rejection> {
    if action == Action::Resolve {
        return moderates(standing.moderator);
    }
    match as_member(standing, action) {
        Err(refused) if standing.moderator => as_moderator(standing, action, refused),
        decided => decided,
    }
}

/// Whether somebody sees what was reported in its tenant, and resolves it.
///
/// # Errors
/// `forbidden`.
pub fn moderates(moderator: bool) -> Result<(), Rejection> {
    if moderator { Ok(()) } else { forbidden("only the tenant's moderators see reports and resolve them") }
}

/// Whether somebody who stands so may ask what it may do, or what `others` may.
///
/// # Errors
/// `not_a_member` or `forbidden`.
pub fn may_ask(standing: Standing, others: bool) -> Result<(), Rejection> {
    let moderates = standing.moderator && (!others || standing.kind != ConversationKind::Direct);
    if !moderates {
        as_member(standing, Action::View)?;
    }
    if moderates || !others || standing.role.is_some_and(|role| role <= Role::Admin) {
        return Ok(());
    }
    forbidden("only owners, admins and the tenant's moderators ask what others may do")
}

/// What the tenant's moderators may that they may not as members. They stand above every role, and never speak, join or look around.
fn as_moderator(standing: Standing, action: Action, refused: Rejection) -> Result<(), Rejection> {
    let direct = standing.kind == ConversationKind::Direct;
    match (action, standing.reported) {
        (Action::SeeReported | Action::DeleteOthers, Reported::Itself) => Ok(()),
        (Action::SeeReported, Reported::Nearby) if !direct => Ok(()),
        (Action::SeeReported, _) => forbidden(
            "a moderator who is no member reads what was reported, and in groups and channels what is near it",
        ),
        (Action::DeleteOthers, _) if direct => {
            forbidden("in a direct conversation a moderator removes only what was reported")
        }
        (Action::DeleteOthers | Action::Ban | Action::Mute | Action::Freeze, _) if !direct => Ok(()),
        _ => Err(refused),
    }
}

fn as_member(standing: Standing, action: Action) -> Result<(), Rejection> {
    let Standing { kind, at, .. } = standing;
    if matches!(action, Action::Join | Action::JoinByInvite | Action::RequestToJoin) {
        return may_join(standing, action);
    }
    let Some(role) = standing.role else {
        return Err(Rejection::new(ErrorCode::NotAMember, "you are not a member of this conversation"));
    };
    let manages = role <= Role::Admin;
    let below = |target: Role| if role == Role::Owner { target != Role::Owner } else { role < target };
    match action {
        Action::View | Action::DeleteOwn | Action::Report | Action::SeeReported => Ok(()),
        Action::Resolve => moderates(standing.moderator),
        Action::Send | Action::EditOwn | Action::React => may_write(standing, manages, action),
        Action::MentionAll if role == Role::Guest => forbidden("guests mention users by their ids, not everybody"),
        Action::MentionAll => Ok(()),
        Action::EditOthers => forbidden("only its author edits a message"),
        Action::DeleteOthers if kind == ConversationKind::Direct => forbidden("only its author removes a message"),
        Action::DeleteOthers if manages && standing.target.is_none_or(below) => Ok(()),
        Action::DeleteOthers => {
            forbidden("only owners and admins remove the messages of others, of those below their own role")
        }
        Action::Pin if kind == ConversationKind::Direct || manages => Ok(()),
        Action::Pin => forbidden("only owners and admins pin messages"),
        _ if kind == ConversationKind::Direct => {
            forbidden("a direct conversation has no name, rules and roles, and its members never change")
        }
        Action::Leave | Action::Join | Action::JoinByInvite | Action::RequestToJoin => Ok(()),
        Action::Update | Action::Freeze if manages => Ok(()),
        Action::Update | Action::Freeze => forbidden("only owners and admins change a conversation"),
        Action::AddMembers if standing.banned_until.is_some_and(|until| until > at) => {
            forbidden("somebody who is banned cannot be added; lift the ban first")
        }
        Action::AddMembers if manages => Ok(()),
        Action::AddMembers => forbidden("only owners and admins add members"),
        Action::RemoveMember | Action::Ban | Action::Mute if manages && standing.target.is_none_or(below) => Ok(()),
        Action::RemoveMember | Action::Ban | Action::Mute => {
            forbidden("only owners and admins remove, ban and mute members, and only those below their own role")
        }
        Action::SetRole if role == Role::Owner => Ok(()),
        Action::SetRole if role == Role::Admin && standing.target.is_some_and(below) => {
            if standing.wanted_role.is_some_and(below) { Ok(()) } else { only_owners() }
        }
        Action::SetRole => only_owners(),
    }
}

fn forbidden(message: impl Into<String>) -> Result<(), Rejection> {
    Err(Rejection::new(ErrorCode::Forbidden, message))
}

fn only_owners() -> Result<(), Rejection> {
    forbidden("only owners make owners and admins; admins change the roles of members and guests")
}

fn may_join(standing: Standing, action: Action) -> Result<(), Rejection> {
    if standing.role.is_some() {
        return Ok(());
    }
    if let Some(until) = standing.banned_until.filter(|until| *until > standing.at) {
        return forbidden(format!("you are banned from this conversation{}", ending(until)));
    }
    let meant = match action {
        _ if standing.kind == ConversationKind::Direct => false,
        Action::JoinByInvite => true,
        Action::RequestToJoin => standing.join == JoinRule::Request,
        _ => standing.join == JoinRule::Open,
    };
    match standing.join {
        _ if meant => Ok(()),
        JoinRule::Request => forbidden("one asks to be added to this conversation; join it to ask"),
        _ => forbidden("this conversation cannot be joined; ask an owner or admin to be added"),
    }
}

fn may_write(standing: Standing, manages: bool, action: Action) -> Result<(), Rejection> {
    match standing.blocked {
        Some(Blocked::ByOneself) => {
            return Err(Rejection::new(ErrorCode::Blocked, "you have blocked this user; unblock it first"));
        }
        Some(Blocked::ByOther) => return Err(Rejection::new(ErrorCode::Blocked, "this user does not write with you")),
        None => {}
    }
    if let Some(until) = standing.muted_until.filter(|until| *until > standing.at) {
        return forbidden(format!("you may only read here{}", ending(until)));
    }
    if standing.frozen && !manages {
        return forbidden("the conversation is frozen: only owners and admins write");
    }
    if standing.kind == ConversationKind::Channel && action == Action::Send && !manages {
        return forbidden("only owners and admins send in a channel");
    }
    Ok(())
}

/// For people.
fn ending(until: Timestamp) -> String {
    if until == Timestamp::FOREVER { String::new() } else { format!(" until {until}") }
}
