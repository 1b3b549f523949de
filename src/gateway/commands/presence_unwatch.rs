//! `presence.unwatch`.

use super::presence_watch::{self, now};
use super::{About, Context, Reply};
use crate::gateway::edge::Edge;

pub type Data = presence_watch::Data;

pub type Answer = presence_watch::Answer;

pub const ABOUT: About = About::new("Hears of these users no more.", &[r#"{"users": ["<bob>"]}"#]);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let users = data.known(edge, context)?;
    if let Some(socket) = &context.socket {
        edge.ports.presence.unwatch(socket, &users);
    }
    now(edge, context, &users).await
}
