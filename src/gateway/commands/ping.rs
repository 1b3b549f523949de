//! `ping`: for clients that cannot send WebSocket pings.

use serde::Deserialize;

use super::{Context, Reply, nothing};
use crate::gateway::edge::Edge;

#[derive(Deserialize)]
pub struct Data {}

pub async fn run(_: &Edge, _: &Context, _: Data) -> Reply {
    Ok(nothing())
}
