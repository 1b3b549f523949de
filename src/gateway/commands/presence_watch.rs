//! `presence.watch`: hears of users of the tenant from now on. Over HTTP, where nothing can be pushed, it only tells what they are now.

use serde::{Deserialize, Serialize};

use super::{Context, Reply};
use crate::domain::UserId;
use crate::gateway::edge::Edge;
use crate::gateway::failure::{Failure, json};
use crate::gateway::ports::PresenceRow;
use crate::gateway::seen::Scope;
use crate::gateway::shapes::Presence;

#[derive(Deserialize)]
pub struct Data {
    users: Vec<UserId>,
}

impl Data {
    /// The users who are of the tenant. One who is not, or not any more, is left out: a contact that was erased must not end the
    /// watch of all others.
    pub fn known(self, edge: &Edge, context: &Context) -> Result<Vec<UserId>, Failure> {
        let most = edge.options.watched_users;
        if self.users.len() > most {
            return Err(Failure::too_large(format!("at most {most} users can be watched")));
        }
        let mut users = self.users;
        users.retain(|user| edge.ports.keyring.tenant_of(*user) == Some(context.tenant));
        Ok(users)
    }
}

/// `presence`: one each.
fn reply(rows: Vec<PresenceRow>) -> String {
    #[derive(Serialize)]
    struct Current {
        presence: Vec<Presence>,
    }
    json(&Current { presence: rows.into_iter().map(Presence::from).collect() })
}

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply {
    let users = data.known(edge, context)?;
    // Before the first await: a watch and what comes after it are in order.
    if let Some(socket) = &context.socket {
        edge.ports.presence.watch(socket, &users)?;
    }
    now(edge, context, &users).await
}

/// What they are now. Who has just got to know somebody sees what contacts see.
pub async fn now(edge: &Edge, context: &Context, users: &[UserId]) -> Reply {
    // Views that stay behind show too little at worst: contacts only become more, and who hides or blocks was not answered before they had it.
    if let Err(failure) = edge.seen.settle(context.user, Scope::All).await {
        tracing::debug!(%failure, user = %context.user, "presence is shown by views that are behind");
    }
    let presence = &edge.ports.presence;
    Ok(reply(presence.seen_by(context.tenant, context.user, context.socket.as_deref(), users).await?))
}
