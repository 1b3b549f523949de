//! `presence.unwatch`.

use super::{About, Context, Reply, presence_watch};
use crate::gateway::edge::Edge;

pub type Data = presence_watch::Data;

pub type Answer = presence_watch::Answer;

pub const ABOUT: About = About::new("Hears of these users no more.", &[r#"{"users": ["<bob>"]}"#]);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let users = data.known(edge, context)?;
    let presence = &edge.ports.presence;
    let rows = match &context.socket {
        Some(socket) => presence.unwatch(socket, &users).await?,
        None => presence.current(context.tenant, &users).await?,
    };
    Ok(rows.into())
}
