//! `message.delete`: for everyone, or for oneself only.

use serde::Deserialize;

use super::{Context, Reply, changed, nothing};
use crate::domain::ConversationId;
use crate::domain::conversation::{Command, OfMessage};
use crate::gateway::edge::Edge;

#[derive(Deserialize)]
pub struct Data {
    conversation: ConversationId,
    seq: i64,
    scope: Scope,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scope {
    Everyone,
    Me,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let of = OfMessage { seq: data.seq };
    let (command, answer): (_, fn(_) -> _) = match data.scope {
        Scope::Everyone => (Command::Delete(of), changed),
        Scope::Me => (Command::Hide(of), |_| nothing()),
    };
    edge.ask_conversation(context.command(data.conversation, command)).await.map(answer)
}
