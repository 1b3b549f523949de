//! `message.delete`: for everyone, or for oneself only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{About, Changed, Context, Nothing, Reply};
use crate::domain::ConversationId;
use crate::domain::conversation::{Command, OfMessage};
use crate::domain::decision::Done;
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
    let of = OfMessage { seq: data.seq };
    let (command, answer): (_, fn(_) -> _) = match data.scope {
        Scope::Everyone => (Command::Delete(of), |done: Done| Answer::Everyone(done.into())),
        Scope::Me => (Command::Hide(of), |_| Answer::Me(Nothing {})),
    };
    edge.ask_conversation(context.command(data.conversation, command)).await.map(answer)
}
