//! Bans and mutes. Both end by themselves where they were given an end, and outlive a membership.

use std::collections::HashMap;

use super::{Outcome, already, bad_request, check_count, conflict, distinct, members, next};
use crate::domain::conversation::MAX_RESTRICTED;
use crate::domain::conversation::command::{Input, Restriction, Users};
use crate::domain::conversation::event::{Event, LeaveReason, MemberLeft};
use crate::domain::conversation::state::Conversation;
use crate::domain::policy::Action;
use crate::domain::{Rejection, Timestamp, UserId};

pub fn ban(conversation: &Conversation, input: &Input, ban: &Restriction) -> Outcome {
    let users = asked(conversation, input, &ban.users, Action::Ban)?;
    check_end(input, ban)?;
    let until = Timestamp::end_of(ban.until);
    let is_so = |user: &UserId| conversation.bans.get(user) == Some(&until) && conversation.role(*user).is_none();
    if users.iter().all(is_so) {
        return already(conversation);
    }
    check_room(&conversation.bans, &users, input.at)?;
    let present = users.iter().copied().filter(|user| conversation.members.contains_key(user)).collect();
    // Only a moderator bans owners, and what they leave must not be without one for ever.
    let promoted = members::heir(conversation, &users);
    let left = MemberLeft::new(present, LeaveReason::Banned);
    next(conversation, input, Event::Left(MemberLeft { promoted, banned: users, until: ban.until, ..left }))
}

pub fn unban(conversation: &Conversation, input: &Input, users: &Users) -> Outcome {
    let mut users = asked(conversation, input, &users.users, Action::Ban)?;
    users.retain(|user| conversation.bans.contains_key(user));
    lift(conversation, input, users, Event::Unbanned)
}

pub fn mute(conversation: &Conversation, input: &Input, mute: &Restriction) -> Outcome {
    let users = asked(conversation, input, &mute.users, Action::Mute)?;
    check_end(input, mute)?;
    let until = Timestamp::end_of(mute.until);
    if users.iter().all(|user| conversation.mutes.get(user) == Some(&until)) {
        return already(conversation);
    }
    check_room(&conversation.mutes, &users, input.at)?;
    next(conversation, input, Event::Muted(Restriction { users, until: mute.until }))
}

pub fn unmute(conversation: &Conversation, input: &Input, users: &Users) -> Outcome {
    let mut users = asked(conversation, input, &users.users, Action::Mute)?;
    users.retain(|user| conversation.mutes.contains_key(user));
    lift(conversation, input, users, Event::Unmuted)
}

/// The users, each once, if the actor may do `action` to all of them.
fn asked(
    conversation: &Conversation,
    input: &Input,
    users: &[UserId],
    action: Action,
) -> Result<Vec<UserId>, Rejection> {
    check_count(users.len())?;
    // Who is no member hears that first; a moderator need not be one.
    conversation.allow(input, Action::View).or_else(|_| conversation.allow(input, action))?;
    if users.contains(&input.actor) {
        return Err(bad_request("users must not name yourself"));
    }
    let users = distinct(users);
    conversation.allow(input, action)?;
    for user in &users {
        conversation.allow_to(input, conversation.role(*user), action)?;
    }
    Ok(users)
}

fn check_end(input: &Input, restriction: &Restriction) -> Result<(), Rejection> {
    let ends = |until: Timestamp| until > input.at && until <= Timestamp::FOREVER;
    if restriction.until.is_none_or(ends) { Ok(()) } else { Err(bad_request("until must be in the future")) }
}

/// Those that have ended take no room.
fn check_room(restricted: &HashMap<UserId, Timestamp>, users: &[UserId], now: Timestamp) -> Result<(), Rejection> {
    let others = restricted.iter().filter(|(user, until)| **until > now && !users.contains(user)).count();
    if others + users.len() > MAX_RESTRICTED {
        return Err(conflict(format!("at most {MAX_RESTRICTED} users can be restricted at a time; lift some first")));
    }
    Ok(())
}

fn lift(conversation: &Conversation, input: &Input, users: Vec<UserId>, event: fn(Restriction) -> Event) -> Outcome {
    if users.is_empty() {
        return already(conversation);
    }
    next(conversation, input, event(Restriction { users, until: None }))
}
