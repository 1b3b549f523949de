//! `threads`: those of a conversation, with the newest message first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::limit;
use super::{About, Context, Reply, may_view};
use crate::domain::ConversationId;
use crate::gateway::edge::Edge;
use crate::gateway::paging::PageBytes;
use crate::gateway::ports::MessageRow;
use crate::gateway::shapes::{Message, Opener};

const DEFAULT_LIMIT: u32 = 20;
const MAX_LIMIT: u32 = 100;

/// Which page.
#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    pub conversation: ConversationId,
    /// Those whose newest message is before this.
    pub before_seq: Option<i64>,
    /// Only those that one takes part in: whose message one sent, or in which one wrote or read.
    #[serde(default)]
    pub following: bool,
    /// At most 100; 20 where it is left out.
    #[schemars(range(min = 1))]
    pub limit: Option<i64>,
}

/// A page.
#[derive(Serialize, JsonSchema)]
pub struct Answer {
    /// The one with the newest message first.
    threads: Vec<Thread>,
    /// Whether more follow.
    has_more: bool,
}

#[derive(Serialize, JsonSchema)]
struct Thread {
    /// The `seq` of the message that it is of.
    thread: i64,
    /// The message that it is of.
    root: Message,
    /// Messages that are there.
    replies: i64,
    /// The newest message of it.
    last_seq: i64,
    /// Its number in the thread.
    last_thread_seq: i64,
    /// Whether one takes part in it.
    following: bool,
    /// Up to where one has read.
    read_thread_seq: i64,
    /// `last_thread_seq - read_thread_seq`; 0 in threads that one does not follow.
    unread: i64,
}

/// What the documents say of it.
pub const ABOUT: About = About::new(
    "Lists the threads of a conversation, the one with the newest message first.",
    &[r#"{"conversation": "<conversation>"}"#, r#"{"conversation": "<conversation>", "following": true, "limit": 10}"#],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let limit = limit(data.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let conversation = data.conversation;
    let membership = may_view(edge, context, conversation).await?;
    let before = data.before_seq.unwrap_or(i64::MAX);
    let after = membership.visible_after_seq;
    // One more than asked for tells whether there are more.
    let rows = edge.ports.reads.threads(context.user, conversation, (after, before), data.following, limit + 1).await?;
    let opener = Opener::new(&*edge.ports.keyring, context.tenant);
    let (mut threads, mut page) = (Vec::new(), PageBytes::default());
    let found = rows.len();
    for row in rows.into_iter().take(limit as usize) {
        let root = row.root.filter(|root| root.sent.seq > after);
        if !page.fits(root.as_ref().map_or(0, MessageRow::bytes)) {
            break;
        }
        let root = match root {
            Some(root) => opener.message(conversation, root)?,
            None => Message::removed(conversation, row.thread),
        };
        threads.push(Thread {
            thread: row.thread,
            root,
            replies: row.replies,
            last_seq: row.last_seq,
            last_thread_seq: row.last_thread_seq,
            following: row.following,
            read_thread_seq: row.read_thread_seq,
            unread: if row.following { row.last_thread_seq - row.read_thread_seq } else { 0 },
        });
    }
    let has_more = found > threads.len();
    Ok(Answer { threads, has_more })
}
