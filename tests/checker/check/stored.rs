//! What is kept when all is quiet: read pointers, presence, public streams, views.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Findings, Kind, Log, Logs};
use crate::history::{Entry, History, Keyed, Stream, What};

pub fn check(history: &History, logs: &Logs<'_>, findings: &mut Findings) {
    let reads = Reads::of(history);
    let mut shown = BTreeSet::new();
    for entry in &history.ending.inbox {
        shown.insert((entry.conversation.as_str(), entry.user.as_str()));
        match logs.get(&entry.conversation) {
            Some(log) => unread(entry, log, &reads, findings),
            None => findings.add(Kind::Unread, format!("{} has {} without a log", entry.user, entry.conversation)),
        }
    }
    let asked: BTreeSet<_> = history.ending.inbox.iter().map(|entry| entry.user.as_str()).collect();
    for (conversation, log) in &logs.0 {
        for user in log.memberships.keys().filter(|user| log.present(user).is_some() && asked.contains(*user)) {
            findings.require(shown.contains(&(conversation, user)), Kind::Unread, || {
                format!("{user} does not have {conversation} in the inbox, being a member")
            });
        }
    }
    presence(history, findings);
    for text in &history.ending.torn {
        findings.add(Kind::Journal, text);
    }
    for text in &history.ending.overdue {
        findings.add(Kind::Overdue, text);
    }
    for text in &history.ending.searched {
        findings.add(Kind::Search, text);
    }
    for stream in &history.ending.streams {
        same_stream(stream, findings);
    }
    for (projection, (live, rebuilt)) in &history.ending.views {
        findings.require(live == rebuilt, Kind::Rebuild, || {
            let only = |these: &[String], those: &[String]| these.iter().find(|row| !those.contains(row)).cloned();
            let (here, there) = (only(live, rebuilt), only(rebuilt, live));
            format!("{projection}: live only {here:?}; rebuilt only {there:?}")
        });
    }
}

/// By (conversation, user): the furthest read that was acknowledged, and the furthest that was tried.
#[derive(Default)]
struct Reads(HashMap<(String, String), (i64, i64)>);

impl Reads {
    fn of(history: &History) -> Self {
        let mut reads = Self::default();
        for command in &history.commands {
            if let What::Read { conversation, seq } = &command.what {
                let (acknowledged, tried) = reads.0.entry((conversation.clone(), command.user.clone())).or_default();
                *tried = (*tried).max(*seq);
                if command.accepted().next().is_some() {
                    *acknowledged = (*acknowledged).max(*seq);
                }
            }
        }
        reads
    }
}

fn unread(entry: &Entry, log: &Log<'_>, reads: &Reads, findings: &mut Findings) {
    let Entry { user, conversation, read_seq, unread, mentions_unread, .. } = entry;
    let who = format!("{user} in {conversation}");
    let Some(membership) = log.present(user) else {
        findings.require(entry.left, Kind::ToOutsider, || format!("{who} is in the inbox of who is no member"));
        return;
    };
    let sent = log.events.values().filter(|event| event.kind == "message.sent" && event.actor == *user);
    let gone = log.gone.iter().filter(|(_, sender)| **sender == user.as_str()).map(|(seq, _)| *seq);
    let sent = sent.map(|event| event.seq).chain(gone).max().unwrap_or(0);
    let (acknowledged, tried) = reads.0.get(&(conversation.clone(), user.clone())).copied().unwrap_or_default();
    let least = acknowledged.max(sent).max(membership.seq);
    let most = least.max(tried);
    findings.require((least..=most).contains(read_seq), Kind::Unread, || {
        format!("{who}: read_seq {read_seq} where {least} to {most} is due")
    });
    let right = entry.last_seq == log.last_seq
        && entry.last_position == log.last_position
        && *unread == log.last_seq - read_seq;
    findings.require(right, Kind::Unread, || {
        format!("{who}: {entry:?}; the log ends at {} and seq {}", log.last_position, log.last_seq)
    });
    let mentions = |mentioned: &[String]| mentioned.iter().any(|m| m == user || m == "all" || m == "here");
    let due = log.messages().into_iter().filter(|(seq, (of, _))| seq > read_seq && mentions(of)).count();
    findings.require(i64::try_from(due) == Ok(*mentions_unread), Kind::Unread, || {
        format!("{who}: {mentions_unread} unread mentions, not {due}")
    });
}

fn presence(history: &History, findings: &mut Findings) {
    for (user, status) in &history.ending.shown {
        let online = history.ending.online.contains(user);
        findings.require((status == "online") == online, Kind::Presence, || {
            format!("{user} is shown as {status}, and has {} socket", if online { "a" } else { "no" })
        });
    }
}

/// Compaction may have removed what a later record of the same key replaces, and nothing else.
fn same_stream(stream: &Stream, findings: &mut Findings) {
    let Stream { name, accepted, public } = stream;
    let mut rest = accepted.iter();
    for record in public {
        if !rest.any(|due| due == record) {
            let text = format!("{name} has {} twice, out of order, or though it was not accepted", record.0);
            findings.add(Kind::Streams, text);
            return;
        }
    }
    let newest = |records: &[Keyed]| -> BTreeMap<String, Option<Vec<u8>>> { records.iter().cloned().collect() };
    let mut published = newest(public);
    for (key, value) in newest(accepted) {
        // A tombstone may be gone with what it removed.
        let same = published.remove(&key).unwrap_or_default() == value;
        findings.require(same, Kind::Streams, || format!("{name}: the newest record of {key} was not published"));
    }
}
