//! The logs themselves: gapless but for what was removed, without repetition, and the same for all members.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Findings, Kind, Log, Logs};
use crate::history::{Event, History, What};

pub fn check(history: &History, logs: &Logs<'_>, findings: &mut Findings) {
    for (conversation, events) in &history.ending.sealed {
        let Some(log) = logs.get(conversation) else { continue };
        let shown: Vec<_> = log.events.values().map(|event| Event { text: None, ..(*event).clone() }).collect();
        findings.require(shown == *events, Kind::Streams, || {
            let odd = shown.iter().zip(events).find(|(shown, public)| shown != public);
            format!("{conversation} is another in the public stream than in `events`; they differ first at {odd:?}")
        });
        numbered(&format!("{conversation} in the public stream"), log, findings);
    }
    let hidden = Hidden::of(history);
    for ((conversation, user), events) in &history.ending.logs {
        let Some(log) = logs.get(conversation) else { continue };
        let who = format!("{conversation} as {user} sees it");
        let of_user = hidden.of_user(conversation, user);
        same(&who, log, events, &of_user, findings);
        if let Some(told) = history.ending.messages.get(&(conversation.clone(), user.clone())) {
            told_as_is(&who, log, told, &of_user, findings);
        }
    }
    for log in history.ending.logs.keys().filter_map(|(conversation, _)| logs.get(conversation)) {
        numbered("a log", log, findings);
    }
}

/// By (conversation, user): the messages that somebody removed for itself, and whether that was acknowledged.
#[derive(Default)]
struct Hidden(HashMap<(String, String), BTreeMap<i64, bool>>);

impl Hidden {
    fn of(history: &History) -> Self {
        let mut hidden = Self::default();
        for command in &history.commands {
            if let What::Hide { conversation, seq } = &command.what {
                let of_user = hidden.0.entry((conversation.clone(), command.user.clone())).or_default();
                *of_user.entry(*seq).or_default() |= command.accepted().next().is_some();
            }
        }
        hidden
    }

    fn of_user(&self, conversation: &str, user: &str) -> BTreeMap<i64, bool> {
        self.0.get(&(conversation.to_owned(), user.to_owned())).cloned().unwrap_or_default()
    }
}

/// One member sees what there is, but for what it removed for itself.
fn same(who: &str, log: &Log<'_>, events: &[Event], hidden: &BTreeMap<i64, bool>, findings: &mut Findings) {
    let sorted = events.windows(2).all(|pair| pair[0].position < pair[1].position);
    findings.require(sorted, Kind::PositionGap, || format!("{who}: positions are not in order"));
    let is_hidden = |event: &Event| event.kind == "message.sent" && hidden.contains_key(&event.seq);
    let seen: Vec<_> = events.iter().filter(|event| !is_hidden(event)).collect();
    let due: Vec<_> = log.events.values().copied().filter(|event| !is_hidden(event)).collect();
    findings.require(seen == due, Kind::LogsDiffer, || {
        let other = due.iter().find(|event| !seen.contains(event));
        format!("{who} has {} events; another member also sees {other:?}", events.len())
    });
    let shown = events.iter().find(|event| event.kind == "message.sent" && hidden.get(&event.seq) == Some(&true));
    findings.require(shown.is_none(), Kind::LogsDiffer, || {
        format!("{who} still has {shown:?}, which it removed for itself")
    });
}

/// `history` is the messages of the log, as they are after the last edit.
fn told_as_is(
    who: &str,
    log: &Log<'_>,
    told: &[(i64, Option<String>)],
    hidden: &BTreeMap<i64, bool>,
    findings: &mut Findings,
) {
    let messages = log.messages();
    let due = (1..=log.last_seq).map(|seq| (seq, messages.get(&seq).and_then(|(_, text)| text.cloned())));
    let odd = due.zip(told).find(|((seq, text), told)| {
        let fits = match hidden.get(seq) {
            Some(true) => told.1.is_none(),
            Some(false) => told.1.is_none() || told.1 == *text,
            None => told.1 == *text,
        };
        told.0 != *seq || !fits
    });
    let whole = i64::try_from(told.len()) == Ok(log.last_seq);
    findings.require(odd.is_none() && whole, Kind::HistoryDiffers, || {
        format!("{who}: history has {} messages, events {}; differs at {odd:?}", told.len(), log.last_seq)
    });
}

fn numbered(who: &str, log: &Log<'_>, findings: &mut Findings) {
    let positions: BTreeSet<i64> = log.events.keys().chain(&log.removed).copied().collect();
    if let Some((found, due)) = positions.iter().zip(1..).find(|(found, due)| **found != *due) {
        findings.add(Kind::PositionGap, format!("{who}: position {found} where {due} was due"));
    }
    let shown = log.events.keys().find(|position| log.removed.contains(position));
    findings.require(shown.is_none(), Kind::Streams, || format!("{who}: position {shown:?} was removed, and is there"));
    let sent = || log.events.values().filter(|event| event.kind == "message.sent");
    let seqs: BTreeSet<i64> = sent().map(|event| event.seq).chain(log.gone.keys().copied()).collect();
    if let Some((found, due)) = seqs.iter().zip(1..).find(|(found, due)| **found != *due) {
        findings.add(Kind::SeqGap, format!("{who}: seq {found} where seq {due} was due"));
    }
    let (mut by_seq, mut by_id) = (HashMap::new(), HashMap::new());
    for event in sent() {
        if let Some(before) = by_seq.insert(event.seq, event.position) {
            let Event { seq, position, .. } = event;
            findings.add(Kind::SeqGap, format!("{who}: seq {seq} is at positions {before} and {position}"));
        }
        if let Some(before) = by_id.insert((&event.actor, &event.client_id), event.position) {
            let id = event.client_id.as_deref().unwrap_or("?");
            findings.add(Kind::Twice, format!("{who}: {id} is at positions {before} and {}", event.position));
        }
    }
}
