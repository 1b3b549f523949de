//! `presence.set`: what this socket shows.

use serde::Deserialize;

use super::{Context, Reply, nothing};
use crate::codec::records::PresenceStatus;
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;

#[derive(Deserialize)]
pub struct Data {
    status: PresenceStatus,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    if data.status == PresenceStatus::Offline {
        return Err(Failure::bad_request(
            "status must be `online`, `away` or `invisible`; close the socket to be offline",
        ));
    }
    let Some(socket) = &context.socket else {
        return Err(Failure::bad_request("presence is of a socket; open one"));
    };
    edge.ports.presence.set(socket, data.status).await?;
    Ok(nothing())
}
