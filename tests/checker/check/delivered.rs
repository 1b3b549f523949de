//! What came to people: only what is in the log, only to members, and to them all of it.

use std::collections::{HashMap, HashSet};

use super::{Findings, Kind, Log, Logs};
use crate::history::{Answer, At, Command, Entry, Event, History, Page, Push, What};

pub fn check(history: &History, logs: &Logs<'_>, findings: &mut Findings) {
    let asked = asked_at(history);
    let hidden: HashSet<_> = history.commands.iter().filter_map(hides).collect();
    for Push { user, at, event } in &history.pushes {
        in_log(user, "was pushed", event, logs, findings);
        if !returns(user, *at, event, logs, &asked) {
            member(user, &event.conversation, event.position, "was pushed an event at", logs, findings);
        }
    }
    for page in &history.pages {
        fetched(page, logs, &hidden, findings);
    }
    for entry in &history.entries {
        let Entry { user, conversation, last_position, .. } = entry;
        member(user, conversation, *last_position, "was shown an inbox up to", logs, findings);
    }
    for ((conversation, user), known) in &history.ending.known {
        if let Some(log) = logs.get(conversation)
            && history.ending.online.contains(user)
        {
            knows(conversation, user, *known, log, findings);
        }
    }
    told_of_all(history, logs, findings);
}

/// Which message, and for whom.
fn hides(command: &Command) -> Option<(&str, &str, i64)> {
    let What::Hide { conversation, seq } = &command.what else { return None };
    Some((conversation, &command.user, *seq))
}

/// By (conversation, position): when the change at it was first asked for.
type AskedAt<'a> = HashMap<(&'a str, i64), At>;

fn asked_at(history: &History) -> AskedAt<'_> {
    let mut asked = AskedAt::new();
    for command in &history.commands {
        for (sending, answer) in command.accepted() {
            if let (Some(conversation), Answer::Ok { position, duplicate: false, .. }) =
                (command.what.conversation(), answer)
            {
                asked.entry((conversation, *position)).or_insert(sending.asked);
            }
        }
    }
    asked
}

/// A new owner pushes what it adopts to the members of now: who became one later, but was one by the time of the push, may read all that
/// was before anyway.
fn returns(user: &str, at: At, event: &Event, logs: &Logs<'_>, asked: &AskedAt<'_>) -> bool {
    let all = logs.get(&event.conversation).and_then(|log| log.memberships.get(user));
    all.into_iter().flatten().any(|membership| {
        let began = asked.get(&(event.conversation.as_str(), membership.first)).copied().unwrap_or(0);
        membership.first > event.position && began <= at
    })
}

fn in_log(user: &str, how: &str, event: &Event, logs: &Logs<'_>, findings: &mut Findings) {
    let there = logs.event(&event.conversation, event.position, event.text.as_ref());
    let removed = logs.get(&event.conversation).is_some_and(|log| log.removed.contains(&event.position));
    if removed && matches!(event.kind.as_str(), "message.sent" | "message.edited") {
        return;
    }
    findings.require(there.as_ref() == Some(event), Kind::NotInLog, || {
        format!("{user} {how} {event:?}; the log has {there:?}")
    });
}

fn member(user: &str, conversation: &str, position: i64, what: &str, logs: &Logs<'_>, findings: &mut Findings) {
    // What is in no log is another finding.
    let Some(log) = logs.get(conversation).filter(|log| position <= log.last_position) else { return };
    findings.require(log.membership_at(user, position).is_some(), Kind::ToOutsider, || {
        format!("{user} {what} position {position} of {conversation}, being a member {}", log.describe(user))
    });
}

/// Who may read may read all, so only the newest event of a page tells whether one might.
fn fetched(page: &Page, logs: &Logs<'_>, hidden: &HashSet<(&str, &str, i64)>, findings: &mut Findings) {
    let Page { user, conversation, after, events, last_position } = page;
    for event in events {
        in_log(user, "fetched", event, logs, findings);
    }
    let positions: Vec<_> = events.iter().map(|event| event.position).collect();
    // What was removed by then, or by oneself for oneself, is not among them.
    let gone = |position: i64| {
        let log = logs.get(conversation);
        let removed = log.is_some_and(|log| log.removed.contains(&position));
        let event = log.and_then(|log| log.events.get(&position));
        removed || event.is_some_and(|event| hidden.contains(&(conversation.as_str(), user.as_str(), event.seq)))
    };
    let mut due = after + 1;
    let contiguous = positions.iter().all(|position| {
        let skipped = (due..*position).all(gone);
        let follows = *position >= due && skipped;
        due = position + 1;
        follows
    });
    findings.require(contiguous, Kind::PositionGap, || {
        format!("{user} fetched {positions:?} of {conversation} after {after}")
    });
    let what =
        format!("fetched {} events after {after}, the last at {:?}, with a page up to", events.len(), positions.last());
    member(user, conversation, *last_position, &what, logs, findings);
}

/// By `caught_up`, pushes and `events` alone.
fn knows(conversation: &str, user: &str, known: Option<i64>, log: &Log<'_>, findings: &mut Findings) {
    let last = log.last_position;
    match (log.present(user), known) {
        (Some(_), Some(known)) => findings.require(known == last, Kind::SilentGap, || {
            format!("{user} has {conversation} up to {known}, and nothing said that it goes to {last}")
        }),
        (Some(m), None) => {
            let text = format!("{user} thinks to be no member of {conversation}, but is since position {}", m.first);
            findings.add(Kind::SilentGap, text);
        }
        (None, Some(_)) => {
            findings.add(Kind::LeftUnnoticed, format!("{user} does not know that it is no member of {conversation}"));
        }
        (None, None) => {}
    }
}

/// A member that is online knows every one of its conversations.
fn told_of_all(history: &History, logs: &Logs<'_>, findings: &mut Findings) {
    for (conversation, log) in &logs.0 {
        for user in log.memberships.keys().filter(|user| log.present(user).is_some()) {
            let heard = history.ending.known.contains_key(&((*conversation).to_owned(), (*user).to_owned()));
            findings.require(heard || !history.ending.online.contains(*user), Kind::SilentGap, || {
                format!("{user} never heard of {conversation}, being a member")
            });
        }
    }
}
