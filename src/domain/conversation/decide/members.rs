//! Members: who comes, who goes, and who has which role.

use std::collections::HashSet;

use super::{Outcome, already, bad_request, check_count, conflict, distinct, invites, next};
use crate::domain::conversation::MAX_MEMBERS;
use crate::domain::conversation::command::Input;
use crate::domain::conversation::event::{Event, LeaveReason, MemberJoined, MemberLeft, MemberRole};
use crate::domain::conversation::state::Conversation;
use crate::domain::policy::{self, Action, JoinRule, Role, Standing};
use crate::domain::{ErrorCode, InviteId, Rejection, UserId};

/// Makes members of them: with `role`, and `invite` if they came with its link.
pub fn enter(
    conversation: &Conversation,
    input: &Input,
    users: Vec<UserId>,
    role: Role,
    invite: Option<InviteId>,
) -> Outcome {
    if conversation.members.len() + users.len() > MAX_MEMBERS {
        return Err(Rejection::new(ErrorCode::TooLarge, format!("a conversation has at most {MAX_MEMBERS} members")));
    }
    // A channel that everybody has left can be joined, and must not stay without an owner for ever.
    let role = if conversation.members.is_empty() { Role::Owner } else { role };
    let event =
        MemberJoined { users, role, first_slot: conversation.next_slot, read_seq: conversation.last_seq, invite };
    next(conversation, input, Event::Joined(event))
}

pub fn add(conversation: &Conversation, input: &Input, users: &[UserId]) -> Outcome {
    check_count(users.len())?;
    let standing = Standing { banned_until: None, ..conversation.standing_of(input) };
    policy::allow(standing, Action::AddMembers)?;
    let new: Vec<_> = distinct(users).into_iter().filter(|user| !conversation.members.contains_key(user)).collect();
    for user in &new {
        let banned_until = conversation.bans.get(user).copied();
        policy::allow(Standing { banned_until, ..standing }, Action::AddMembers)?;
    }
    if new.is_empty() { already(conversation) } else { enter(conversation, input, new, Role::Member, None) }
}

/// Where one asks to be added, that is done instead.
pub fn join(conversation: &Conversation, input: &Input) -> Outcome {
    if conversation.join == JoinRule::Request {
        return invites::request(conversation, input);
    }
    conversation.allow(input, Action::Join)?;
    if conversation.members.contains_key(&input.actor) {
        already(conversation)
    } else {
        enter(conversation, input, vec![input.actor], Role::Member, None)
    }
}

pub fn remove(conversation: &Conversation, input: &Input, users: &[UserId]) -> Outcome {
    check_count(users.len())?;
    conversation.allow(input, Action::RemoveMember)?;
    if users.contains(&input.actor) {
        return Err(bad_request("use conversation.leave to end your own membership"));
    }
    let mut present = Vec::new();
    for user in distinct(users) {
        if let Some(member) = conversation.members.get(&user) {
            conversation.allow_to(input, Some(member.role), Action::RemoveMember)?;
            present.push(user);
        }
    }
    if present.is_empty() {
        return already(conversation);
    }
    next(conversation, input, Event::Left(MemberLeft::new(present, LeaveReason::Removed)))
}

pub fn leave(conversation: &Conversation, input: &Input) -> Outcome {
    conversation.allow(input, Action::Leave)?;
    let promoted = heir(conversation, &[input.actor]);
    let left = MemberLeft::new(vec![input.actor], LeaveReason::Left);
    next(conversation, input, Event::Left(MemberLeft { promoted, ..left }))
}

/// Who becomes owner when the last ones are among `leavers`: the highest role, then the longest member.
pub fn heir(conversation: &Conversation, leavers: &[UserId]) -> Option<UserId> {
    if !leavers.iter().any(|user| conversation.role(*user) == Some(Role::Owner)) {
        return None;
    }
    let leavers: HashSet<_> = leavers.iter().collect();
    let others = || conversation.members.iter().filter(|(user, _)| !leavers.contains(user));
    if others().any(|(_, member)| member.role == Role::Owner) {
        return None;
    }
    others().min_by_key(|(_, member)| (member.role, member.slot)).map(|(user, _)| *user)
}

pub fn set_role(conversation: &Conversation, input: &Input, wanted: MemberRole) -> Outcome {
    conversation.allow(input, Action::View)?;
    let Some(member) = conversation.members.get(&wanted.user) else {
        return Err(Rejection::new(ErrorCode::NotFound, "the user is not a member of this conversation"));
    };
    let standing = conversation.standing_of(input).towards(Some(member.role));
    policy::allow(Standing { wanted_role: Some(wanted.role), ..standing }, Action::SetRole)?;
    if member.role == wanted.role {
        return already(conversation);
    }
    let owners = conversation.members.values().filter(|member| member.role == Role::Owner).count();
    if member.role == Role::Owner && owners == 1 {
        return Err(conflict("a conversation keeps an owner; make somebody else one first"));
    }
    next(conversation, input, Event::Role(wanted))
}
