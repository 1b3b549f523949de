//! `typing`: shown and forgotten, so it is answered as soon as it is on its way.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{About, Context, Nothing, Reply};
use crate::codec::records::Signal;
use crate::domain::{ConversationId, SessionId, Timestamp};
use crate::gateway::edge::Edge;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    conversation: ConversationId,
    /// False: stopped.
    active: bool,
}

pub type Answer = Nothing;

pub const ABOUT: About = About::new(
    "Shows the others that one types, or has stopped.",
    &[r#"{"conversation": "<conversation>", "active": true}"#],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    if !edge.typing.passes(context.user, data.conversation, data.active) {
        return Ok(Nothing {});
    }
    edge.signal(&Signal {
        r#type: "typing".to_owned(),
        tenant: context.tenant,
        conversation: data.conversation,
        actor: context.user,
        session: context.socket.as_ref().map_or_else(SessionId::default, |socket| socket.session),
        active: data.active,
        at: Timestamp::now(),
    })?;
    Ok(Nothing {})
}
