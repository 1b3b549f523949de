//! `GET /v1/ws`.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;

use super::{Answer, Http};
use crate::gateway::failure::Failure;
use crate::gateway::socket;

/// The only one there is.
const SUBPROTOCOL: &str = "tidings.v1.json";

/// A larger frame is not even read to its end. One that is only over `max_frame_bytes` is, so that its sender surely gets our close.
const FRAME_READ_FACTOR: usize = 4;

/// What is fed before it is written; frames wait in the outbox, not here.
const WRITE_BUFFER_BYTES: usize = 8_192;

pub async fn upgrade(State(http): State<Http>, upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>) -> Answer {
    let edge = Arc::clone(&http.edge);
    let upgrade = upgrade.map_err(|_| Failure::bad_request("/v1/ws takes WebSocket upgrades of version 13"))?;
    edge.has_room()?;
    let upgrade = upgrade.protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        return Err(Failure::bad_request(format!("offer the subprotocol {SUBPROTOCOL}")).into());
    }
    let max_read = edge.options.max_frame_bytes.saturating_mul(FRAME_READ_FACTOR);
    let upgrade = upgrade
        .read_buffer_size(edge.options.read_buffer_bytes)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(max_read)
        .max_frame_size(max_read);
    Ok(upgrade.on_upgrade(move |socket| {
        let sockets = edge.sockets.clone();
        sockets.track_future(socket::run(edge, socket))
    }))
}
