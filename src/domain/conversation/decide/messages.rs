//! Messages: sending, editing, removing, reacting, pinning.

use super::{Outcome, already, bad_request, check_seq, conflict, next, polls};
use crate::domain::conversation::command::{EditMessage, Input, OfMessage, SendMessage};
use crate::domain::conversation::event::{
    DeleteReason, Event, Located, MessageDeleted, MessageEdited, MessageSent, Reaction, RemovedMessage,
};
use crate::domain::conversation::known::Message;
use crate::domain::conversation::reactions::is_reaction;
use crate::domain::conversation::state::Conversation;
use crate::domain::conversation::{
    CLIENT_ID_MAX_AGE_MS, CLIENT_ID_MAX_AHEAD_MS, Decision, EXPIRY_MS, MAX_EDITS, MAX_LIVE_MS, MAX_MOVES, MAX_PINS,
    MAX_REACTIONS,
};
use crate::domain::decision::Done;
use crate::domain::policy::{self, Action, Role};
use crate::domain::time::HOUR_MS;
use crate::domain::{ErrorCode, Rejection, Timestamp};

/// Mentions that are of no single user.
const EVERYBODY: [&str; 2] = ["all", "here"];

pub fn send(conversation: &Conversation, input: &Input, send: &SendMessage) -> Outcome {
    let made = Timestamp::of_uuid(send.client_id).ok_or_else(|| bad_request("client_id is not a UUIDv7"))?;
    if made < input.at.plus(-CLIENT_ID_MAX_AGE_MS) || made > input.at.plus(CLIENT_ID_MAX_AHEAD_MS) {
        let message = "client_id must be a UUIDv7 made within the last 24 hours; check the device's clock, then send with a new one";
        return Err(Rejection::new(ErrorCode::StaleClientId, message));
    }
    // A retry hears what the first heard, even if the sender was removed in between.
    if let Some(sent) = conversation.known.sent.get(&(input.actor, send.client_id)) {
        return Ok(Decision::Done(Done { position: sent.position, seq: sent.seq, at: sent.at, duplicate: true }));
    }
    conversation.allow(input, Action::Send)?;
    check_mentions(conversation, input, &send.mentions, &[])?;
    check_slow_mode(conversation, input)?;
    let at = input.at.max(conversation.last_at);
    check_content(send, at)?;
    send.reply_to.map_or(Ok(()), |seq| check_seq(conversation, input, "reply_to", seq))?;
    let event = Event::Sent(MessageSent {
        seq: conversation.last_seq + 1,
        client_id: send.client_id,
        text: send.text.clone(),
        reply_to: send.reply_to,
        thread: send.thread,
        mentions: send.mentions.clone(),
        thread_seq: send.thread.map(|root| next_in_thread(conversation, input, root)).transpose()?,
        content: send.content.clone(),
        forward: send.forward,
        live_until: send.live_until,
        poll: send.poll,
        expires_at: send.expires_in_ms.map(|expires_in_ms| at.plus(expires_in_ms)),
    });
    next(conversation, input, event)
}

/// That a message says something, and nothing that is over already. What its content is the gateway has checked, as it is sealed here.
fn check_content(send: &SendMessage, at: Timestamp) -> Result<(), Rejection> {
    if send.text.is_none() && send.content.is_none() {
        return Err(bad_request("a message needs a text, a location, a contact or a poll"));
    }
    if (send.poll.is_some() || send.live_until.is_some()) && send.content.is_none() {
        return Err(bad_request("a poll or live location without content"));
    }
    if send.live_until.is_some_and(|until| until <= at || until > at.plus(MAX_LIVE_MS)) {
        return Err(bad_request(&format!("live_until is at most {} h ahead", MAX_LIVE_MS / HOUR_MS)));
    }
    if send.expires_in_ms.is_some_and(|expires_in_ms| !EXPIRY_MS.contains(&expires_in_ms)) {
        return Err(bad_request(&format!("expires_in_ms is from {} to {}", EXPIRY_MS.start(), EXPIRY_MS.end())));
    }
    polls::check(send, at)
}

/// That who mentions everybody, and did not `before`, may.
fn check_mentions(
    conversation: &Conversation,
    input: &Input,
    mentions: &[String],
    before: &[String],
) -> Result<(), Rejection> {
    let everybody = |mentions: &[String]| mentions.iter().any(|mention| EVERYBODY.contains(&mention.as_str()));
    if everybody(mentions) && !everybody(before) { conversation.allow(input, Action::MentionAll) } else { Ok(()) }
}

/// The number of the next message in the thread of `root`.
fn next_in_thread(conversation: &Conversation, input: &Input, root: i64) -> Result<i64, Rejection> {
    check_seq(conversation, input, "thread", root)?;
    if message(conversation, root)?.thread.is_some() {
        return Err(bad_request("thread names a message that is in a thread itself; name the thread's own"));
    }
    Ok(conversation.known.threads.get(&root).map_or(0, |thread| thread.last) + 1)
}

/// That a member has waited long enough since its newest message. Not final: it may be sent later.
fn check_slow_mode(conversation: &Conversation, input: &Input) -> Result<(), Rejection> {
    let Some(member) = conversation.members.get(&input.actor) else { return Ok(()) };
    let Some(last_sent_at) = member.last_sent_at.filter(|_| member.role > Role::Admin) else { return Ok(()) };
    let wait_ms = last_sent_at.0 + conversation.slow_mode_ms - input.at.max(conversation.last_at).0;
    if conversation.slow_mode_ms == 0 || wait_ms <= 0 {
        return Ok(());
    }
    let message =
        format!("this conversation is in slow mode; send again in {} s", wait_ms.unsigned_abs().div_ceil(1_000));
    Err(Rejection { retry_after_ms: Some(wait_ms), ..Rejection::new(ErrorCode::RateLimited, message) })
}

/// A message that a command names. The shell has looked it up: one that is not known was removed.
pub fn message(conversation: &Conversation, seq: i64) -> Result<&Message, Rejection> {
    let removed = || Rejection::new(ErrorCode::NotFound, "the message was removed");
    conversation.known.messages.get(&seq).ok_or_else(removed)
}

pub fn edit(conversation: &Conversation, input: &Input, edit: &EditMessage) -> Outcome {
    conversation.allow(input, Action::View)?;
    check_seq(conversation, input, "seq", edit.seq)?;
    let message = message(conversation, edit.seq)?;
    let own = message.sender == input.actor;
    conversation.allow(input, if own { Action::EditOwn } else { Action::EditOthers })?;
    let mentions = edit.mentions.clone().unwrap_or_else(|| message.mentions.clone());
    if message.fingerprint.as_ref() == Some(&edit.fingerprint) && message.mentions == mentions {
        return already(conversation);
    }
    check_mentions(conversation, input, &mentions, &message.mentions)?;
    if message.forwarded {
        return Err(conflict("what was forwarded is not changed; send a new message"));
    }
    if message.edits.len() >= MAX_EDITS {
        return Err(conflict(format!("a message can be edited {MAX_EDITS} times; send a new one")));
    }
    let (text, fingerprint) = (edit.text.clone(), edit.fingerprint.clone());
    next(conversation, input, Event::Edited(MessageEdited { seq: edit.seq, text, fingerprint, mentions }))
}

pub fn locate(conversation: &Conversation, input: &Input, located: &Located) -> Outcome {
    conversation.allow(input, Action::View)?;
    check_seq(conversation, input, "seq", located.seq)?;
    let message = message(conversation, located.seq)?;
    let own = message.sender == input.actor;
    conversation.allow(input, if own { Action::EditOwn } else { Action::EditOthers })?;
    let live = |until: &Timestamp| *until > input.at.max(conversation.last_at);
    let Some(until) = message.live_until.filter(live) else {
        return Err(conflict("this is no location that still moves; send a new one"));
    };
    if message.edits.len() >= MAX_MOVES {
        return Err(conflict(format!("a location can move {MAX_MOVES} times; send a new one")));
    }
    let live_until = located.live_until.min(until);
    next(conversation, input, Event::Located(Located { live_until, ..located.clone() }))
}

/// Asked for by the scheduler, in the sender's name.
pub fn expire(conversation: &Conversation, input: &Input, of: OfMessage) -> Outcome {
    let Some(message) = conversation.known.messages.get(&of.seq) else { return already(conversation) };
    if message.expires_at.is_none_or(|expires_at| expires_at > input.at) {
        return Err(conflict("the message's time is not over"));
    }
    let messages = vec![removed(of.seq, message, input.at)];
    next(conversation, input, Event::Deleted(MessageDeleted { messages, reason: DeleteReason::Expired }))
}

pub fn delete(conversation: &Conversation, input: &Input, of: OfMessage) -> Outcome {
    let standing = conversation.standing_to(input, of.seq);
    // A moderator need not see what is around it.
    policy::allow(standing, Action::View).or_else(|_| policy::allow(standing, Action::DeleteOthers))?;
    check_seq(conversation, input, "seq", of.seq)?;
    let Some(message) = conversation.known.messages.get(&of.seq) else { return already(conversation) };
    let own = message.sender == input.actor;
    let author = conversation.role(message.sender);
    policy::allow(standing.towards(author), if own { Action::DeleteOwn } else { Action::DeleteOthers })?;
    let reason = if own { DeleteReason::Author } else { DeleteReason::Moderator };
    let messages = vec![removed(of.seq, message, input.at)];
    next(conversation, input, Event::Deleted(MessageDeleted { messages, reason }))
}

fn removed(seq: i64, message: &Message, now: Timestamp) -> RemovedMessage {
    let retried = Timestamp::of_uuid(message.client_id).is_some_and(|made| made >= now.plus(-CLIENT_ID_MAX_AGE_MS));
    RemovedMessage {
        seq,
        sender: message.sender,
        positions: std::iter::once(message.position).chain(message.edits.iter().copied()).collect(),
        at: message.at,
        client_id: retried.then_some(message.client_id),
        thread: message.thread,
    }
}

/// Whether the actor has reacted so already.
fn has_reacted(conversation: &Conversation, input: &Input, reaction: &Reaction) -> Result<bool, Rejection> {
    conversation.allow(input, Action::React)?;
    if !is_reaction(&reaction.emoji) {
        return Err(bad_request("emoji is one emoji, or the name of a custom one as :party_parrot:"));
    }
    check_seq(conversation, input, "seq", reaction.seq)?;
    let own = message(conversation, reaction.seq)?.reacted.get(&input.actor);
    Ok(own.is_some_and(|own| own.contains(&reaction.emoji)))
}

pub fn react(conversation: &Conversation, input: &Input, reaction: &Reaction) -> Outcome {
    if has_reacted(conversation, input, reaction)? {
        return already(conversation);
    }
    let reactions = &message(conversation, reaction.seq)?.reactions;
    if reactions.len() >= MAX_REACTIONS && !reactions.contains_key(&reaction.emoji) {
        return Err(conflict(format!("a message has at most {MAX_REACTIONS} kinds of reactions; choose one of them")));
    }
    next(conversation, input, Event::Reacted(reaction.clone()))
}

pub fn unreact(conversation: &Conversation, input: &Input, reaction: &Reaction) -> Outcome {
    if !has_reacted(conversation, input, reaction)? {
        return already(conversation);
    }
    next(conversation, input, Event::Unreacted(reaction.clone()))
}

pub fn pin(conversation: &Conversation, input: &Input, of: OfMessage) -> Outcome {
    conversation.allow(input, Action::Pin)?;
    check_seq(conversation, input, "seq", of.seq)?;
    message(conversation, of.seq)?;
    if conversation.pins.contains(&of.seq) {
        return already(conversation);
    }
    if conversation.pins.len() >= MAX_PINS {
        return Err(conflict(format!("a conversation has at most {MAX_PINS} pinned messages; unpin one first")));
    }
    next(conversation, input, Event::Pinned(of))
}

pub fn unpin(conversation: &Conversation, input: &Input, of: OfMessage) -> Outcome {
    conversation.allow(input, Action::Pin)?;
    check_seq(conversation, input, "seq", of.seq)?;
    if conversation.pins.contains(&of.seq) {
        next(conversation, input, Event::Unpinned(of))
    } else {
        already(conversation)
    }
}
