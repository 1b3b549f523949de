//! `typing`: shown and forgotten, so it is answered as soon as it is on its way.

use serde::Deserialize;

use super::{Context, Reply, nothing};
use crate::codec::records::Signal;
use crate::domain::{ConversationId, SessionId, Timestamp};
use crate::gateway::edge::Edge;

#[derive(Deserialize)]
pub struct Data {
    conversation: ConversationId,
    active: bool,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    if !edge.typing.passes(context.user, data.conversation, data.active) {
        return Ok(nothing());
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
    Ok(nothing())
}
