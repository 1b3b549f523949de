//! `auth.refresh`: a new token for the same user, before the old one ends.

use serde::Deserialize;

use super::{Context, Reply, nothing};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;

#[derive(Deserialize)]
pub struct Data {
    token: String,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let Some(socket) = &context.socket else {
        return Err(Failure::bad_request("auth.refresh is for sockets; over HTTP just bear the new token"));
    };
    let claims = edge.auth.token(&data.token)?;
    if (claims.tenant, claims.user) != (context.tenant, context.user) {
        return Err(Failure::unauthenticated("the token is of another user; open another socket for it"));
    }
    socket.set_expires_at(claims.expires_at);
    Ok(nothing())
}
