//! `presence.unwatch`.

use super::presence_watch::{self, reply};
use super::{Context, Reply};
use crate::gateway::edge::Edge;

pub type Data = presence_watch::Data;

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let users = data.known(edge, context)?;
    let presence = &edge.ports.presence;
    let rows = match &context.socket {
        Some(socket) => presence.unwatch(socket, &users).await?,
        None => presence.current(context.tenant, &users).await?,
    };
    Ok(reply(rows))
}
