//! Channels, as those see them who may join.

use schemars::JsonSchema;
use serde::Serialize;

use super::Opener;
use crate::crypto::Field;
use crate::domain::ConversationId;
use crate::domain::policy::JoinRule;
use crate::gateway::ports::{ChannelRow, OpenError};
use crate::search::Words;

/// A channel that can be joined, or asked for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Channel {
    /// Which.
    conversation: ConversationId,
    /// Its name.
    name: Option<String>,
    /// What it is about.
    topic: Option<String>,
    /// An address, or the id of an attachment.
    picture: Option<String>,
    /// Present members.
    members_count: i64,
    /// `open`: anybody joins; `request`: one asks.
    join: JoinRule,
    /// Whether the reader is one already.
    member: bool,
}

impl Channel {
    /// Whether name and topic have all of `words`.
    pub fn is_about(&self, words: &Words) -> bool {
        let text = [&self.name, &self.topic].map(|text| text.as_deref().unwrap_or_default()).join(" ");
        Words::of(&text).contains(words)
    }
}

impl Opener<'_> {
    /// Opens what a channel shows of itself.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn channel(&self, row: ChannelRow) -> Result<Channel, OpenError> {
        let conversation = row.conversation;
        Ok(Channel {
            conversation,
            name: self.shown(conversation, Field::Name, row.name)?,
            topic: self.shown(conversation, Field::Topic, row.topic)?,
            picture: self.shown(conversation, Field::Picture, row.picture)?,
            members_count: row.members_count,
            join: if row.by_request { JoinRule::Request } else { JoinRule::Open },
            member: row.member,
        })
    }
}
