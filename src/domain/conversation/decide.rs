//! From a state and a command to at most one event.

use std::collections::HashSet;

use super::command::{Command, CreateConversation, Input, MarkRead, SendMessage};
use super::event::{ConversationCreated, Event, LeaveReason, MemberJoined, MemberLeft, MemberRole, MessageSent, Read};
use super::state::Conversation;
use super::{CLIENT_ID_MAX_AGE_MS, CLIENT_ID_MAX_AHEAD_MS, Decision, MAX_MEMBERS, MAX_USERS_A_COMMAND, Recorded};
use crate::domain::decision::Done;
use crate::domain::policy::{Action, ConversationKind, Role};
use crate::domain::{ConversationId, ErrorCode, Rejection, Timestamp, UserId};

/// Decides `input` on `state` (none: no such conversation). Deterministic; no clock, no chance.
pub fn decide(state: Option<&Conversation>, input: &Input) -> Decision {
    let result = match (&input.command, state.filter(|c| c.tenant == input.tenant)) {
        (Command::Create(_), None) if state.is_some() => Err(not_found()),
        (Command::Create(create), existing) => decide_create(existing, input, create),
        (_, None) => Err(not_found()),
        (command, Some(conversation)) => match command {
            Command::Create(_) => Err(not_found()),
            Command::Send(send) => decide_send(conversation, input, send),
            Command::Read(read) => decide_read(conversation, input, read),
            Command::AddMembers(add) => decide_add(conversation, input, &add.users),
            Command::RemoveMembers(remove) => decide_remove(conversation, input, &remove.users),
            Command::Join => decide_join(conversation, input),
            Command::Leave => decide_leave(conversation, input),
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

/// Records `event` as the conversation's next.
fn next(conversation: &Conversation, input: &Input, event: Event) -> Outcome {
    let at = input.at.max(conversation.last_at);
    Ok(Decision::Record(Recorded { actor: input.actor, at, position: conversation.last_position + 1, event }))
}

fn already(conversation: &Conversation) -> Outcome {
    Ok(Decision::Done(conversation.already()))
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

fn decide_send(conversation: &Conversation, input: &Input, send: &SendMessage) -> Outcome {
    let made = Timestamp::of_uuid(send.client_id).ok_or_else(|| bad_request("client_id is not a UUIDv7"))?;
    if made < input.at.plus(-CLIENT_ID_MAX_AGE_MS) || made > input.at.plus(CLIENT_ID_MAX_AHEAD_MS) {
        let message = "client_id must be a UUIDv7 made within the last 24 hours; check the device's clock, then send with a new one";
        return Err(Rejection::new(ErrorCode::StaleClientId, message));
    }
    // A retry hears what the first heard, even if the sender was removed in between.
    if let Some(sent) = conversation.sent.get(&(input.actor, send.client_id)) {
        return Ok(Decision::Done(Done { position: sent.position, seq: sent.seq, at: sent.at, duplicate: true }));
    }
    conversation.allow(input.actor, Action::Send)?;
    if send.text.is_none() {
        return Err(bad_request("a message needs a text"));
    }
    for (field, seq) in [("reply_to", send.reply_to), ("thread", send.thread)] {
        if seq.is_some_and(|seq| seq < 1 || seq > conversation.last_seq) {
            return Err(bad_request(&format!("{field} names no message of this conversation")));
        }
    }
    let event = Event::Sent(MessageSent {
        seq: conversation.last_seq + 1,
        client_id: send.client_id,
        text: send.text.clone(),
        reply_to: send.reply_to,
        thread: send.thread,
        mentions: send.mentions.clone(),
    });
    next(conversation, input, event)
}

fn decide_read(conversation: &Conversation, input: &Input, read: &MarkRead) -> Outcome {
    conversation.allow(input.actor, Action::View)?;
    if read.seq < 1 || read.seq > conversation.last_seq {
        return Err(bad_request("seq names no message of this conversation"));
    }
    let member = conversation.members.get(&input.actor).ok_or_else(not_found)?;
    if read.seq <= member.read_seq {
        return already(conversation);
    }
    let pointers = Read { read_seq: read.seq, delivered_seq: read.seq.max(member.delivered_seq) };
    let at = input.at.max(conversation.last_at);
    Ok(Decision::Record(Recorded { actor: input.actor, at, position: 0, event: Event::Read(pointers) }))
}

fn join(conversation: &Conversation, input: &Input, users: Vec<UserId>) -> Outcome {
    if conversation.members.len() + users.len() > MAX_MEMBERS {
        return Err(Rejection::new(ErrorCode::TooLarge, format!("a conversation has at most {MAX_MEMBERS} members")));
    }
    // A channel that everybody has left can be joined, and must not stay without an owner for ever.
    let role = if conversation.members.is_empty() { Role::Owner } else { Role::Member };
    let event = MemberJoined { users, role, first_slot: conversation.next_slot, read_seq: conversation.last_seq };
    next(conversation, input, Event::Joined(event))
}

fn decide_add(conversation: &Conversation, input: &Input, users: &[UserId]) -> Outcome {
    check_count(users.len())?;
    conversation.allow(input.actor, Action::AddMembers)?;
    let new: Vec<_> = distinct(users).into_iter().filter(|user| !conversation.members.contains_key(user)).collect();
    if new.is_empty() { already(conversation) } else { join(conversation, input, new) }
}

fn decide_join(conversation: &Conversation, input: &Input) -> Outcome {
    conversation.allow(input.actor, Action::Join)?;
    if conversation.members.contains_key(&input.actor) {
        already(conversation)
    } else {
        join(conversation, input, vec![input.actor])
    }
}

fn decide_remove(conversation: &Conversation, input: &Input, users: &[UserId]) -> Outcome {
    check_count(users.len())?;
    conversation.allow(input.actor, Action::RemoveMember(Role::Guest))?;
    if users.contains(&input.actor) {
        return Err(bad_request("use conversation.leave to end your own membership"));
    }
    let mut present = Vec::new();
    for user in distinct(users) {
        if let Some(member) = conversation.members.get(&user) {
            conversation.allow(input.actor, Action::RemoveMember(member.role))?;
            present.push(user);
        }
    }
    if present.is_empty() {
        return already(conversation);
    }
    next(conversation, input, Event::Left(MemberLeft { users: present, reason: LeaveReason::Removed, promoted: None }))
}

fn decide_leave(conversation: &Conversation, input: &Input) -> Outcome {
    conversation.allow(input.actor, Action::Leave)?;
    let promoted = heir(conversation, input.actor);
    next(conversation, input, Event::Left(MemberLeft { users: vec![input.actor], reason: LeaveReason::Left, promoted }))
}

/// Who becomes owner when `leaver` is the last one: the highest role, then the longest member.
fn heir(conversation: &Conversation, leaver: UserId) -> Option<UserId> {
    let others = || conversation.members.iter().filter(|(user, _)| **user != leaver);
    if others().any(|(_, member)| member.role == Role::Owner) {
        return None;
    }
    others().min_by_key(|(_, member)| (member.role, member.slot)).map(|(user, _)| *user)
}
