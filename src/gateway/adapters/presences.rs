//! [`Presence`] over what all gateways publish, and the sink that tells watching sockets.

use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;

use crate::codec::records::{PresenceStatus, Session};
use crate::domain::{TenantId, UserId};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::hub::Socket;
use crate::gateway::outbox::Worth;
use crate::gateway::ports::{Presence, PresenceRow};
use crate::gateway::presence::{PresenceError, PresenceSink, Presences, View, Watcher};
use crate::gateway::shapes;

/// Asks the presences of this process.
pub struct Present(pub Arc<Presences>);

fn row(view: &View) -> PresenceRow {
    PresenceRow { user: view.user, status: view.status, last_seen: view.last_seen }
}

fn rows(views: &[View]) -> Vec<PresenceRow> {
    views.iter().map(row).collect()
}

fn watcher(socket: &Socket) -> Watcher {
    Watcher { tenant: socket.tenant, user: socket.user, session: socket.session }
}

fn failure(error: &PresenceError) -> Failure {
    match error {
        PresenceError::TooMany(too_many) => Failure::too_large(too_many.to_string()),
        error => {
            tracing::warn!(%error, "presence was not published");
            Failure::unavailable("presence cannot be changed at the moment; try again")
        }
    }
}

#[async_trait]
impl Presence for Present {
    fn connected(&self, session: &Session) {
        self.0.connected(session);
    }

    fn disconnected(&self, session: &Session) {
        self.0.disconnected(session.session);
    }

    async fn set(&self, socket: &Arc<Socket>, status: PresenceStatus) -> Result<(), Failure> {
        self.0.set(socket.session, status).await.map_err(|error| failure(&error))
    }

    async fn watch(&self, socket: &Arc<Socket>, users: &[UserId]) -> Result<Vec<PresenceRow>, Failure> {
        let views = self.0.watch(watcher(socket), users).map_err(|error| failure(&error))?;
        Ok(rows(&views))
    }

    async fn unwatch(&self, socket: &Arc<Socket>, users: &[UserId]) -> Result<Vec<PresenceRow>, Failure> {
        Ok(rows(&self.0.unwatch(watcher(socket), users)))
    }

    async fn current(&self, tenant: TenantId, users: &[UserId]) -> Result<Vec<PresenceRow>, Failure> {
        Ok(rows(&self.0.current(tenant, users)))
    }
}

/// Writes to the watching sockets of an edge that is made after it.
#[derive(Default)]
pub struct PresencePusher(OnceLock<Weak<Edge>>);

impl PresencePusher {
    /// To be called once.
    pub fn serve(&self, edge: &Arc<Edge>) {
        // The first one stays.
        let _ = self.0.set(Arc::downgrade(edge));
    }
}

impl PresenceSink for PresencePusher {
    fn presence(&self, view: &View, watchers: &[Watcher]) {
        let Some(edge) = self.0.get().and_then(Weak::upgrade) else { return };
        let frame = shapes::presence(row(view));
        for watcher in watchers {
            edge.hub.push_session(watcher.user, watcher.session, &frame, Worth::Passing);
        }
    }
}
