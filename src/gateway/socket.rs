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

use super::closing::{Closing, Goodbye};
use super::edge::Edge;
use super::session::Registered;
use hello::Greeted;

pub use hello::{ABOUT as ABOUT_HELLO, Data as Hello};

/// For the peer to take what a closing socket still has to say, and to close its side.
const PARTING: Duration = Duration::from_secs(1);

/// Greets `socket`, and serves it in a task of its own until it ends: the greeting's memory is not kept for the idle.
pub async fn run(edge: Arc<Edge>, mut socket: WebSocket) {
    match hello::greet(&edge, &mut socket).await {
        Ok(Greeted { opened, early }) => {
            let (sink, stream) = socket.split();
            edge.sockets.spawn(serve(opened.catch_up(), early, sink, stream));
        }
        Err(Some(goodbye)) => part(&mut socket, goodbye).await,
        Err(None) => {}
    }
}

/// Reads and writes until either ends. `early` was read already.
async fn serve(
    registered: Registered,
    early: Option<Message>,
    mut sink: SplitSink<WebSocket, Message>,
    mut stream: SplitStream<WebSocket>,
) {
    let mut reader = reader::Reader::new(&registered.edge, &registered.socket);
    if let Some(early) = early {
        reader.take(early);
    }
    let closed_by_us = tokio::select! {
        () = reader.run(&mut stream) => false,
        closed = writer::run(&registered.edge, &registered.socket.outbox, &mut sink) => closed,
    };
    let heard_too_much = reader.heard_too_much();
    drop((reader, registered));
    if closed_by_us {
        Box::pin(linger(&mut stream, heard_too_much)).await;
    }
}

/// `bye` where the client may come back, then the close frame. Best effort: the peer may be gone.
async fn say_goodbye<S>(sink: &mut S, goodbye: Goodbye)
where
    S: Sink<Message> + Unpin,
{
    let parting = async {
        if let Some(bye) = goodbye.bye() {
            sink.feed(Message::Text(bye.into())).await?;
        }
        let closing = goodbye.closing;
        let frame = CloseFrame { code: closing.code(), reason: closing.reason().into() };
        sink.send(Message::Close(Some(frame))).await
    };
    // Neither a failure nor the end of the patience changes anything: it is over.
    let _ = tokio::time::timeout(PARTING, parting).await;
}

/// Closes a socket that nobody knows yet.
async fn part(socket: &mut WebSocket, goodbye: Goodbye) {
    metrics::counter!("tidings_gateway_closes_total", "reason" => goodbye.closing.reason()).increment(1);
    say_goodbye(socket, goodbye).await;
    linger(socket, goodbye.closing == Closing::FrameTooLarge).await;
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
