//! `permissions`: whether somebody may do something, and if not, why.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{About, Context, Reply, membership, moderation};
use crate::domain::policy::{self, Action, Role, Standing};
use crate::domain::{ConversationId, ErrorCode, UserId};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;

/// What is asked.
#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    pub conversation: ConversationId,
    /// Of whom; none: of oneself.
    pub user: Option<UserId>,
    /// To do what.
    pub action: Action,
    /// To whom, or to whose message.
    pub target: Option<UserId>,
    /// The role that it would get.
    pub role: Option<Role>,
    /// To which message; of moderators, as some of what they may depends on whether it was reported.
    pub seq: Option<i64>,
}

/// Whether and why.
#[derive(Serialize, JsonSchema)]
pub struct Answer {
    /// Whether the command would be accepted as things are.
    allowed: bool,
    /// The code of the refusal.
    code: Option<ErrorCode>,
    /// For people.
    reason: Option<String>,
}

pub const ABOUT: About = About::new(
    "Says whether somebody may do something, and if not, why.",
    &[
        r#"{"conversation": "<conversation>", "action": "send"}"#,
        r#"{"conversation": "<conversation>", "user": "<bob>", "action": "set_role", "target": "<bob>", "role": "owner"}"#,
    ],
);

/// Asks the views; the command itself is decided by what is then.
pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let moderator = moderation::moderates(edge, context).await?;
    let asker = Standing { moderator, ..membership(edge, context, data.conversation).await?.standing };
    let user = data.user.unwrap_or(context.user);
    policy::may_ask(asker, user != context.user)?;
    let standing = async |user: UserId| -> Result<Standing, Failure> {
        let membership = edge.ports.reads.membership(context.tenant, data.conversation, user).await?;
        let standing = membership.ok_or_else(|| Failure::not_found("there is no such conversation"))?.standing;
        Ok(Standing { moderator: moderation::of_tenant(edge, context, user).await?, ..standing })
    };
    let mut asked = if user == context.user { asker } else { standing(user).await? };
    if let Some(target) = data.target {
        let target = standing(target).await?;
        asked.target = target.role;
        if data.action == Action::AddMembers {
            asked.banned_until = target.banned_until;
        }
    }
    asked.wanted_role = data.role;
    if let Some(seq) = data.seq.filter(|_| asked.moderator) {
        asked.reported = edge.ports.reads.reported(data.conversation, seq).await?;
    }
    let answer = match policy::allow(asked, data.action) {
        Ok(()) => Answer { allowed: true, code: None, reason: None },
        Err(refused) => Answer { allowed: false, code: Some(refused.code), reason: Some(refused.message) },
    };
    Ok(answer)
}
