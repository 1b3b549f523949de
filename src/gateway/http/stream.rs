//! `GET /v1/stream`.

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use super::{Answer, Http, query};
use crate::codec::records::PresenceStatus;
use crate::domain::DeviceId;
use crate::gateway::arrivals::SentAway;
use crate::gateway::failure::Failure;
use crate::gateway::listener::Cut;
use crate::gateway::session::{self, Wanted};
use crate::gateway::stream;

/// What a client sends that comes back.
pub const LAST_EVENT_ID: &str = "last-event-id";

/// As in `hello`.
#[derive(Deserialize, JsonSchema)]
pub struct OfStream {
    /// Of the last `caught_up`. Without it the `Last-Event-ID` counts, which is the same.
    cursor: Option<String>,
    /// Names the device, the same each time.
    device_id: Option<DeviceId>,
    /// What the stream shows from its beginning: `online` (without it), `away` or `invisible`.
    status: Option<PresenceStatus>,
}

/// What a WebSocket gets after `hello`, as server-sent events.
pub async fn open(State(http): State<Http>, headers: HeaderMap, uri: Uri, cut: Option<Extension<Cut>>) -> Answer {
    let edge = &http.edge;
    let claims = edge.auth.user(&headers)?;
    http.admit(claims.user)?;
    let OfStream { cursor, device_id, status } = query(&uri)?;
    if status == Some(PresenceStatus::Offline) {
        return Err(Failure::bad_request("`status` is `online`, `away` or `invisible`").into());
    }
    edge.has_room()?;
    let last_event_id = || headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let cursor = cursor.filter(|cursor| !cursor.is_empty()).or_else(last_event_id);
    let deadline = Instant::now() + edge.options.hello_timeout / 2;
    tokio::select! {
        entered = edge.arrivals.enter(deadline) => entered.map_err(SentAway::by_chance)?,
        () = edge.draining.cancelled() => edge.has_room()?,
    }
    let opened = session::open(edge, claims, Wanted { device_id, cursor, status }).await?;
    Ok(response(stream::body(opened, cut.map(|Extension(cut)| cut))))
}

fn response(body: axum::body::Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // The connection may be cut after the end.
        (header::CONNECTION, "close"),
        // For proxies that would wait until there is more.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}
