//! `invite.create`: a link for whoever is to come. Its secret is made here and told to its maker only: the log has what follows from it.

use serde::{Deserialize, Serialize};

use super::{Context, Reply};
use crate::domain::conversation::{Command, Invite};
use crate::domain::policy::Role;
use crate::domain::time::HOUR_MS;
use crate::domain::{ConversationId, InviteId, LinkId, Timestamp};
use crate::gateway::edge::Edge;
use crate::gateway::failure::{Failure, json};

/// Ten years.
const LONGEST_MS: i64 = 3_650 * 24 * HOUR_MS;

#[derive(Deserialize)]
pub struct Data {
    conversation: ConversationId,
    expires_in_ms: Option<i64>,
    max_uses: Option<i64>,
    role: Option<Role>,
}

#[derive(Serialize)]
struct Created {
    invite: InviteId,
    link: String,
    position: i64,
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
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
    Ok(json(&Created { invite: invite.invite, link: format!("{conversation}.{link}"), position: done.position }))
}
