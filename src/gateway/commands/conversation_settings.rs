//! `conversation.settings`: how one sees a conversation oneself.

use serde::Deserialize;

use super::fields::{Change, Moment};
use super::{Context, Reply, nothing};
use crate::domain::ConversationId;
use crate::domain::conversation::{ChangeSettings, Command, Notify};
use crate::gateway::edge::Edge;

#[derive(Deserialize)]
pub struct Data {
    conversation: ConversationId,
    #[serde(default)]
    muted_until: Change<Moment>,
    pinned: Option<bool>,
    archived: Option<bool>,
    notify: Option<Notify>,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let (muted_until, unmuted) = match data.muted_until {
        Change::Keep => (None, false),
        Change::Clear => (None, true),
        Change::Set(Moment(until)) => (Some(until), false),
    };
    let Data { pinned, archived, notify, .. } = data;
    let command = Command::Settings(ChangeSettings { muted_until, unmuted, pinned, archived, notify });
    edge.ask_conversation(context.command(data.conversation, command)).await?;
    Ok(nothing())
}
