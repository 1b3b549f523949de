//! `privacy`: to whom one shows oneself.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{About, Context, Reply};
use crate::domain::user::Privacy;
use crate::gateway::edge::Edge;
use crate::gateway::ports::Journal;
use crate::gateway::seen::Scope;

#[derive(Deserialize, JsonSchema)]
pub struct Data {}

pub type Answer = Privacy;

pub const ABOUT: About = About::new("Tells to whom one shows oneself.", &["{}"]);

pub async fn run(edge: &Edge, context: &Context, _: Data) -> Reply<Answer> {
    let partition = edge.partition_of(&context.user.to_string());
    edge.seen.settle(context.user, Scope::Partition(Journal::Users, partition)).await?;
    Ok(edge.ports.reads.privacy(context.user).await?)
}
