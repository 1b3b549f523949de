//! `presence.watch`: hears of users of the tenant from now on. Over HTTP, where nothing can be pushed, it only tells what they are now.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{About, Context, Reply};
use crate::domain::UserId;
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::ports::PresenceRow;
use crate::gateway::seen::Scope;
use crate::gateway::shapes::Presence;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// At most 200 watched by a socket.
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

#[derive(Serialize, JsonSchema)]
pub struct Answer {
    /// One each.
    presence: Vec<Presence>,
}

impl From<Vec<PresenceRow>> for Answer {
    fn from(rows: Vec<PresenceRow>) -> Self {
        Self { presence: rows.into_iter().map(Presence::from).collect() }
    }
}

pub const ABOUT: About = About::new(
    "Tells what users are now and, over a socket, hears of their changes from now on.",
    &[r#"{"users": ["<bob>"]}"#],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let users = data.known(edge, context)?;
    // Before the first await: a watch and what comes after it are in order.
    if let Some(socket) = &context.socket {
        edge.ports.presence.watch(socket, &users)?;
    }
    now(edge, context, &users).await
}

/// What they are now. Who has just got to know somebody sees what contacts see.
pub async fn now(edge: &Edge, context: &Context, users: &[UserId]) -> Reply<Answer> {
    // Views that stay behind show too little at worst: contacts only become more, and who hides or blocks was not answered before they had it.
    if let Err(failure) = edge.seen.settle(context.user, Scope::All).await {
        tracing::debug!(%failure, user = %context.user, "presence is shown by views that are behind");
    }
    let presence = &edge.ports.presence;
    Ok(presence.seen_by(context.tenant, context.user, context.socket.as_deref(), users).await?.into())
}
