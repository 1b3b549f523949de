//! `invite.create`: a link for whoever is to come. Its secret is made here and told to its maker only: the log has what follows from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{About, Context, Reply};
use crate::domain::conversation::{Command, Invite};
use crate::domain::policy::Role;
use crate::domain::time::HOUR_MS;
use crate::domain::{ConversationId, InviteId, LinkId, Timestamp};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;

/// Ten years.
const LONGEST_MS: i64 = 3_650 * 24 * HOUR_MS;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Where.
    conversation: ConversationId,
    /// After how long it ends; when it is revoked, where it is left out.
    #[schemars(range(min = 1, max = 315_360_000_000_i64))]
    expires_in_ms: Option<i64>,
    /// How many may come; any number, where it is left out.
    #[schemars(range(min = 1))]
    max_uses: Option<i64>,
    /// `member` or `guest`; `member` where it is left out.
    role: Option<Role>,
}

/// The invitation.
#[derive(Serialize, JsonSchema)]
pub struct Answer {
    /// To revoke it with.
    invite: InviteId,
    /// For whoever is to come. It is told only here.
    link: String,
    /// Of the event.
    position: i64,
}

/// What the documents say of it.
pub const ABOUT: About = About::new(
    "Makes a link for whoever is to come.",
    &[
        r#"{"conversation": "<conversation>"}"#,
        r#"{"conversation": "<conversation>", "expires_in_ms": 86400000, "max_uses": 10, "role": "guest"}"#,
    ],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let Data { conversation, expires_in_ms, max_uses, role } = data;
    if expires_in_ms.is_some_and(|ms| !(1..=LONGEST_MS).contains(&ms)) {
        return Err(Failure::bad_request(format!("expires_in_ms is from 1 to {LONGEST_MS}")));
    }
    // Nothing of it can be guessed; `generate` would tell the time.
    let link = LinkId::from_bytes(rand::random());
    let invite = Invite {
        invite: InviteId::of_link(link),
        expires_at: expires_in_ms.map(|ms| Timestamp::now().plus(ms)),
        max_uses,
        role: role.unwrap_or(Role::Member),
    };
    let done = edge.ask_conversation(context.command(conversation, Command::Invite(invite))).await?;
    Ok(Answer { invite: invite.invite, link: format!("{conversation}.{link}"), position: done.position })
}
