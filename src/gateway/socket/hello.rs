//! From the upgrade to the reply to `hello`.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use schemars::JsonSchema;
use serde::Deserialize;

use super::reader::closing_of;
use crate::codec::records::PresenceStatus;
use crate::domain::DeviceId;
use crate::gateway::auth::TokenRefused;
use crate::gateway::closing::Closing;
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

/// Waits for `hello` and registers its session. The reply is the first frame in the outbox.
///
/// # Errors
/// How to close the socket; none if the peer is gone.
pub async fn greet(edge: &Arc<Edge>, socket: &mut WebSocket) -> Result<Opened, Option<Closing>> {
    let text = tokio::select! {
        text = first_text(socket, edge.options.max_frame_bytes) => text?,
        () = tokio::time::sleep(edge.options.hello_timeout) => return Err(Some(Closing::BadToken)),
        () = edge.draining.cancelled() => return Err(Some(Closing::Draining)),
    };
    let (id, checked) = match ClientFrame::parse(&text) {
        Err(bad) => {
            refuse(socket, bad.id.as_str(), bad.failure).await;
            return Err(Some(Closing::BadFrame));
        }
        Ok(frame) => (frame.id.to_owned(), check(edge, &frame)),
    };
    let greeted = match checked {
        Err(refused) => Err(refused),
        Ok((claims, Data { device_id, cursor, status, .. })) => {
            let opened = session::open(edge, claims, Wanted { device_id, cursor, status }).await;
            opened.map_err(|failure| (failure, Closing::Draining))
        }
    };
    match greeted {
        Ok(opened) => {
            let socket = &opened.registered.socket;
            socket.outbox.push_first(id.reply(&Ok(json(&Welcome::new(edge, socket)))));
            Ok(opened)
        }
        Err((failure, closing)) => {
            let frame = id.reply(&Err(failure));
            // The peer may be gone; the close finds out.
            let _ = socket.send(Message::Text(frame)).await;
            Err(Some(closing))
        }
    }
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
