//! `presence.set`: what this socket shows.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{About, Context, Nothing, Reply};
use crate::codec::records::PresenceStatus;
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// All but `offline`: close the socket for that.
    status: PresenceStatus,
}

pub type Answer = Nothing;

pub const ABOUT: About =
    About::new("Says what this socket shows of its user.", &[r#"{"status": "away"}"#]).of_sockets();

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    if data.status == PresenceStatus::Offline {
        return Err(Failure::bad_request(
            "status must be `online`, `away` or `invisible`; close the socket to be offline",
        ));
    }
    let Some(socket) = &context.socket else {
        return Err(Failure::bad_request("presence is of a socket; open one"));
    };
    edge.ports.presence.set(socket, data.status).await?;
    Ok(Nothing {})
}
