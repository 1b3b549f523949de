//! `invite.accept`: becomes a member with a link.

use serde::{Deserialize, Serialize};

use super::{Context, Reply};
use crate::domain::conversation::{Command, OfInvite};
use crate::domain::{ConversationId, InviteId, LinkId};
use crate::gateway::edge::Edge;
use crate::gateway::failure::{Failure, json};

#[derive(Deserialize)]
pub struct Data {
    link: String,
}

#[derive(Serialize)]
struct Accepted {
    conversation: ConversationId,
    position: i64,
    duplicate: bool,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let parsed = data.link.split_once('.').and_then(|(conversation, link)| {
        Some((conversation.parse::<ConversationId>().ok()?, link.parse::<LinkId>().ok()?))
    });
    let (conversation, link) = parsed.ok_or_else(|| Failure::bad_request("link is not one that invite.create gave"))?;
    let of = OfInvite { invite: InviteId::of_link(link) };
    let done = edge.ask_conversation(context.command(conversation, Command::JoinByInvite(of))).await?;
    Ok(json(&Accepted { conversation, position: done.position, duplicate: done.duplicate }))
}
