//! From the upgrade to the reply to `hello`.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use super::reader::closing_of;
use crate::codec::records::PresenceStatus;
use crate::domain::DeviceId;
use crate::gateway::arrivals::SentAway;
use crate::gateway::auth::TokenRefused;
use crate::gateway::closing::{Closing, Goodbye};
use crate::gateway::edge::Edge;
use crate::gateway::failure::{Failure, json};
use crate::gateway::frames::{ClientFrame, reply};
use crate::gateway::ports::Claims;
use crate::gateway::session::{self, Opened, Wanted, Welcome};
use crate::gateway::spec::About;

/// The first frame of a socket.
#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// An access token.
    token: String,
    /// Names the device, the same each time.
    device_id: Option<DeviceId>,
    /// Of the last `caught_up`.
    cursor: Option<String>,
    /// What the socket shows from its beginning; without it `online`. Who is invisible comes unseen only with this.
    status: Option<PresenceStatus>,
}

/// What the documents say of it.
pub const ABOUT: About =
    About::new("The first frame, within 10 s: who one is.", &[r#"{"token": "<token>"}"#]).of_sockets();

/// A socket whose `hello` is durable.
pub struct Greeted {
    /// Ends with the socket.
    pub opened: Opened,
    /// Came while the client waited for its turn, after `hello`.
    pub early: Option<Message>,
}

/// Waits for `hello`, then for its turn, and registers its session. The reply is the first frame in the outbox.
///
/// # Errors
/// How to close the socket; none if the peer is gone.
pub async fn greet(edge: &Arc<Edge>, socket: &mut WebSocket) -> Result<Greeted, Option<Goodbye>> {
    let until = Instant::now() + edge.options.hello_timeout;
    let text = tokio::select! {
        text = first_text(socket, edge.options.max_frame_bytes) => text.map_err(|closing| closing.map(Goodbye::from))?,
        () = tokio::time::sleep_until(until) => return Err(Some(Closing::BadToken.into())),
        () = edge.draining.cancelled() => return Err(Some(edge.goodbye(Closing::Draining))),
    };
    let (id, checked) = match ClientFrame::parse(&text) {
        Err(bad) => {
            refuse(socket, bad.id.as_str(), bad.failure).await;
            return Err(Some(Closing::BadFrame.into()));
        }
        Ok(frame) => (frame.id.to_owned(), check(edge, &frame)),
    };
    let mut early = None;
    let opened = match checked {
        Err((failure, closing)) => Err((failure, closing.into())),
        Ok(checked) => {
            // Nobody waits for longer than it could have taken to say `hello`.
            let deadline = until.min(Instant::now() + edge.options.hello_timeout / 2);
            match turn(edge, socket, deadline, &mut early).await? {
                Ok(()) => open(edge, checked).await,
                Err(away) => Err((away.at_least(), away.into())),
            }
        }
    };
    match opened {
        Ok(opened) => {
            let socket = &opened.registered.socket;
            socket.outbox.push_first(id.reply(&Ok(json(&Welcome::new(edge, socket)))));
            Ok(Greeted { opened, early })
        }
        Err((failure, goodbye)) => {
            let frame = id.reply(&Err(failure));
            // The peer may be gone; the close finds out.
            let _ = socket.send(Message::Text(frame)).await;
            Err(Some(goodbye))
        }
    }
}

/// Waits for the client's turn, unless it goes away meanwhile. One frame more is read to `early`; the others wait in the connection.
async fn turn(
    edge: &Edge,
    socket: &mut WebSocket,
    deadline: Instant,
    early: &mut Option<Message>,
) -> Result<Result<(), SentAway>, Option<Goodbye>> {
    let mut entering = std::pin::pin!(edge.arrivals.enter(deadline));
    loop {
        let message = tokio::select! {
            // Usually nobody waits, and then nothing is read.
            biased;
            entered = &mut entering => return Ok(entered),
            () = edge.draining.cancelled() => return Err(Some(edge.goodbye(Closing::Draining))),
            message = socket.recv(), if early.is_none() => message,
        };
        match message {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_))) | None => return Err(None),
            Some(Ok(message)) => *early = Some(message),
            Some(Err(error)) => return Err(closing_of(error).map(Goodbye::from)),
        }
    }
}

async fn open(edge: &Arc<Edge>, (claims, data): (Claims, Data)) -> Result<Opened, (Failure, Goodbye)> {
    let Data { device_id, cursor, status, .. } = data;
    let opened = session::open(edge, claims, Wanted { device_id, cursor, status }).await;
    opened.map_err(|failure| (failure, edge.goodbye(Closing::Draining)))
}

/// The first text frame.
async fn first_text(socket: &mut WebSocket, max_bytes: usize) -> Result<axum::extract::ws::Utf8Bytes, Option<Closing>> {
    loop {
        match socket.recv().await {
            Some(Ok(Message::Text(text))) if text.len() > max_bytes => return Err(Some(Closing::FrameTooLarge)),
            Some(Ok(Message::Text(text))) => return Ok(text),
            Some(Ok(Message::Binary(_))) => return Err(Some(Closing::BadFrame)),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_))) | None => return Err(None),
            Some(Err(error)) => return Err(closing_of(error)),
        }
    }
}

async fn refuse(socket: &mut WebSocket, id: &str, failure: Failure) {
    // The peer may be gone; the close finds out.
    let _ = socket.send(Message::Text(reply(id, &Err(failure)))).await;
}

fn check(edge: &Edge, frame: &ClientFrame<'_>) -> Result<(Claims, Data), (Failure, Closing)> {
    if frame.kind != "hello" {
        return Err((Failure::unauthenticated("the first frame of a socket is hello"), Closing::BadToken));
    }
    let data: Option<Data> = serde_json::from_str(frame.data.get()).ok();
    let data = data.filter(|data| data.status != Some(PresenceStatus::Offline)).ok_or_else(|| {
        let message = "hello needs a `token`, and may have a `device_id`, a `cursor`, and a `status` of `online`, `away` or `invisible`";
        (Failure::bad_request(message), Closing::BadToken)
    })?;
    let claims = edge.auth.token(&data.token).map_err(|refused| {
        let closing = if refused == TokenRefused::Expired { Closing::TokenExpired } else { Closing::BadToken };
        (refused.into(), closing)
    })?;
    Ok((claims, data))
}
