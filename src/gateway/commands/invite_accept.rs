//! `invite.accept`: becomes a member with a link.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{About, Context, Reply};
use crate::domain::conversation::{Command, OfInvite};
use crate::domain::{ConversationId, InviteId, LinkId};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// As `invite.create` gave it.
    link: String,
}

/// Where one is a member now.
#[derive(Serialize, JsonSchema)]
pub struct Answer {
    /// Which.
    conversation: ConversationId,
    /// Of the event, or the conversation's newest.
    position: i64,
    /// Whether one was a member already.
    duplicate: bool,
}

/// What the documents say of it.
pub const ABOUT: About = About::new("Becomes a member with a link.", &[r#"{"link": "<link>"}"#]);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let parsed = data.link.split_once('.').and_then(|(conversation, link)| {
        Some((conversation.parse::<ConversationId>().ok()?, link.parse::<LinkId>().ok()?))
    });
    let (conversation, link) = parsed.ok_or_else(|| Failure::bad_request("link is not one that invite.create gave"))?;
    let of = OfInvite { invite: InviteId::of_link(link) };
    let done = edge.ask_conversation(context.command(conversation, Command::JoinByInvite(of))).await?;
    Ok(Answer { conversation, position: done.position, duplicate: done.duplicate })
}
