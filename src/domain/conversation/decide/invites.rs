//! How one becomes a member without being added by name: invitations, and asking to be added.

use super::members::enter;
use super::{Outcome, already, bad_request, check_count, conflict, distinct, next};
use crate::domain::conversation::command::{Input, Users};
use crate::domain::conversation::event::{Event, Invite, OfInvite};
use crate::domain::conversation::state::Conversation;
use crate::domain::conversation::{MAX_INVITES, MAX_INVITES_KEPT, MAX_REQUESTS};
use crate::domain::policy::{Action, Role};
use crate::domain::{ErrorCode, Rejection};

pub fn invite(conversation: &Conversation, input: &Input, invite: Invite) -> Outcome {
    conversation.allow(input, Action::AddMembers)?;
    if conversation.invites.contains_key(&invite.invite) {
        return already(conversation);
    }
    let at = input.at.max(conversation.last_at);
    if invite.role < Role::Member {
        return Err(bad_request("an invitation makes a member or a guest"));
    }
    if invite.expires_at.is_some_and(|expires_at| expires_at <= at) || invite.max_uses.is_some_and(|uses| uses < 1) {
        return Err(bad_request("an invitation that nobody could use"));
    }
    let open = conversation.invites.values().filter(|invitation| invitation.is_open(at)).count();
    if open >= MAX_INVITES || conversation.invites.len() >= MAX_INVITES_KEPT {
        return Err(conflict(format!("a conversation has at most {MAX_INVITES} invitations; revoke some first")));
    }
    next(conversation, input, Event::Invited(invite))
}

pub fn revoke(conversation: &Conversation, input: &Input, of: OfInvite) -> Outcome {
    conversation.allow(input, Action::AddMembers)?;
    if conversation.invites.contains_key(&of.invite) {
        next(conversation, input, Event::InviteRevoked(of))
    } else {
        already(conversation)
    }
}

pub fn join(conversation: &Conversation, input: &Input, of: OfInvite) -> Outcome {
    // Who has no such link hears nothing of the conversation.
    let unknown = || Rejection::new(ErrorCode::NotFound, "there is no such invitation, or it has ended");
    let invitation = conversation.invites.get(&of.invite).ok_or_else(unknown)?;
    conversation.allow(input, Action::JoinByInvite)?;
    if conversation.members.contains_key(&input.actor) {
        return already(conversation);
    }
    if !invitation.is_open(input.at.max(conversation.last_at)) {
        return Err(unknown());
    }
    enter(conversation, input, vec![input.actor], invitation.invite.role, Some(of.invite))
}

pub fn request(conversation: &Conversation, input: &Input) -> Outcome {
    conversation.allow(input, Action::RequestToJoin)?;
    if conversation.members.contains_key(&input.actor) || conversation.requests.contains(&input.actor) {
        return already(conversation);
    }
    if conversation.requests.len() >= MAX_REQUESTS {
        return Err(conflict("too many have asked to be added; try again when some were answered"));
    }
    next(conversation, input, Event::Requested)
}

pub fn decline(conversation: &Conversation, input: &Input, users: &Users) -> Outcome {
    check_count(users.users.len())?;
    conversation.allow(input, Action::AddMembers)?;
    let asked = distinct(&users.users).into_iter().filter(|user| conversation.requests.contains(user));
    let users: Vec<_> = asked.collect();
    if users.is_empty() { already(conversation) } else { next(conversation, input, Event::Declined(Users { users })) }
}
