//! `message.get`: one message, as a link names it.

use super::fields::OfMessage;
use super::{Context, Reply, visible_message};
use crate::gateway::edge::Edge;
use crate::gateway::failure::json;
use crate::gateway::shapes::Opener;

pub type Data = OfMessage;

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let row = visible_message(edge, context, data.conversation, data.seq).await?;
    Ok(json(&Opener::new(&*edge.ports.keyring, context.tenant).message(data.conversation, row)?))
}
