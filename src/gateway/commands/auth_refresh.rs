//! `auth.refresh`: a new token for the same user, before the old one ends.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{About, Context, Nothing, Reply};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// An access token of the same user.
    token: String,
}

pub type Answer = Nothing;

pub const ABOUT: About =
    About::new("Gives the socket a new token of the same user, before the old one ends.", &[r#"{"token": "<token>"}"#])
        .of_sockets();

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let Some(socket) = &context.socket else {
        return Err(Failure::bad_request("auth.refresh is for sockets; over HTTP just bear the new token"));
    };
    let claims = edge.auth.token(&data.token)?;
    if (claims.tenant, claims.user) != (context.tenant, context.user) {
        return Err(Failure::unauthenticated("the token is of another user; open another socket for it"));
    }
    socket.set_expires_at(claims.expires_at);
    Ok(Nothing {})
}
