//! `presence.unwatch`.

use super::presence_watch::{self, now};
use super::{Context, Reply};
use crate::gateway::edge::Edge;

pub type Data = presence_watch::Data;

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let users = data.known(edge, context)?;
    if let Some(socket) = &context.socket {
        edge.ports.presence.unwatch(socket, &users);
    }
    now(edge, context, &users).await
}
