//! `message.get`: one message, as a link names it. The tenant's moderators read so what was reported, and what is around it.

use super::fields::OfMessage;
use super::{About, Context, Reply, membership, message_at, moderation, visible_message};
use crate::domain::policy::{self, Action, Standing};
use crate::domain::{ConversationId, ErrorCode};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::ports::MessageRow;
use crate::gateway::shapes::{Message, Opener};

pub type Data = OfMessage;

pub type Answer = Message;

/// What the documents say of it.
pub const ABOUT: About =
    About::new("Reads one message, as a link names it.", &[r#"{"conversation": "<conversation>", "seq": 1}"#]);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let Data { conversation, seq } = data;
    let row = match visible_message(edge, context, conversation, seq).await {
        Err(refused) if matches!(refused.code, ErrorCode::NotAMember | ErrorCode::NotFound) => {
            reported_message(edge, context, conversation, seq).await?.ok_or(refused)?
        }
        visible => visible?,
    };
    Ok(Opener::new(&*edge.ports.keyring, context.tenant).message(conversation, row)?)
}

/// The message as a moderator may see it; none if this user is none, or if it is for members to hear why not.
async fn reported_message(
    edge: &Edge,
    context: &Context,
    conversation: ConversationId,
    seq: i64,
) -> Result<Option<MessageRow>, Failure> {
    if !moderation::moderates(edge, context).await? {
        return Ok(None);
    }
    let standing = membership(edge, context, conversation).await?.standing;
    let reported = edge.ports.reads.reported(conversation, seq).await?;
    // Not as a member: that was tried.
    let allowed = policy::allow(Standing { moderator: true, reported, role: None, ..standing }, Action::SeeReported);
    if allowed.is_err() && standing.role.is_some() {
        return Ok(None);
    }
    allowed?;
    message_at(edge, context, conversation, seq).await.map(Some)
}
