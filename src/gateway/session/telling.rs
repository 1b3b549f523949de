//! What a session is told first: what changed since the client's cursor, then `caught_up`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::codec::records::Session;
use crate::domain::{SessionId, UserId};
use crate::gateway::closing::Closing;
use crate::gateway::edge::Edge;
use crate::gateway::frames;
use crate::gateway::hub::Socket;
use crate::gateway::ports::Caught;
use crate::gateway::shapes::Opener;

/// Sends what changed since the client's cursor, then `caught_up`.
pub(super) async fn catch_up(
    edge: Arc<Edge>,
    socket: Arc<Socket>,
    session: Session,
    registered_at: i64,
    cursor: Option<String>,
) {
    let caught = tokio::select! {
        caught = edge.ports.catch_up.catch_up(&session, registered_at, cursor.as_deref()) => Some(caught),
        () = socket.outbox.ended() => None,
    };
    match caught {
        Some(Ok(caught)) => tell(&edge, &socket, caught).await,
        // Only told that it is over: no reason to worry anybody.
        Some(Err(_)) if socket.outbox.closing().is_some() => {}
        Some(Err(failure)) => {
            tracing::warn!(%failure, session = %session.session, "a session cannot catch up and is closed");
            socket.outbox.close(Closing::Draining);
        }
        None => {}
    }
    // It may have ended before it began to catch up, and what came of that would never be taken back.
    if socket.outbox.closing().is_some() {
        edge.ports.catch_up.left(&session);
    }
}

/// Sends what a session that was caught up before may have missed, if it is still here.
pub fn tell_again(edge: &Arc<Edge>, user: UserId, session: SessionId, caught: Caught) {
    if let Some(socket) = edge.hub.session(user, session) {
        let edge = Arc::clone(edge);
        tokio::spawn(async move { tell(&edge, &socket, caught).await });
    }
}

/// `data` of `caught_up`.
#[derive(Serialize, JsonSchema)]
pub struct CaughtUp {
    /// For the next `hello`.
    cursor: String,
    /// True: only the newest were sent; page the rest with `inbox`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    reset: bool,
}

async fn tell(edge: &Edge, socket: &Socket, caught: Caught) {
    let opener = Opener::new(&*edge.ports.keyring, socket.tenant);
    for row in caught.conversations {
        let conversation = row.conversation;
        match opener.conversation(socket.user, row) {
            Ok(shape) => socket.outbox.push_when_room(frames::push("inbox.changed", &shape)).await,
            Err(error) => {
                tracing::error!(%error, %conversation, "a conversation cannot be shown; its socket is closed to try again");
                return socket.outbox.close(Closing::Draining);
            }
        }
    }
    let caught_up = CaughtUp { cursor: caught.cursor, reset: caught.reset };
    socket.outbox.push_when_room(frames::push("caught_up", &caught_up)).await;
}
