//! `receipts`: how many members have read a message, and whom it has reached. Who they are only where each receipt is pushed too.

use serde::{Deserialize, Serialize};

use super::{Context, Reply, may_view};
use crate::domain::{ConversationId, UserId};
use crate::gateway::edge::Edge;
use crate::gateway::failure::{Failure, json};

#[derive(Deserialize)]
pub struct Data {
    pub conversation: ConversationId,
    pub seq: i64,
}

#[derive(Serialize)]
struct Pointers {
    user: UserId,
    read_seq: i64,
    delivered_seq: i64,
}

#[derive(Serialize)]
struct Receipts {
    seq: i64,
    read: i64,
    delivered: i64,
    members: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<Vec<Pointers>>,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let Data { conversation, seq } = data;
    let membership = may_view(edge, context, conversation).await?;
    if seq <= membership.visible_after_seq.max(0) || seq > membership.last_seq {
        return Err(Failure::not_found("there is no such message"));
    }
    let row = edge.ports.reads.receipts(conversation, seq, edge.options.receipts_listed_members).await?;
    let users = row.users.map(|users| {
        let pointers = users.into_iter();
        pointers.map(|of| Pointers { user: of.user, read_seq: of.read_seq, delivered_seq: of.delivered_seq }).collect()
    });
    Ok(json(&Receipts { seq, read: row.read, delivered: row.delivered, members: row.members, users }))
}
