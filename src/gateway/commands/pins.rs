//! `pins`: the pinned messages, pinned last first.

use serde::Serialize;

use super::fields::OfConversation;
use super::{Context, Reply, may_view};
use crate::gateway::edge::Edge;
use crate::gateway::failure::json;
use crate::gateway::paging::PageBytes;
use crate::gateway::shapes::{Message, Opener};

pub type Data = OfConversation;

#[derive(Serialize)]
struct Pins {
    messages: Vec<Message>,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let membership = may_view(edge, context, data.conversation).await?;
    let rows = edge.ports.reads.pins(context.user, data.conversation).await?;
    let opener = Opener::new(&*edge.ports.keyring, context.tenant);
    let mut page = PageBytes::default();
    let visible = rows.into_iter().filter(|row| row.sent.seq > membership.visible_after_seq);
    let fitting = visible.take_while(|row| page.fits(row.bytes()));
    let messages = fitting.map(|row| opener.message(data.conversation, row)).collect::<Result<_, _>>()?;
    Ok(json(&Pins { messages }))
}
