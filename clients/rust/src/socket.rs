//! One WebSocket, and nothing kept: any frame can be sent, every frame is seen.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::endpoint::{Endpoint, Stream};
use crate::error::{Closed, Error};
use crate::frame::Frame;

/// The subprotocol of v1.
pub(crate) const SUBPROTOCOL: &str = "tidings.v1.json";

/// The largest frame taken from a server, in bytes: a page of history with room.
const MAX_FRAME_BYTES: usize = 16 << 20;

/// A write that takes longer means that nobody reads at the other end.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A message off the wire; pings and pongs are none.
enum Received {
    Text(tungstenite::Utf8Bytes),
    Binary(tungstenite::Bytes),
    Closed(Closed),
}

/// A WebSocket to a server, before or without `hello`.
pub struct Socket {
    stream: WebSocketStream<Box<dyn Stream>>,
    /// Passed over by [`Socket::wait_for`].
    kept: VecDeque<Frame>,
    closed: Option<Closed>,
}

impl Socket {
    /// Connects and upgrades, with the protocol's subprotocol.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, Error> {
        endpoint.in_time(Self::upgrade(endpoint)).await
    }

    async fn upgrade(endpoint: &Endpoint) -> Result<Self, Error> {
        let mut request = endpoint.ws_url().into_client_request().map_err(|error| endpoint.failed(error))?;
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        let config = WebSocketConfig::default()
            .read_buffer_size(16 << 10)
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        let stream = endpoint.open().await?;
        let (stream, _response) = tokio_tungstenite::client_async_with_config(request, stream, Some(config))
            .await
            .map_err(|error| refused(endpoint, error))?;
        Ok(Self { stream, kept: VecDeque::new(), closed: None })
    }

    /// Sends any text, whether or not it is a frame of the protocol.
    pub async fn send_text(&mut self, text: impl Into<String>) -> Result<(), Error> {
        self.send(Message::text(text.into())).await
    }

    /// Sends a binary frame.
    pub async fn send_binary(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        self.send(Message::binary(bytes)).await
    }

    /// Sends a WebSocket ping.
    pub async fn ping(&mut self) -> Result<(), Error> {
        self.send(Message::Ping(Vec::new().into())).await
    }

    /// Says goodbye with a close code; the answer comes as [`Frame::Closed`].
    pub async fn close(&mut self, code: u16, reason: &str) -> Result<(), Error> {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.to_owned().into() };
        self.send(Message::Close(Some(frame))).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Error> {
        match tokio::time::timeout(WRITE_TIMEOUT, self.stream.send(message)).await {
            Ok(Ok(())) => Ok(()),
            // The reason is in the close frame, which is read, not in the failed write.
            Ok(Err(error)) => {
                Err(Error::Closed(self.closed.clone().unwrap_or_else(|| Closed::broken(error.to_string()))))
            }
            Err(_) => Err(Error::Closed(Closed::broken("the server does not read"))),
        }
    }

    /// The next frame; those that [`Socket::wait_for`] passed over come first. After the end it is always
    /// [`Frame::Closed`]. May be dropped half-way without losing a frame.
    pub async fn next(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.next_or_control().await {
                return frame;
            }
        }
    }

    /// As [`Socket::next`], but pings and pongs return too, as `None`: they show that the server is alive.
    pub(crate) async fn next_or_control(&mut self) -> Option<Frame> {
        if let Some(frame) = self.kept.pop_front() {
            return Some(frame);
        }
        self.read().await
    }

    /// The next text, unread, exactly as the server wrote it; other frames are dropped. For who checks every byte: it
    /// passes by what [`Socket::wait_for`] keeps. The error says how the connection ended, now or before.
    pub async fn next_text(&mut self) -> Result<String, Closed> {
        loop {
            match self.receive().await {
                Some(Received::Text(text)) => return Ok(text.as_str().to_owned()),
                Some(Received::Closed(closed)) => return Err(closed),
                Some(Received::Binary(_)) | None => {}
            }
        }
    }

    async fn read(&mut self) -> Option<Frame> {
        Some(match self.receive().await? {
            Received::Text(text) => Frame::parse(text.as_str()),
            Received::Binary(bytes) => Frame::Binary(bytes.to_vec()),
            Received::Closed(closed) => Frame::Closed(closed),
        })
    }

    async fn receive(&mut self) -> Option<Received> {
        if let Some(closed) = &self.closed {
            return Some(Received::Closed(closed.clone()));
        }
        let closed = match self.stream.next().await {
            Some(Ok(Message::Text(text))) => return Some(Received::Text(text)),
            Some(Ok(Message::Binary(bytes))) => return Some(Received::Binary(bytes)),
            Some(Ok(Message::Close(frame))) => frame.map_or_else(
                || Closed { code: Some(1005), reason: String::new() },
                |frame| Closed { code: Some(frame.code.into()), reason: frame.reason.to_string() },
            ),
            Some(Ok(_)) => return None,
            Some(Err(error)) => Closed::broken(error.to_string()),
            None => Closed::broken("end of stream"),
        };
        // Answers the close frame; it does not matter whether that arrives.
        let _ = tokio::time::timeout(Duration::from_millis(200), self.stream.flush()).await;
        self.closed = Some(closed.clone());
        Some(Received::Closed(closed))
    }

    /// Waits for the first frame that `wanted` accepts. Others stay and are returned by later calls, in order.
    pub async fn wait_for(&mut self, within: Duration, mut wanted: impl FnMut(&Frame) -> bool) -> Result<Frame, Error> {
        if let Some(at) = self.kept.iter().position(&mut wanted)
            && let Some(frame) = self.kept.remove(at)
        {
            return Ok(frame);
        }
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let late = |_| Error::Timeout { what: "frame that was waited for".to_owned(), after: within };
            let Some(frame) = tokio::time::timeout_at(deadline, self.read()).await.map_err(late)? else { continue };
            if wanted(&frame) {
                return Ok(frame);
            }
            if let Frame::Closed(closed) = frame {
                return Err(Error::Closed(closed));
            }
            self.kept.push_back(frame);
        }
    }
}

/// The upgrade failed: keeps the status and `Retry-After`.
fn refused(endpoint: &Endpoint, error: tungstenite::Error) -> Error {
    let (status, retry_after_ms) = match &error {
        tungstenite::Error::Http(response) => {
            let seconds =
                response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            (Some(response.status().as_u16()), seconds.map(|seconds: u64| seconds.saturating_mul(1_000)))
        }
        _ => (None, None),
    };
    Error::Connect { address: endpoint.ws_url(), status, retry_after_ms, source: std::sync::Arc::new(error) }
}
