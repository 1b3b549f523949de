//! Messages: sending, editing, removing, reacting, pinning.

use super::{Outcome, already, bad_request, check_seq, conflict, next};
use crate::domain::conversation::command::{EditMessage, Input, OfMessage, SendMessage};
use crate::domain::conversation::event::{
    DeleteReason, Event, MessageDeleted, MessageEdited, MessageSent, Reaction, RemovedMessage,
};
use crate::domain::conversation::known::Message;
use crate::domain::conversation::reactions::is_reaction;
use crate::domain::conversation::state::Conversation;
use crate::domain::conversation::{
    CLIENT_ID_MAX_AGE_MS, CLIENT_ID_MAX_AHEAD_MS, Decision, MAX_EDITS, MAX_PINS, MAX_REACTIONS,
};
use crate::domain::decision::Done;
use crate::domain::policy::{Action, Role};
use crate::domain::{ErrorCode, Rejection, Timestamp};

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
    check_slow_mode(conversation, input)?;
    if send.text.is_none() {
        return Err(bad_request("a message needs a text"));
    }
    for (field, seq) in [("reply_to", send.reply_to), ("thread", send.thread)] {
        seq.map_or(Ok(()), |seq| check_seq(conversation, input, field, seq))?;
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
fn message(conversation: &Conversation, seq: i64) -> Result<&Message, Rejection> {
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
    if message.edits.len() >= MAX_EDITS {
        return Err(conflict(format!("a message can be edited {MAX_EDITS} times; send a new one")));
    }
    let (text, fingerprint) = (edit.text.clone(), edit.fingerprint.clone());
    next(conversation, input, Event::Edited(MessageEdited { seq: edit.seq, text, fingerprint, mentions }))
}

pub fn delete(conversation: &Conversation, input: &Input, of: OfMessage) -> Outcome {
    conversation.allow(input, Action::View)?;
    check_seq(conversation, input, "seq", of.seq)?;
    let Some(message) = conversation.known.messages.get(&of.seq) else { return already(conversation) };
    let own = message.sender == input.actor;
    let author = conversation.role(message.sender);
    conversation.allow_to(input, author, if own { Action::DeleteOwn } else { Action::DeleteOthers })?;
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
