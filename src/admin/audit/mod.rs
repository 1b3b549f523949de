//! `tidings admin audit`: what everybody's inbox counts, against a full recount of the public streams.

mod count;

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, bail};

use super::progress::bar;
use crate::assemble::Installation;
use crate::codec::records::{ConversationEvent, Receipt};
use crate::domain::{ConversationId, UserId};
use crate::log::{Ends, Reader, topics};
use count::{Counts, Item, count};

const READ: usize = 1_000;
const PAGE: i64 = 1_000;
/// The views and the streams move on while they are read, each at its own pace. What is wrong stays so.
const LOOKS: usize = 5;
const BETWEEN: Duration = Duration::from_secs(1);
/// How many are shown.
const SHOWN: usize = 20;

/// An entry that counts otherwise than the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Difference {
    user: UserId,
    conversation: ConversationId,
    /// None: there is no such entry.
    view: Option<Counts>,
    /// None: it is no member.
    streams: Option<Counts>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, conversation, view, streams } = self;
        let counts = |counts: &Option<Counts>| match counts {
            Some(Counts { last_position, unread, mentions }) => {
                format!("position {last_position}, {unread} unread, {mentions} mentions")
            }
            None => "nothing".to_owned(),
        };
        write!(f, "{user} in {conversation}: the view has {}; the streams have {}", counts(view), counts(streams))
    }
}

/// Compares all of them, showing progress.
///
/// # Errors
/// If something counts otherwise, or cannot be read.
pub async fn run(installation: Installation) -> anyhow::Result<()> {
    let bar = bar("auditing", "partitions")?;
    bar.set_length(u64::try_from(installation.partitions())?);
    let (mut members, mut differences) = (0, Vec::new());
    for partition in 0..installation.partitions() {
        let (of, wrong) = audit(&installation, partition).await.with_context(|| format!("in partition {partition}"))?;
        members += of;
        differences.extend(wrong);
        bar.inc(1);
    }
    bar.finish_and_clear();
    for difference in differences.iter().take(SHOWN) {
        println!("{difference}");
    }
    match differences.len() {
        0 => println!("{members} memberships: positions, unread and mention counts are those of a full recount"),
        wrong => {
            bail!("{wrong} of {members} memberships count otherwise; `tidings admin rebuild inbox` makes the view anew")
        }
    }
    Ok(())
}

/// How many memberships there are in a partition, and what stays different however often it is looked at.
async fn audit(installation: &Installation, partition: i32) -> anyhow::Result<(usize, Vec<Difference>)> {
    let (mut members, mut wrong) = look(installation, partition).await?;
    for _ in 1..LOOKS {
        if wrong.is_empty() {
            break;
        }
        tokio::time::sleep(BETWEEN).await;
        let (now, again) = look(installation, partition).await?;
        members = now;
        wrong.retain(|difference| again.contains(difference));
    }
    Ok((members, wrong))
}

async fn look(installation: &Installation, partition: i32) -> anyhow::Result<(usize, Vec<Difference>)> {
    let streams = count(items(installation, partition).await?);
    let view = entries(installation, partition).await?;
    let mut wrong = Vec::new();
    for (key, counted) in &streams {
        let seen = view.get(key).copied();
        if seen != Some(*counted) {
            wrong.push(Difference { user: key.0, conversation: key.1, view: seen, streams: Some(*counted) });
        }
    }
    for (key, seen) in view.iter().filter(|(key, _)| !streams.contains_key(key)) {
        wrong.push(Difference { user: key.0, conversation: key.1, view: Some(*seen), streams: None });
    }
    wrong.sort_by_key(|difference| (difference.conversation, difference.user));
    Ok((streams.len(), wrong))
}

/// What the streams hold that counts.
async fn items(installation: &Installation, partition: i32) -> anyhow::Result<Vec<Item>> {
    let (client, codec) = (&installation.client, installation.codec);
    let mut items = Vec::new();
    for topic in [topics::CONVERSATION_EVENTS, topics::RECEIPTS] {
        let reader = Reader::new(client, topic)?;
        let Ends { low, high } = reader.ends(partition).await?;
        if low == high {
            continue;
        }
        let mut records = reader.read(partition, low).await?;
        while !records.at_end() && records.next_offset() < high {
            for value in records.next(READ).await?.into_iter().filter_map(|record| record.value) {
                items.push(if topic == topics::RECEIPTS {
                    Item::of_receipt(&codec.decode::<Receipt>(&value)?)
                } else {
                    Item::of_event(&codec.decode::<ConversationEvent>(&value)?)
                });
            }
        }
    }
    Ok(items)
}

/// What the inbox says, of all who are members.
async fn entries(
    installation: &Installation,
    partition: i32,
) -> anyhow::Result<HashMap<(UserId, ConversationId), Counts>> {
    let mut entries = HashMap::new();
    let mut after = None;
    loop {
        let rows = installation.store.entries(partition, after, PAGE).await?;
        after = rows.last().map(|row| (row.user, row.conversation));
        if after.is_none() {
            return Ok(entries);
        }
        entries.extend(rows.into_iter().map(|row| {
            let counts = Counts {
                last_position: row.last_position,
                unread: row.last_seq - row.read_seq,
                mentions: row.mentions_unread,
            };
            ((row.user, row.conversation), counts)
        }));
    }
}
