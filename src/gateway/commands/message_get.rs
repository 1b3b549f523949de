//! `message.get`: one message, as a link names it.

use super::fields::OfMessage;
use super::{About, Context, Reply, visible_message};
use crate::gateway::edge::Edge;
use crate::gateway::shapes::{Message, Opener};

pub type Data = OfMessage;

pub type Answer = Message;

/// What the documents say of it.
pub const ABOUT: About =
    About::new("Reads one message, as a link names it.", &[r#"{"conversation": "<conversation>", "seq": 1}"#]);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let row = visible_message(edge, context, data.conversation, data.seq).await?;
    Ok(Opener::new(&*edge.ports.keyring, context.tenant).message(data.conversation, row)?)
}
