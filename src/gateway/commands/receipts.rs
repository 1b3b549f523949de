//! `receipts`: how many members have read a message, and whom it has reached. Who they are only where each receipt is pushed too.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{About, Context, Reply, may_view};
use crate::domain::{ConversationId, UserId};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;

/// Which message.
#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    pub conversation: ConversationId,
    /// Which.
    #[schemars(range(min = 1))]
    pub seq: i64,
}

#[derive(Serialize, JsonSchema)]
struct Pointers {
    /// Who.
    user: UserId,
    /// The newest message that it has read.
    read_seq: i64,
    /// The newest message that has reached a device of it.
    delivered_seq: i64,
}

/// How far it is.
#[derive(Serialize, JsonSchema)]
pub struct Answer {
    /// Which message.
    seq: i64,
    /// How many members have read it.
    read: i64,
    /// How many it has reached.
    delivered: i64,
    /// Present members.
    members: i64,
    /// Each of them, in conversations that are not too large.
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<Vec<Pointers>>,
}

/// What the documents say of it.
pub const ABOUT: About = About::new(
    "Tells how many members have read a message, and how many it has reached.",
    &[r#"{"conversation": "<conversation>", "seq": 1}"#],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let Data { conversation, seq } = data;
    let membership = may_view(edge, context, conversation).await?;
    if seq < 1 {
        return Err(Failure::bad_request("seq must be 1 or more"));
    }
    if seq <= membership.visible_after_seq || seq > membership.last_seq {
        return Err(Failure::not_found("there is no such message"));
    }
    let row = edge.ports.reads.receipts(conversation, seq, edge.options.receipts_listed_members).await?;
    let users = row.users.map(|users| {
        let pointers = users.into_iter();
        pointers.map(|of| Pointers { user: of.user, read_seq: of.read_seq, delivered_seq: of.delivered_seq }).collect()
    });
    Ok(Answer { seq, read: row.read, delivered: row.delivered, members: row.members, users })
}
