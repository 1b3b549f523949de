//! [`Presence`] over what all gateways publish, and the sink that tells watching sockets.

use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;

use crate::codec::records::{PresenceStatus, Session};
use crate::domain::policy::Sight;
use crate::domain::{SessionId, TenantId, UserId};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::hub::Socket;
use crate::gateway::outbox::Worth;
use crate::gateway::ports::{Presence, PresenceRow, ReadError};
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
    fn connected(&self, session: &Session, status: PresenceStatus) {
        self.0.connected(session, status);
    }

    fn disconnected(&self, session: &Session) {
        self.0.disconnected(session.session);
    }

    async fn set(&self, socket: &Arc<Socket>, status: PresenceStatus) -> Result<(), Failure> {
        self.0.set(socket.session, status).await.map_err(|error| failure(&error))
    }

    fn watch(&self, socket: &Socket, users: &[UserId]) -> Result<(), Failure> {
        self.0.watch(watcher(socket), users).map_err(|error| failure(&error))
    }

    fn unwatch(&self, socket: &Socket, users: &[UserId]) {
        self.0.unwatch(watcher(socket), users);
    }

    async fn seen_by(
        &self,
        tenant: TenantId,
        user: UserId,
        socket: Option<&Socket>,
        users: &[UserId],
    ) -> Result<Vec<PresenceRow>, Failure> {
        let nobodys = Watcher { tenant, user, session: SessionId::default() };
        let views = self.0.seen_by(socket.map_or(nobodys, watcher), users).await;
        views.map(|views| rows(&views)).map_err(|error| match error {
            PresenceError::LookUp(error) => error.into(),
            error => failure(&error),
        })
    }

    async fn regarded_anew(&self, tenant: TenantId, users: &[UserId]) -> Result<(), Failure> {
        self.0.regarded_anew(tenant, users).await.map_err(|error| failure(&error))
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

#[async_trait]
impl PresenceSink for PresencePusher {
    fn presence(&self, view: &View, watchers: &[Watcher]) {
        let Some(edge) = self.0.get().and_then(Weak::upgrade) else { return };
        let frame = shapes::presence(row(view));
        for watcher in watchers {
            edge.hub.push_session(watcher.user, watcher.session, &frame, Worth::Passing);
        }
    }
    async fn sights(&self, asked: &[(UserId, UserId)]) -> Result<Vec<Sight>, ReadError> {
        let edge = self.0.get().and_then(Weak::upgrade);
        let edge = edge.ok_or_else(|| ReadError::Failed("the gateway begins or ends".into()))?;
        edge.ports.reads.sights(asked).await
    }
}
