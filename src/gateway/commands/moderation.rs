//! What the tenant's moderators do where they are no members, or no owners.

use super::Context;
use crate::domain::ConversationId;
use crate::domain::conversation::Command;
use crate::domain::decision::Done;
use crate::domain::{ErrorCode, UserId};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::ports::Journal;
use crate::gateway::seen::Scope;

/// Whether `context` moderates its tenant.
///
/// # Errors
/// `unavailable`.
pub async fn moderates(edge: &Edge, context: &Context) -> Result<bool, Failure> {
    of_tenant(edge, context, context.user).await
}

/// Whether `user` does.
///
/// # Errors
/// `unavailable`.
pub async fn of_tenant(edge: &Edge, context: &Context, user: UserId) -> Result<bool, Failure> {
    let partition = edge.partition_of(&user.to_string());
    edge.seen.settle(user, Scope::Partition(Journal::Users, partition)).await?;
    Ok(edge.ports.reads.moderates(context.tenant, user).await?)
}

/// Asks the conversation's owner as a member may, and, where that is refused, as a moderator, if the user is one: most are not, and what
/// members do waits for no view.
///
/// # Errors
/// As [`Edge::ask_conversation`].
pub async fn ask(
    edge: &Edge,
    context: &Context,
    conversation: ConversationId,
    command: Command,
) -> Result<Done, Failure> {
    let refused = match edge.ask_conversation(context.command(conversation, command.clone())).await {
        Err(refused) if matches!(refused.code, ErrorCode::NotAMember | ErrorCode::Forbidden) => refused,
        answer => return answer,
    };
    let permit = context.read_permit().await?;
    let moderator = moderates(edge, context).await?;
    drop(permit);
    if moderator { ask_as_moderator(edge, context, conversation, command).await } else { Err(refused) }
}

/// Asks as a moderator, which the user was found to be.
///
/// # Errors
/// As [`Edge::ask_conversation`].
pub async fn ask_as_moderator(
    edge: &Edge,
    context: &Context,
    conversation: ConversationId,
    command: Command,
) -> Result<Done, Failure> {
    let mut command = context.command(conversation, command);
    command.moderator = Some(true);
    edge.ask_conversation(command).await
}

#[cfg(test)]
mod tests;
