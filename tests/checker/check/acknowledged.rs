//! What was answered: each `ok` is in the log, as it was told, and every retry heard the same.

use super::{Findings, Kind, Logs};
use crate::history::{Answer, Command, Event, History, What};

pub fn check(history: &History, logs: &Logs<'_>, findings: &mut Findings) {
    for command in &history.commands {
        for (sending, answer) in command.accepted() {
            let Answer::Ok { conversation, position, seq, duplicate } = answer else { continue };
            let Some(place) = command.what.conversation().or(conversation.as_deref()) else { continue };
            let text = match &command.what {
                What::Send { text, .. } | What::Edit { text, .. } => Some(text),
                _ => None,
            };
            let event = logs.event(place, *position, text);
            // What was removed since was there.
            let removed = logs.get(place).is_some_and(|log| log.removed.contains(position));
            let of_message = matches!(command.what, What::Send { .. } | What::Forward { .. } | What::Edit { .. });
            if !((of_message || *duplicate) && removed || kept(command, event.as_ref(), *seq, *duplicate)) {
                let text = format!(
                    "{:?} of {}, asked at {} ms, was told position {position}, seq {seq}, duplicate {duplicate}; the log of {place} has {event:?} there",
                    command.what, command.user, sending.asked
                );
                findings.add(Kind::AcknowledgedMissing, text);
            }
        }
        for (_, answer) in command.tries.iter().filter_map(|sending| sending.answer.as_ref()) {
            if let Answer::Refused { code } = answer
                && matches!(code.as_str(), "" | "internal" | "unauthenticated" | "bad_frame" | "stale_client_id")
            {
                findings.add(Kind::Refused, format!("{:?} of {} was refused as {code:?}", command.what, command.user));
            }
        }
        if matches!(command.what, What::Send { .. } | What::Forward { .. }) {
            same(command, findings);
        }
    }
}

/// Whether the log has at the told position what was asked for.
fn kept(command: &Command, event: Option<&Event>, seq: i64, duplicate: bool) -> bool {
    let user = &command.user;
    let changed = |kind: &str, users: &[String]| {
        // What was in effect already is told the position of then, whatever is there.
        let mine =
            |event: &Event| event.kind == kind && event.actor == *user && event.users.iter().all(|u| users.contains(u));
        event.is_some_and(|event| duplicate || mine(event))
    };
    match &command.what {
        // These leave no event.
        What::Read { .. } | What::Passing | What::Own { .. } | What::Hide { .. } => true,
        What::Create { members } => event.is_some_and(|event| {
            duplicate
                || event.kind == "conversation.created" && members.iter().all(|member| event.users.contains(member))
        }),
        What::Send { client_id, text, .. } => event.is_some_and(|event| {
            let same = event.client_id.as_ref() == Some(client_id) && event.text.as_ref() == Some(text);
            same && event.kind == "message.sent" && event.seq == seq && event.actor == *user
        }),
        What::Forward { client_id, .. } => event.is_some_and(|event| {
            let same = event.client_id.as_ref() == Some(client_id) && event.kind == "message.sent";
            same && event.seq == seq && event.actor == *user
        }),
        What::Edit { seq, text, .. } => event.is_some_and(|event| {
            let same = event.kind == "message.edited" && event.seq == *seq && event.text.as_ref() == Some(text);
            duplicate || same && event.actor == *user
        }),
        What::Delete { seq, .. } => event.is_some_and(|event| {
            duplicate || event.kind == "message.deleted" && event.removed == [*seq] && event.actor == *user
        }),
        What::Mark { kind, seq, emoji, .. } => event.is_some_and(|event| {
            duplicate || event.kind == *kind && event.seq == *seq && event.emoji == *emoji && event.actor == *user
        }),
        What::Change { kind, .. } => {
            event.is_some_and(|event| duplicate || event.kind == *kind && event.actor == *user)
        }
        What::Add { users, .. } => changed("member.joined", users),
        What::Remove { users, .. } => changed("member.left", users),
        What::Join { .. } => {
            let asked = event.is_some_and(|event| event.kind == "member.requested" && event.actor == *user);
            asked || changed("member.joined", std::slice::from_ref(user))
        }
        What::Accept => changed("member.joined", std::slice::from_ref(user)),
        What::Leave { .. } => changed("member.left", std::slice::from_ref(user)),
    }
}

/// Every answer to one message names one place, only the first is no duplicate, and nothing refuses what was accepted.
fn same(command: &Command, findings: &mut Findings) {
    let place = |answer: &Answer| match answer {
        Answer::Ok { position, seq, .. } => (*position, *seq),
        Answer::Refused { .. } => (0, 0),
    };
    let Some((_, first)) = command.accepted().next() else { return };
    for (_, answer) in command.accepted() {
        findings.require(place(answer) == place(first), Kind::AnswersDiffer, || {
            format!("{:?} of {} was told {first:?} and {answer:?}", command.what, command.user)
        });
    }
    let new = command.accepted().filter(|(_, answer)| matches!(answer, Answer::Ok { duplicate: false, .. })).count();
    findings.require(new <= 1, Kind::AnswersDiffer, || {
        format!("{:?} of {} was told {new} times that it is new", command.what, command.user)
    });
    let accepted_at =
        command.accepted().filter_map(|(sending, _)| sending.answer.as_ref()).map(|answer| answer.0).min();
    for sending in &command.tries {
        if let Some((_, Answer::Refused { code })) = &sending.answer
            && Some(sending.asked) > accepted_at
            && !matches!(code.as_str(), "unavailable" | "rate_limited")
        {
            let text = format!("{:?} of {} was accepted, and later refused as {code}", command.what, command.user);
            findings.add(Kind::AnswersDiffer, text);
        }
    }
}
