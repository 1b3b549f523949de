//! From a state and a command to at most one event.

mod invites;
mod members;
mod messages;
mod own;
mod pointers;
mod polls;
mod reports;
mod restrictions;

use std::collections::HashSet;

use super::command::{Command, CreateConversation, Input, UpdateConversation};
use super::event::{ConversationCreated, Event, MemberRole};
use super::state::Conversation;
use super::{Decision, MAX_SLOW_MODE_MS, MAX_USERS_A_COMMAND, Recorded};
use crate::domain::policy::{Action, ConversationKind, Role};
use crate::domain::{ConversationId, ErrorCode, Rejection, UserId};

/// Decides `input` on `state` (none: no such conversation). Deterministic; no clock, no chance.
pub fn decide(state: Option<&Conversation>, input: &Input) -> Decision {
    let result = match (&input.command, state.filter(|c| c.tenant == input.tenant)) {
        (Command::Create(_), None) if state.is_some() => Err(not_found()),
        (Command::Create(create), existing) => decide_create(existing, input, create),
        (_, None) => Err(not_found()),
        (command, Some(conversation)) => match command {
            Command::Create(_) => Err(not_found()),
            Command::Send(send) => messages::send(conversation, input, send),
            Command::Edit(edit) => messages::edit(conversation, input, edit),
            Command::Delete(of) => messages::delete(conversation, input, *of),
            Command::Locate(located) => messages::locate(conversation, input, located),
            Command::Expire(of) => messages::expire(conversation, input, *of),
            Command::Vote(vote) => polls::vote(conversation, input, vote),
            Command::ClosePoll(of) => polls::close(conversation, input, *of),
            Command::React(reaction) => messages::react(conversation, input, reaction),
            Command::Unreact(reaction) => messages::unreact(conversation, input, reaction),
            Command::Pin(of) => messages::pin(conversation, input, *of),
            Command::Unpin(of) => messages::unpin(conversation, input, *of),
            Command::Read(read) => pointers::read(conversation, input, read),
            Command::Delivered(delivered) => pointers::delivered(conversation, input, delivered),
            Command::ReadThread(read) => pointers::read_thread(conversation, input, *read),
            Command::AddMembers(add) => members::add(conversation, input, &add.users),
            Command::RemoveMembers(remove) => members::remove(conversation, input, &remove.users),
            Command::SetRole(role) => members::set_role(conversation, input, *role),
            Command::Join => members::join(conversation, input),
            Command::Leave => members::leave(conversation, input),
            Command::Invite(invite) => invites::invite(conversation, input, *invite),
            Command::RevokeInvite(of) => invites::revoke(conversation, input, *of),
            Command::JoinByInvite(of) => invites::join(conversation, input, *of),
            Command::Decline(users) => invites::decline(conversation, input, users),
            Command::Ban(ban) => restrictions::ban(conversation, input, ban),
            Command::Unban(users) => restrictions::unban(conversation, input, users),
            Command::Mute(mute) => restrictions::mute(conversation, input, mute),
            Command::Unmute(users) => restrictions::unmute(conversation, input, users),
            Command::Block(block) => own::block(conversation, input, *block),
            Command::Settings(change) => own::settings(conversation, input, change),
            Command::Hide(of) => own::hide(conversation, input, *of),
            Command::Draft(draft) => own::draft(conversation, input, draft),
            Command::Report(report) => reports::report(conversation, input, report),
            Command::Resolve(resolution) => reports::resolve(conversation, input, *resolution),
            Command::Update(update) => decide_update(conversation, input, update),
        },
    };
    result.unwrap_or_else(Decision::Reject)
}

type Outcome = Result<Decision, Rejection>;

fn not_found() -> Rejection {
    Rejection::new(ErrorCode::NotFound, "there is no such conversation")
}

fn bad_request(message: &str) -> Rejection {
    Rejection::new(ErrorCode::BadRequest, message)
}

fn conflict(message: impl Into<String>) -> Rejection {
    Rejection::new(ErrorCode::Conflict, message)
}

/// Records `event` as the conversation's next.
fn next(conversation: &Conversation, input: &Input, event: Event) -> Outcome {
    let at = input.at.max(conversation.last_at);
    Ok(Decision::Record(Recorded { actor: input.actor, at, position: conversation.last_position + 1, event }))
}

fn already(conversation: &Conversation) -> Outcome {
    Ok(Decision::Done(conversation.already()))
}

/// Records `event`, which is not of the timeline.
fn beside(conversation: &Conversation, input: &Input, event: Event) -> Outcome {
    let at = input.at.max(conversation.last_at);
    Ok(Decision::Record(Recorded { actor: input.actor, at, position: 0, event }))
}

/// That `seq` is of a message that the actor may name.
fn check_seq(conversation: &Conversation, input: &Input, field: &str, seq: i64) -> Result<(), Rejection> {
    if conversation.shows_to(input, seq) {
        Ok(())
    } else {
        Err(bad_request(&format!("{field} names no message of this conversation")))
    }
}

/// Each user once, in the order given.
fn distinct(users: &[UserId]) -> Vec<UserId> {
    let mut seen = HashSet::with_capacity(users.len());
    users.iter().copied().filter(|user| seen.insert(*user)).collect()
}

fn check_count(users: usize) -> Result<(), Rejection> {
    if users > MAX_USERS_A_COMMAND {
        return Err(Rejection::new(
            ErrorCode::TooLarge,
            format!("{users} users are too many for one command; send at most {MAX_USERS_A_COMMAND}"),
        ));
    }
    Ok(())
}

fn decide_create(existing: Option<&Conversation>, input: &Input, create: &CreateConversation) -> Outcome {
    if let Some(conversation) = existing {
        return already(conversation);
    }
    check_count(create.members.len())?;
    let others: Vec<_> = distinct(&create.members).into_iter().filter(|user| *user != input.actor).collect();
    let id = match create.kind {
        ConversationKind::Direct => {
            let [other] = others[..] else {
                return Err(bad_request("a direct conversation is with exactly one other user"));
            };
            if create.name.is_some() {
                return Err(bad_request("a direct conversation has no name"));
            }
            ConversationId::direct(input.actor, other)
        }
        ConversationKind::Group | ConversationKind::Channel => ConversationId::group(input.actor, create.client_id),
    };
    if id != input.conversation {
        return Err(bad_request("the conversation's id does not follow from its members or client_id"));
    }
    let creator = if create.kind == ConversationKind::Direct { Role::Member } else { Role::Owner };
    let others = others.into_iter().map(|user| MemberRole { user, role: Role::Member });
    let members = std::iter::once(MemberRole { user: input.actor, role: creator }).chain(others).collect();
    let event = Event::Created(ConversationCreated { kind: create.kind, name: create.name.clone(), members });
    Ok(Decision::Record(Recorded { actor: input.actor, at: input.at, position: 1, event }))
}

fn decide_update(conversation: &Conversation, input: &Input, update: &UpdateConversation) -> Outcome {
    conversation.allow(input, if update.freezes() { Action::Freeze } else { Action::Update })?;
    if update.slow_mode_ms.is_some_and(|wait_ms| !(0..=MAX_SLOW_MODE_MS).contains(&wait_ms)) {
        return Err(bad_request(&format!("slow_mode_ms is from 0 to {MAX_SLOW_MODE_MS}")));
    }
    // Only what is not so already.
    let changes = UpdateConversation {
        history: update.history.filter(|history| *history != conversation.history),
        join: update.join.filter(|join| *join != conversation.join),
        frozen: update.frozen.filter(|frozen| *frozen != conversation.frozen),
        slow_mode_ms: update.slow_mode_ms.filter(|wait_ms| *wait_ms != conversation.slow_mode_ms),
        ..update.clone()
    };
    if changes == UpdateConversation::default() {
        return already(conversation);
    }
    next(conversation, input, Event::Updated(changes))
}
