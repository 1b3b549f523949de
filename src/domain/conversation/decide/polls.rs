//! Polls: what they ask is sealed content of a message, how they are counted is not.

use super::messages::message;
use super::{Outcome, already, bad_request, check_seq, conflict, next};
use crate::domain::conversation::command::{Input, OfMessage, SendMessage};
use crate::domain::conversation::event::{Event, Vote};
use crate::domain::conversation::known::Poll;
use crate::domain::conversation::state::Conversation;
use crate::domain::conversation::{MAX_POLL_OPTIONS, Message};
use crate::domain::policy::Action;
use crate::domain::{Rejection, Timestamp};

/// That a message that asks can be voted on.
pub fn check(send: &SendMessage, at: Timestamp) -> Result<(), Rejection> {
    let Some(rules) = send.poll else { return Ok(()) };
    if !(2..=MAX_POLL_OPTIONS).contains(&rules.options) {
        return Err(bad_request(&format!("a poll has 2 to {MAX_POLL_OPTIONS} options")));
    }
    if rules.closes_at.is_some_and(|closes_at| closes_at <= at) {
        return Err(bad_request("closes_at is over already"));
    }
    Ok(())
}

fn poll<'a>(conversation: &'a Conversation, input: &Input, seq: i64) -> Result<(&'a Message, Poll), Rejection> {
    check_seq(conversation, input, "seq", seq)?;
    let message = message(conversation, seq)?;
    let poll = message.poll.ok_or_else(|| bad_request("this message is no poll"))?;
    Ok((message, poll))
}

fn is_over(poll: Poll, at: Timestamp) -> bool {
    poll.closed || poll.rules.closes_at.is_some_and(|closes_at| closes_at <= at)
}

pub fn vote(conversation: &Conversation, input: &Input, vote: &Vote) -> Outcome {
    conversation.allow(input, Action::React)?;
    let (message, poll) = poll(conversation, input, vote.seq)?;
    if !vote.options.is_sorted_by(|a, b| a < b) || vote.options.iter().any(|n| !(0..poll.rules.options).contains(n)) {
        let most = poll.rules.options - 1;
        return Err(bad_request(&format!("options are numbers from 0 to {most}, each once, the lowest first")));
    }
    if vote.options.len() > 1 && !poll.rules.multiple {
        return Err(bad_request("one option may be chosen in this poll"));
    }
    if message.votes.get(&input.actor).map_or(vote.options.is_empty(), |before| *before == vote.options) {
        return already(conversation);
    }
    if is_over(poll, input.at.max(conversation.last_at)) {
        return Err(conflict("this poll is over"));
    }
    next(conversation, input, Event::Voted(vote.clone()))
}

pub fn close(conversation: &Conversation, input: &Input, of: OfMessage) -> Outcome {
    conversation.allow(input, Action::View)?;
    let (message, poll) = poll(conversation, input, of.seq)?;
    let own = message.sender == input.actor;
    let author = conversation.role(message.sender);
    conversation.allow_to(input, author, if own { Action::EditOwn } else { Action::DeleteOthers })?;
    if is_over(poll, input.at.max(conversation.last_at)) {
        return already(conversation);
    }
    next(conversation, input, Event::PollClosed(of))
}
