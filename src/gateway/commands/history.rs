//! `history`: a page of messages. A `seq` up to the newest without a row is a removed message, and is shown as one.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::limit;
use super::{About, Context, Reply, may_view};
use crate::domain::ConversationId;
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::paging::PageBytes;
use crate::gateway::ports::{MessageRow, ThreadRange};
use crate::gateway::shapes::{Message, Opener};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// Which page.
#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    pub conversation: ConversationId,
    /// Only those of this thread; removed ones are absent.
    pub thread: Option<i64>,
    /// Newest first, from the one before this.
    pub before_seq: Option<i64>,
    /// Oldest first, from the one after this.
    pub after_seq: Option<i64>,
    /// At most 200.
    #[schemars(range(min = 1))]
    pub limit: Option<i64>,
}

/// A page.
#[derive(Serialize, JsonSchema)]
pub struct Answer {
    /// Removed ones too.
    messages: Vec<Message>,
    /// Whether more follow.
    has_more: bool,
}

/// The range of a page, ends included.
#[derive(Debug, PartialEq, Eq)]
struct Range {
    first: i64,
    last: i64,
    newest_first: bool,
    has_more: bool,
}

pub const ABOUT: About = About::new(
    "Reads a page of messages: newest first with `before_seq` or neither, oldest first with `after_seq`.",
    &[
        r#"{"conversation": "<conversation>"}"#,
        r#"{"conversation": "<conversation>", "before_seq": 3, "limit": 10}"#,
        r#"{"conversation": "<conversation>", "after_seq": 0}"#,
        r#"{"conversation": "<conversation>", "thread": 1}"#,
    ],
);

/// Reads the page.
pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let limit = i64::from(limit(data.limit, DEFAULT_LIMIT, MAX_LIMIT)?);
    if data.before_seq.is_some() && data.after_seq.is_some() {
        return Err(Failure::bad_request("give before_seq or after_seq, not both"));
    }
    let membership = may_view(edge, context, data.conversation).await?;
    if let Some(thread) = data.thread {
        return of_thread(edge, context, &data, (thread, membership.visible_after_seq), limit).await;
    }
    let range = range(&data, membership.visible_after_seq, membership.last_seq, limit);
    let mut rows = HashMap::new();
    if range.first <= range.last {
        let reads = &edge.ports.reads;
        let found = reads.messages(context.user, data.conversation, range.first, range.last).await?;
        rows = found.into_iter().map(|row| (row.sent.seq, row)).collect();
    }
    let opener = Opener::new(&*edge.ports.keyring, context.tenant);
    let conversation = data.conversation;
    let (mut messages, mut page, mut has_more) = (Vec::new(), PageBytes::default(), range.has_more);
    for seq in range.seqs() {
        let row = rows.remove(&seq);
        if !page.fits(row.as_ref().map_or(0, MessageRow::bytes)) {
            has_more = true;
            break;
        }
        messages.push(match row {
            Some(row) => opener.message(conversation, row)?,
            None => Message::removed(conversation, seq),
        });
    }
    Ok(Answer { messages, has_more })
}

/// A page of a thread: its number, and up to which message nothing is to be seen.
async fn of_thread(
    edge: &Edge,
    context: &Context,
    data: &Data,
    (thread, hidden): (i64, i64),
    limit: i64,
) -> Reply<Answer> {
    let newest_first = data.after_seq.is_none();
    let after = data.after_seq.unwrap_or(hidden).max(hidden);
    let range = ThreadRange { thread, after, before: data.before_seq.unwrap_or(i64::MAX), newest_first };
    // One more than asked for tells whether there are more.
    let rows = edge.ports.reads.thread(context.user, data.conversation, range, limit + 1).await?;
    let opener = Opener::new(&*edge.ports.keyring, context.tenant);
    let (found, mut page) = (rows.len(), PageBytes::default());
    let fitting = rows.into_iter().take(limit as usize).take_while(|row| page.fits(row.bytes()));
    let messages = fitting.map(|row| opener.message(data.conversation, row)).collect::<Result<Vec<_>, _>>()?;
    let has_more = found > messages.len();
    Ok(Answer { messages, has_more })
}

impl Range {
    fn seqs(&self) -> Box<dyn Iterator<Item = i64> + Send> {
        let seqs = self.first..=self.last;
        if self.newest_first { Box::new(seqs.rev()) } else { Box::new(seqs) }
    }
}

/// `hidden`: messages up to this one are not to be seen.
fn range(data: &Data, hidden: i64, last_seq: i64, limit: i64) -> Range {
    match data.after_seq {
        Some(after) => {
            let first = after.max(hidden).saturating_add(1);
            let last = first.saturating_add(limit - 1).min(last_seq);
            Range { first, last, newest_first: false, has_more: first <= last && last < last_seq }
        }
        None => {
            let last = data.before_seq.map_or(last_seq, |before| before.saturating_sub(1).min(last_seq));
            let first = last.saturating_sub(limit - 1).max(hidden + 1);
            Range { first, last, newest_first: true, has_more: first <= last && first > hidden + 1 }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn data(before_seq: Option<i64>, after_seq: Option<i64>) -> Data {
        Data { conversation: ConversationId::default(), thread: None, before_seq, after_seq, limit: None }
    }

    #[test]
    fn pages_meet_without_a_gap() {
        let page = |before| range(&data(before, None), 0, 25, 10);
        assert_eq!(page(None), Range { first: 16, last: 25, newest_first: true, has_more: true });
        assert_eq!(page(Some(16)), Range { first: 6, last: 15, newest_first: true, has_more: true });
        assert_eq!(page(Some(6)), Range { first: 1, last: 5, newest_first: true, has_more: false });
        assert!(page(Some(1)).last < page(Some(1)).first);
        let page = |after| range(&data(None, Some(after)), 0, 25, 10);
        assert_eq!(page(0), Range { first: 1, last: 10, newest_first: false, has_more: true });
        assert_eq!(page(15), Range { first: 16, last: 25, newest_first: false, has_more: false });
        assert!(page(25).last < page(25).first);
    }

    proptest! {
        #[test]
        fn no_number_makes_a_page_larger_than_asked_or_out_of_the_conversation(
            before: Option<i64>, after: Option<i64>, hidden in 0..i64::MAX / 2, more in 0..i64::MAX / 2, limit in 1..200i64,
        ) {
            let last_seq = hidden + more;
            let Range { first, last, .. } = range(&data(before, after), hidden, last_seq, limit);
            prop_assert!(first > hidden && last <= last_seq);
            prop_assert!(first > last || last - first < limit);
        }
    }
}
