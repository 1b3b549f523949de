//! `ping`: for clients that cannot send WebSocket pings.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{About, Context, Nothing, Reply};
use crate::gateway::edge::Edge;

#[derive(Deserialize, JsonSchema)]
pub struct Data {}

pub type Answer = Nothing;

pub const ABOUT: About =
    About::new("Answers, so that a client that cannot send WebSocket pings knows that the server is there.", &["{}"]);

pub async fn run(_: &Edge, _: &Context, _: Data) -> Reply<Answer> {
    Ok(Nothing {})
}
