//! `invite.revoke`: the link is of no use any more.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{About, Changed, Context, Reply};
use crate::domain::conversation::{Command, OfInvite};
use crate::domain::{ConversationId, InviteId};
use crate::gateway::edge::Edge;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    conversation: ConversationId,
    /// Which.
    invite: InviteId,
}

pub type Answer = Changed;

/// What the documents say of it.
pub const ABOUT: About = About::new(
    "Ends an invitation: its link is of no use any more.",
    &[r#"{"conversation": "<conversation>", "invite": "<invite>"}"#],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let command = Command::RevokeInvite(OfInvite { invite: data.invite });
    edge.ask_conversation(context.command(data.conversation, command)).await.map(Changed::from)
}
