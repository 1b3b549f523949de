//! One client that listens, whatever carries it: registered, caught up, and taken out of everything at its end. A WebSocket
//! ([`super::socket`]) and a stream of events ([`super::stream`]) differ only in how the outbox is written and what a client may say.

mod telling;
mod times;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::edge::Edge;
use super::failure::Failure;
use super::hub::Socket;
use super::outbox::Outbox;
use super::ports::Claims;
use super::shapes::rfc3339;
use crate::codec::records::{PresenceStatus, Session};
use crate::domain::{DeviceId, SessionId, Timestamp, UserId};

pub use telling::{CaughtUp, tell_again};
pub use times::Times;

/// No cursor of ours is longer.
const MAX_CURSOR_BYTES: usize = 4_096;

/// What a client says of itself beside its token.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Names the device, the same each time.
    pub device_id: Option<DeviceId>,
    /// Of the last `caught_up`.
    pub cursor: Option<String>,
    /// What the session shows from its beginning; none: online.
    pub status: Option<PresenceStatus>,
}

/// Takes the session out of everything, whatever ends it.
pub struct Registered {
    /// Where it is.
    pub edge: Arc<Edge>,
    /// As others see it.
    pub socket: Arc<Socket>,
    session: Session,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.edge.hub.remove(&self.socket);
        self.socket.outbox.abandon();
        self.edge.ports.catch_up.left(&self.session);
        self.edge.ports.sessions.unregister(&self.session);
        self.edge.ports.presence.disconnected(&self.session);
    }
}

/// A session that is durable, and not caught up yet.
pub struct Opened {
    /// Ends with the session.
    pub registered: Registered,
    /// Offset in `sessions`.
    registered_at: i64,
    /// As the client gave it.
    cursor: Option<String>,
}

/// Registers a session of whom `claims` say.
///
/// # Errors
/// `unavailable` where the log does not take it, or this gateway has no place.
pub async fn open(edge: &Arc<Edge>, claims: Claims, wanted: Wanted) -> Result<Opened, Failure> {
    let identity = edge.identity()?;
    let session = Session {
        tenant: claims.tenant,
        user: claims.user,
        session: SessionId::generate(),
        incarnation: identity.incarnation,
        device: wanted.device_id,
        started_at: Timestamp::now(),
    };
    let outbox = Outbox::new(edge.options.outbox_bytes, Arc::clone(&edge.outboxes));
    let socket = Arc::new(Socket::new(claims.tenant, claims.user, session.session, outbox, claims.expires_at));
    // Before the record: what is routed here because of it must find the socket.
    edge.hub.add(Arc::clone(&socket));
    let registered = Registered { edge: Arc::clone(edge), socket, session };
    let registering = edge.ports.sessions.register(&registered.session);
    let registered_at = tokio::time::timeout(edge.options.command_timeout, registering)
        .await
        .unwrap_or_else(|_| Err(Failure::unavailable("the session could not be registered in time; try again")))?;
    // Whoever lost the claim meanwhile has closed the sockets it knew, perhaps not this one.
    if edge.identity()? != identity {
        return Err(Failure::unavailable("this gateway has another place by now; connect again"));
    }
    edge.ports.presence.connected(&registered.session, wanted.status.unwrap_or(PresenceStatus::Online));
    // A cursor that is too long is none of ours, so it is not honoured.
    let cursor = wanted.cursor.filter(|cursor| cursor.len() <= MAX_CURSOR_BYTES);
    Ok(Opened { registered, registered_at, cursor })
}

impl Opened {
    /// Begins to catch up, in a task of its own.
    pub fn catch_up(self) -> Registered {
        let Self { registered, registered_at, cursor } = self;
        let (edge, socket) = (Arc::clone(&registered.edge), Arc::clone(&registered.socket));
        tokio::spawn(telling::catch_up(edge, socket, registered.session.clone(), registered_at, cursor));
        registered
    }
}

/// The answer to `hello`.
#[derive(Serialize, JsonSchema)]
pub struct Welcome {
    /// Whose the token is.
    user: UserId,
    /// Names this socket.
    session_id: SessionId,
    /// A socket that sends nothing for two of them is closed.
    ping_interval_ms: u64,
    /// A longer frame closes the socket.
    max_frame_bytes: usize,
    /// By the server's clock.
    #[serde(serialize_with = "rfc3339")]
    server_time: Timestamp,
}

impl Welcome {
    /// For `socket`.
    pub fn new(edge: &Edge, socket: &Socket) -> Self {
        Self {
            user: socket.user,
            session_id: socket.session,
            ping_interval_ms: u64::try_from(edge.options.ping_interval.as_millis()).unwrap_or(u64::MAX),
            max_frame_bytes: edge.options.max_frame_bytes,
            server_time: Timestamp::now(),
        }
    }
}
