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

use super::closing::Closing;
use super::edge::Edge;
use super::session::Registered;

pub use hello::{ABOUT as ABOUT_HELLO, Data as Hello};

/// For the peer to take what a closing socket still has to say, and to close its side.
const PARTING: Duration = Duration::from_secs(1);

/// Greets `socket`, and serves it in a task of its own until it ends: the greeting's memory is not kept for the idle.
pub async fn run(edge: Arc<Edge>, mut socket: WebSocket) {
    match hello::greet(&edge, &mut socket).await {
        Ok(opened) => {
            let (sink, stream) = socket.split();
            edge.sockets.spawn(serve(opened.catch_up(), sink, stream));
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
