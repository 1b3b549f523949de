//! `member.ban`: removes users and keeps them out, until a time or until it is lifted.

use super::fields::OfRestricted;
use super::{About, Changed, Context, Reply, moderation};
use crate::domain::conversation::Command;
use crate::gateway::edge::Edge;

pub type Data = OfRestricted;

pub type Answer = Changed;

pub const ABOUT: About = About::new(
    "Removes users and keeps them out, until a time or until it is lifted.",
    &[
        r#"{"conversation": "<conversation>", "users": ["<bob>"]}"#,
        r#"{"conversation": "<conversation>", "users": ["<bob>"], "until": "2030-01-01T00:00:00.000Z"}"#,
    ],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let conversation = data.conversation;
    let command = Command::Ban(data.checked(edge, context).await?);
    moderation::ask(edge, context, conversation, command).await.map(Changed::from)
}
