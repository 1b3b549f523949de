//! `unblock`.

use super::{About, Context, Nothing, Reply, block};
use crate::gateway::edge::Edge;

pub type Data = block::Data;

pub type Answer = Nothing;

pub const ABOUT: About = About::new("Takes a block back.", &[r#"{"user": "<bob>"}"#]);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    block::set(edge, context, data.user, false).await
}
