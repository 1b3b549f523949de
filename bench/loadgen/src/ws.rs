//! A WebSocket client connection with plain text frames.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// No single step of a handshake may take longer.
pub const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// Where to connect to; the source address is picked per account so that many
/// thousands of connections do not exhaust one address's ports.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub addr: SocketAddr,
    pub path: String,
    pub subprotocol: Option<&'static str>,
    pub sources: u8,
}

pub struct Ws {
    inner: WebSocketStream<TcpStream>,
}

impl Ws {
    pub async fn connect(to: &Endpoint, account: usize) -> Result<Ws> {
        let socket = TcpSocket::new_v4()?;
        if to.sources > 1 {
            // 127.0.0.2, 127.0.0.3, …
            let host = 2 + (account % usize::from(to.sources)) as u8;
            socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)))?;
        }
        let stream =
            tokio::time::timeout(STEP_TIMEOUT, socket.connect(to.addr)).await.context("TCP connect timed out")??;
        stream.set_nodelay(true)?;
        let mut request = format!("ws://{}{}", to.addr, to.path).into_client_request()?;
        if let Some(name) = to.subprotocol {
            request.headers_mut().insert("Sec-WebSocket-Protocol", name.parse()?);
        }
        let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
        let upgrade = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        let (inner, _) = tokio::time::timeout(STEP_TIMEOUT, upgrade).await.context("WebSocket upgrade timed out")??;
        Ok(Ws { inner })
    }

    pub async fn send(&mut self, frame: impl Into<Utf8Bytes>) -> Result<()> {
        Ok(self.inner.send(Message::Text(frame.into())).await?)
    }

    /// Sends several frames with one flush.
    pub async fn send_all(&mut self, frames: &mut Vec<String>) -> Result<()> {
        for frame in frames.drain(..) {
            self.inner.feed(Message::Text(frame.into())).await?;
        }
        Ok(self.inner.flush().await?)
    }

    /// The next text frame. Cancel-safe. Pings are answered along the way.
    pub async fn recv(&mut self) -> Result<Utf8Bytes> {
        loop {
            match self.inner.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Binary(bytes))) => return Ok(Utf8Bytes::try_from(bytes)?),
                Some(Ok(Message::Close(why))) => bail!("server closed: {why:?}"),
                Some(Ok(_)) => {}
                Some(Err(e)) => return Err(e.into()),
                None => return Err(anyhow!("connection ended")),
            }
        }
    }

    /// Waits for a frame that `wanted` accepts, skipping others.
    pub async fn wait(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<Utf8Bytes> {
        let seen = async {
            loop {
                let frame = self.recv().await?;
                if wanted(&frame) {
                    return Ok::<_, anyhow::Error>(frame);
                }
            }
        };
        tokio::time::timeout(STEP_TIMEOUT, seen)
            .await
            .with_context(|| format!("timed out waiting for {what}"))?
            .with_context(|| format!("waiting for {what}"))
    }

    pub async fn close(mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.inner.close(None)).await;
    }
}
