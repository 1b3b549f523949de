//! `block`: first of the user, for all that is to come, then of the direct conversation of the two, at once and exactly.

use schemars::JsonSchema;
use serde::Deserialize;

use super::fields::check_users;
use super::{About, Context, Nothing, Reply};
use crate::codec::records::UserCommand;
use crate::domain::conversation::{self, Command};
use crate::domain::{ConversationId, ErrorCode, UserId};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::ports::Journal;
use crate::gateway::seen::Scope;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Whom.
    pub user: UserId,
}

pub type Answer = Nothing;

pub const ABOUT: About = About::new("Ends writing between oneself and a user.", &[r#"{"user": "<bob>"}"#]);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    set(edge, context, data.user, true).await
}

/// Makes it so, for `block` and `unblock`.
pub async fn set(edge: &Edge, context: &Context, other: UserId, blocked: bool) -> Reply<Answer> {
    if other == context.user {
        return Err(Failure::bad_request("nobody blocks themselves"));
    }
    check_users(edge, context, &[other]).await?;
    edge.ask_user(UserCommand::block(context.tenant, context.user, other, blocked)).await?;
    // Whoever looks from now on finds it: a conversation of the two that is not there yet will not be made.
    let partition = edge.partition_of(&context.user.to_string());
    edge.seen.settle(context.user, Scope::Partition(Journal::Users, partition)).await?;
    // Neither sees any more whether the other is there, or does again.
    edge.ports.presence.regarded_anew(context.tenant, &[context.user, other]).await?;
    let direct = ConversationId::direct(context.user, other);
    let command = Command::Block(conversation::Block { blocked });
    match edge.ask_conversation(context.command(direct, command)).await {
        Err(failure) if failure.code != ErrorCode::NotFound => Err(failure),
        // Or there is none.
        Ok(_) | Err(_) => Ok(Nothing {}),
    }
}
