//! `message.delete`: for everyone, or for oneself only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{About, Changed, Context, Nothing, Reply, moderation};
use crate::domain::ConversationId;
use crate::domain::conversation::{Command, OfMessage};
use crate::gateway::edge::Edge;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    conversation: ConversationId,
    /// Which message.
    #[schemars(range(min = 1))]
    seq: i64,
    /// For whom.
    scope: Scope,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Scope {
    Everyone,
    Me,
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Answer {
    Everyone(Changed),
    Me(Nothing),
}

pub const ABOUT: About = About::new(
    "Removes a message, for everyone or for oneself only.",
    &[
        r#"{"conversation": "<conversation>", "seq": 1, "scope": "everyone"}"#,
        r#"{"conversation": "<conversation>", "seq": 1, "scope": "me"}"#,
    ],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let (conversation, of) = (data.conversation, OfMessage { seq: data.seq });
    match data.scope {
        Scope::Everyone => {
            let done = moderation::ask(edge, context, conversation, Command::Delete(of)).await?;
            Ok(Answer::Everyone(done.into()))
        }
        Scope::Me => {
            edge.ask_conversation(context.command(conversation, Command::Hide(of))).await?;
            Ok(Answer::Me(Nothing {}))
        }
    }
}
