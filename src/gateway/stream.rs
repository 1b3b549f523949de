//! One stream of server-sent events: what a WebSocket gets after `hello`, for clients that can have no WebSocket. What they say goes over
//! HTTP.
//!
//! `data` of an event is the frame that a WebSocket would carry, byte for byte, and `event` its type. Two frames are only here: `hello`,
//! first, which is the answer to the WebSocket's `hello`; and `close`, last, where there is no `bye` as the client must not come back.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::ws::Utf8Bytes;
use futures_util::stream;
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::closing::{Goodbye, Reconnect};
use super::frames;
use super::hub::Socket;
use super::listener::Cut;
use super::outbox::Next;
use super::session::{Opened, Registered, Times, Welcome};

/// What is written at once.
const BATCH_BYTES: usize = 65_536;
/// For a peer to take some of what is still to be written to it, once its stream has ended.
const PARTING: Duration = Duration::from_secs(1);
/// Nothing to a client, but for proxies and kernels a sign of life.
const PING: &[u8] = b": ping\n\n";

/// `data` of `close`, which says what the close frame of a WebSocket would.
#[derive(Serialize, JsonSchema)]
pub struct Closed {
    /// As of WebSockets: 4500 to 4999, do not come back as you are.
    code: u16,
    /// Of the code.
    reason: &'static str,
}

/// What ends with the response.
struct Live {
    registered: Registered,
    /// Counts as a socket, and is waited for where the gateway stops.
    _counted: TaskTrackerToken,
}

/// The body of the response. It ends with the session, and the session with it. `cut` ends the connection of a peer that takes nothing any
/// more: such a body is not asked for more, and cannot end by itself.
pub fn body(opened: Opened, cut: Option<Cut>) -> Body {
    let (edge, socket) = (Arc::clone(&opened.registered.edge), Arc::clone(&opened.registered.socket));
    socket.outbox.push_first(frames::push("hello", &Welcome::new(&edge, &socket)));
    let live = Live { registered: opened.catch_up(), _counted: edge.sockets.token() };
    tokio::spawn(keep(edge.options.ping_interval, socket, cut));
    Body::from_stream(stream::unfold(Some(live), next))
}

/// What is written next, and whether more may follow.
async fn next(live: Option<Live>) -> Option<(Result<Bytes, Infallible>, Option<Live>)> {
    let live = live?;
    Some(match live.registered.socket.outbox.next(BATCH_BYTES).await {
        Next::Frames(frames) => (Ok(events(&frames)), Some(live)),
        Next::Ping => (Ok(Bytes::from_static(PING)), Some(live)),
        Next::Close(closing) => (Ok(last(live.registered.edge.goodbye(closing))), None),
    })
}

/// Watches over the session's times, and over its end.
async fn keep(ping_interval: Duration, socket: Arc<Socket>, cut: Option<Cut>) {
    let mut times = Times::new(ping_interval);
    loop {
        tokio::select! {
            () = socket.outbox.ended() => break,
            () = tokio::time::sleep_until(times.wake_at(&socket)) => times.wake(&socket),
        }
    }
    let Some(cut) = cut else { return };
    let mut left = usize::MAX;
    // Whoever still takes what is queued may have it all; after the last of it there is the goodbye.
    while socket.outbox.bytes() < left {
        left = socket.outbox.bytes();
        tokio::time::sleep(PARTING).await;
    }
    cut.cut();
}

fn events(frames: &[Utf8Bytes]) -> Bytes {
    let mut events = Vec::with_capacity(frames.iter().map(|frame| frame.len() + 64).sum());
    for frame in frames {
        event(&mut events, frame);
    }
    events.into()
}

/// One event. The frame is one line, as our serializer writes it; a line more would only be a `data` more.
fn event(events: &mut Vec<u8>, frame: &str) {
    let mut field = |name: &str, value: &str| {
        for part in [name, ": ", value, "\n"] {
            events.extend_from_slice(part.as_bytes());
        }
    };
    let kind = kind(frame);
    if let Some(kind) = kind {
        field("event", kind);
    }
    if kind == Some("caught_up")
        && let Some(cursor) = cursor(frame)
    {
        field("id", &cursor);
    }
    for line in frame.split(['\n', '\r']) {
        field("data", line);
    }
    events.push(b'\n');
}

/// The type of a push, which our serializer writes first.
fn kind(frame: &str) -> Option<&str> {
    let (kind, _) = frame.strip_prefix(r#"{"type":""#)?.split_once('"')?;
    Some(kind)
}

/// Of a `caught_up`.
fn cursor(frame: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Frame {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        cursor: String,
    }
    serde_json::from_str::<Frame>(frame).ok().map(|frame| frame.data.cursor)
}

/// The last event.
fn last(goodbye: Goodbye) -> Bytes {
    let (mut events, closing) = (Vec::new(), goodbye.closing);
    match (goodbye.bye(), goodbye.reconnect) {
        (Some(bye), Some(reconnect)) => {
            // Browsers come back by themselves, after this.
            events.extend_from_slice(format!("retry: {}\n", by_chance(reconnect)).as_bytes());
            event(&mut events, &bye);
        }
        _ => {
            let closed = Closed { code: closing.code(), reason: closing.reason() };
            event(&mut events, &frames::push("close", &closed));
        }
    }
    events.into()
}

fn by_chance([least, most]: Reconnect) -> u64 {
    rand::rng().random_range(least..=most.max(least))
}

#[cfg(test)]
mod tests;
