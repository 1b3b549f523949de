//! `pins`: the pinned messages, pinned last first.

use schemars::JsonSchema;
use serde::Serialize;

use super::fields::OfConversation;
use super::{About, Context, Reply, may_view};
use crate::gateway::edge::Edge;
use crate::gateway::paging::PageBytes;
use crate::gateway::shapes::{Message, Opener};

pub type Data = OfConversation;

/// The messages.
#[derive(Serialize, JsonSchema)]
pub struct Answer {
    /// As many as fit.
    messages: Vec<Message>,
}

pub const ABOUT: About =
    About::new("Lists the pinned messages, pinned last first.", &[r#"{"conversation": "<conversation>"}"#]);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let membership = may_view(edge, context, data.conversation).await?;
    let rows = edge.ports.reads.pins(context.user, data.conversation).await?;
    let opener = Opener::new(&*edge.ports.keyring, context.tenant);
    let mut page = PageBytes::default();
    let visible = rows.into_iter().filter(|row| row.sent.seq > membership.visible_after_seq);
    let fitting = visible.take_while(|row| page.fits(row.bytes()));
    let messages = fitting.map(|row| opener.message(data.conversation, row)).collect::<Result<_, _>>()?;
    Ok(Answer { messages })
}
