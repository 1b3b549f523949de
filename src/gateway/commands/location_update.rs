//! `location.update`: a live location of one's own moves, or moves no more from a time that is earlier than was said.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;

use super::content::Location;
use super::{About, Changed, Context, Reply};
use crate::crypto::Field;
use crate::domain::conversation::{Command, Located};
use crate::domain::{ConversationId, Timestamp};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::ports::Place;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    conversation: ConversationId,
    /// Which message.
    #[schemars(range(min = 1))]
    seq: i64,
    /// Where one is now. Left out, `live_until` stays.
    location: Location,
}

pub type Answer = Changed;

pub const ABOUT: About = About::new(
    "Moves a live location of one's own, or ends it earlier.",
    &[r#"{"conversation": "<conversation>", "seq": 3, "location": {"lat": 47.3770, "lon": 8.5418}}"#],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let Data { conversation, seq, location } = data;
    let (content, live_until) = location.checked()?;
    let body = Located { seq, content: Bytes::new(), live_until: live_until.unwrap_or(Timestamp::FOREVER) };
    let mut command = context.command(conversation, Command::Locate(body));
    let place = Place { tenant: context.tenant, conversation, command: command.command_id };
    let sealed = edge.ports.keyring.seal_written(place, context.user, Field::Content, &content);
    let sealed = sealed.ok_or_else(|| Failure::unavailable("your data key is not here yet; try again"))?;
    if let Some(body) = &mut command.located {
        body.content = sealed;
    }
    edge.ask_conversation(command).await.map(Changed::from)
}
