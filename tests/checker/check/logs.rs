//! The logs themselves: gapless, without repetition, and the same for all members.

use std::collections::HashMap;

use super::{Findings, Kind, Logs};
use crate::history::{Event, History};

pub fn check(history: &History, logs: &Logs<'_>, findings: &mut Findings) {
    for (conversation, events) in &history.ending.sealed {
        let log = logs.get(conversation).map(|log| log.events.values());
        let shown = log.into_iter().flatten().map(|event| Event { text: None, ..(*event).clone() });
        findings.require(shown.eq(events.iter().cloned()), Kind::Streams, || {
            format!("{conversation} is another in the public stream than in `events`")
        });
        numbered(&format!("{conversation} in the public stream"), events, findings);
    }
    for ((conversation, user), events) in &history.ending.logs {
        let who = format!("{conversation} as {user} sees it");
        numbered(&who, events, findings);
        let longest = logs.get(conversation).map(|log| log.events.values().copied());
        let same = longest.is_some_and(|longest| longest.eq(events.iter()));
        findings.require(same, Kind::LogsDiffer, || {
            let other =
                logs.get(conversation).and_then(|log| log.events.values().find(|event| !events.contains(event)));
            format!("{who} has {} events; another member also sees {other:?}", events.len())
        });
        let told = history.ending.messages.get(&(conversation.clone(), user.clone()));
        let messages: Vec<_> = sent(events).map(|event| (event.seq, event.text.clone())).collect();
        findings.require(told.is_none_or(|told| *told == messages), Kind::HistoryDiffers, || {
            let told = told.map(Vec::as_slice).unwrap_or_default();
            let odd = told.iter().find(|message| !messages.contains(message));
            let odd = odd.or_else(|| messages.iter().find(|message| !told.contains(message)));
            format!("{who}: history has {} messages, events {}; differs at {odd:?}", told.len(), messages.len())
        });
    }
}

fn sent(events: &[Event]) -> impl Iterator<Item = &Event> {
    events.iter().filter(|event| event.kind == "message.sent")
}

fn numbered(who: &str, events: &[Event], findings: &mut Findings) {
    for (event, expected) in events.iter().zip(1..) {
        if event.position != expected {
            findings.add(Kind::PositionGap, format!("{who}: position {} where {expected} was due", event.position));
            break;
        }
    }
    for (event, expected) in sent(events).zip(1..) {
        if event.seq != expected {
            let Event { seq, position, .. } = event;
            findings.add(Kind::SeqGap, format!("{who}: seq {seq} at position {position} where seq {expected} was due"));
            break;
        }
    }
    let mut first = HashMap::new();
    for event in sent(events) {
        if let Some(before) = first.insert((&event.actor, &event.client_id), event.position) {
            let id = event.client_id.as_deref().unwrap_or("?");
            findings.add(Kind::Twice, format!("{who}: {id} is at positions {before} and {}", event.position));
        }
    }
}
