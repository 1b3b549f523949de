//! From the upgrade to the reply to `hello`.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Registered;
use super::reader::{MAX_CURSOR_BYTES, closing_of};
use crate::codec::records::{PresenceStatus, Session};
use crate::domain::{DeviceId, SessionId, Timestamp, UserId};
use crate::gateway::auth::TokenRefused;
use crate::gateway::closing::Closing;
use crate::gateway::edge::Edge;
use crate::gateway::failure::{Failure, json};
use crate::gateway::frames::{ClientFrame, reply};
use crate::gateway::hub::Socket;
use crate::gateway::outbox::Outbox;
use crate::gateway::ports::Claims;
use crate::gateway::shapes::rfc3339;
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

/// Its answer.
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

/// What the documents say of it.
pub const ABOUT: About =
    About::new("The first frame, within 10 s: who one is.", &[r#"{"token": "<token>"}"#]).of_sockets();

/// A socket whose `hello` is durable.
pub struct Greeted {
    /// Ends with the socket.
    pub registered: Registered,
    /// Offset in `sessions`.
    pub registered_at: i64,
    /// As the client gave it.
    pub cursor: Option<String>,
}

/// Waits for `hello` and registers its session. The reply is the first frame in the outbox.
///
/// # Errors
/// How to close the socket; none if the peer is gone.
pub async fn greet(edge: &Arc<Edge>, socket: &mut WebSocket) -> Result<Greeted, Option<Closing>> {
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
        Ok((claims, data)) => register(edge, claims, data).await.map_err(|failure| (failure, Closing::Draining)),
    };
    match greeted {
        Ok(greeted) => {
            let socket = &greeted.registered.socket;
            socket.outbox.push_first(id.reply(&Ok(welcome(edge, socket))));
            Ok(greeted)
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

async fn register(edge: &Arc<Edge>, claims: Claims, data: Data) -> Result<Greeted, Failure> {
    let identity = edge.identity()?;
    let session = Session {
        tenant: claims.tenant,
        user: claims.user,
        session: SessionId::generate(),
        incarnation: identity.incarnation,
        device: data.device_id,
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
    edge.ports.presence.connected(&registered.session, data.status.unwrap_or(PresenceStatus::Online));
    // A cursor that is too long is none of ours, so it is not honoured.
    let cursor = data.cursor.filter(|cursor| cursor.len() <= MAX_CURSOR_BYTES);
    Ok(Greeted { registered, registered_at, cursor })
}

fn welcome(edge: &Edge, socket: &Socket) -> String {
    json(&Welcome {
        user: socket.user,
        session_id: socket.session,
        ping_interval_ms: u64::try_from(edge.options.ping_interval.as_millis()).unwrap_or(u64::MAX),
        max_frame_bytes: edge.options.max_frame_bytes,
        server_time: Timestamp::now(),
    })
}
