//! What members report, and moderators resolve. Nobody else in the conversation learns of either.

use super::{Outcome, already, bad_request, beside, check_seq, conflict, messages};
use crate::domain::conversation::command::Input;
use crate::domain::conversation::event::Event;
use crate::domain::conversation::report::{Report, ReportMessage, Reports, Resolution, Said};
use crate::domain::conversation::state::Conversation;
use crate::domain::policy::Action;
use crate::domain::{ErrorCode, Rejection};

pub fn report(conversation: &Conversation, input: &Input, report: &ReportMessage) -> Outcome {
    conversation.allow(input, Action::Report)?;
    check_seq(conversation, input, "seq", report.seq)?;
    let message = messages::message(conversation, report.seq)?;
    if message.sender == input.actor {
        return Err(bad_request("your own message is not reported; remove it"));
    }
    let ReportMessage { seq, reason, comment, fingerprint } = report.clone();
    let reports = conversation.known.reports.get(&seq);
    let said = reports.and_then(|reports| reports.said.get(&input.actor)?.as_ref());
    // Also where it was resolved since: a retry must not open it again.
    if said.is_some_and(|said| *said == Said { reason, fingerprint: fingerprint.clone() }) {
        return already(conversation);
    }
    let at = input.at.max(conversation.last_at);
    let opened_at = reports.and_then(|reports| reports.opened_at).unwrap_or(at);
    let report = Report { seq, reason, comment, fingerprint, sender: message.sender, opened_at };
    beside(conversation, input, Event::Reported(report))
}

/// The message may be removed by then, and its reports still wait.
pub fn resolve(conversation: &Conversation, input: &Input, resolution: Resolution) -> Outcome {
    conversation.allow(input, Action::Resolve)?;
    let reports = conversation.known.reports.get(&resolution.seq).filter(|reports| reports.are_any());
    let Some(Reports { opened_at, last_at, outcome, .. }) = reports else {
        return Err(Rejection::new(ErrorCode::NotFound, "nobody has reported this message"));
    };
    if opened_at.is_none() && *outcome == Some(resolution.outcome) {
        return already(conversation);
    }
    if resolution.last_at.is_some() && *last_at > resolution.last_at {
        return Err(conflict("it was reported again since; look at what is said now"));
    }
    beside(conversation, input, Event::Resolved(resolution))
}
