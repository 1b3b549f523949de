//! One WebSocket: `hello`, then one reader and one writer until either ends.
//!
//! The reader takes frames in order; see [`super::frames`] for those that cannot be taken. What a command does before its first await
//! (a send: seal and append) is done before the next frame is taken; reads run beside each other, a few at a time.

mod hello;
mod reader;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use schemars::JsonSchema;
use serde::Serialize;

use super::closing::Closing;
use super::edge::Edge;
use super::frames;
use super::hub::Socket;
use super::ports::Caught;
use super::shapes::Opener;
use crate::codec::records::Session;
use crate::domain::{SessionId, UserId};
use hello::Greeted;

pub use hello::{ABOUT as ABOUT_HELLO, Data as Hello, Welcome};

/// For the peer to take what a closing socket still has to say, and to close its side.
const PARTING: Duration = Duration::from_secs(1);

/// Takes the socket out of everything, whatever ends it.
struct Registered {
    edge: Arc<Edge>,
    socket: Arc<Socket>,
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

/// Greets `socket`, and serves it in a task of its own until it ends: the greeting's memory is not kept for the idle.
pub async fn run(edge: Arc<Edge>, mut socket: WebSocket) {
    match hello::greet(&edge, &mut socket).await {
        Ok(Greeted { registered, registered_at, cursor }) => {
            let (welcomed, session) = (Arc::clone(&registered.socket), registered.session.clone());
            tokio::spawn(catch_up(Arc::clone(&edge), welcomed, session, registered_at, cursor));
            let (sink, stream) = socket.split();
            edge.sockets.spawn(serve(registered, sink, stream));
        }
        Err(Some(closing)) => part(&mut socket, closing).await,
        Err(None) => {}
    }
}

/// Reads and writes until either ends.
async fn serve(registered: Registered, mut sink: SplitSink<WebSocket, Message>, mut stream: SplitStream<WebSocket>) {
    let mut reader = reader::Reader::new(&registered.edge, &registered.socket);
    let closed_by_us = tokio::select! {
        () = reader.run(&mut stream) => false,
        closed = writer::run(&registered.socket.outbox, &mut sink) => closed,
    };
    let heard_too_much = reader.heard_too_much();
    drop((reader, registered));
    if closed_by_us {
        Box::pin(linger(&mut stream, heard_too_much)).await;
    }
}

/// Sends what changed since the client's cursor, then `caught_up`.
async fn catch_up(edge: Arc<Edge>, socket: Arc<Socket>, session: Session, registered_at: i64, cursor: Option<String>) {
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

/// `bye` where the client may come back, then the close frame. Best effort: the peer may be gone.
async fn say_goodbye<S>(sink: &mut S, closing: Closing)
where
    S: Sink<Message> + Unpin,
{
    let parting = async {
        if let Some(bye) = closing.bye() {
            sink.feed(Message::Text(bye.into())).await?;
        }
        let frame = CloseFrame { code: closing.code(), reason: closing.reason().into() };
        sink.send(Message::Close(Some(frame))).await
    };
    // Neither a failure nor the end of the patience changes anything: it is over.
    let _ = tokio::time::timeout(PARTING, parting).await;
}

/// Closes a socket that nobody knows yet.
async fn part(socket: &mut WebSocket, closing: Closing) {
    metrics::counter!("tidings_gateway_closes_total", "reason" => closing.reason()).increment(1);
    say_goodbye(socket, closing).await;
    linger(socket, closing == Closing::FrameTooLarge).await;
}

/// Waits a moment for the peer's close: closing TCP over bytes that were not read resets it, and the peer loses our close frame.
async fn linger<S, E>(stream: &mut S, unreadable: bool)
where
    S: Stream<Item = Result<Message, E>> + Unpin,
{
    let peer = async {
        if unreadable {
            return std::future::pending().await;
        }
        while let Some(Ok(_)) = stream.next().await {}
    };
    let _ = tokio::time::timeout(PARTING, peer).await;
}

#[cfg(test)]
mod tests;
