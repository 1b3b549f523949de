//! A server that does what the test says, frame by frame, on a free port of the loopback.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tidings_client::{Config, Token};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

/// No step of a test takes this long.
pub const SOON: Duration = Duration::from_secs(5);

pub async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work).await.unwrap_or_else(|_| panic!("nothing in time: {what}"))
}

pub struct Server {
    listener: TcpListener,
    pub url: String,
}

/// The server's end of one connection.
pub struct Peer(WebSocketStream<TcpStream>);

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        Self { listener, url }
    }

    /// A client that comes back fast.
    pub fn config(&self) -> Config {
        let mut config = Config::new(&self.url, Token::fixed("secret")).expect("a good address");
        config.backoff_base = Duration::from_millis(20);
        config.reply_timeout = Duration::from_secs(2);
        config
    }

    /// The next connection, upgraded.
    #[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
    pub async fn accept(&self) -> Peer {
        let (stream, _) = soon("connection", self.listener.accept()).await.expect("accepted");
        let with_protocol = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            let name = "sec-websocket-protocol";
            assert_eq!(request.headers()[name], "tidings.v1.json");
            response.headers_mut().insert(name, request.headers()[name].clone());
            Ok(response)
        };
        Peer(soon("upgrade", tokio_tungstenite::accept_hdr_async(stream, with_protocol)).await.expect("upgraded"))
    }

    /// The next connection, past a catch-up that has nothing to tell. Also gives what `hello` said.
    pub async fn accept_caught_up(&self, cursor: &str) -> (Peer, Value) {
        let (mut peer, hello) = self.accept_hello().await;
        peer.event("caught_up", json!({"cursor": cursor})).await;
        (peer, hello)
    }

    /// The next connection, past `hello`.
    pub async fn accept_hello(&self) -> (Peer, Value) {
        let mut peer = self.accept().await;
        let hello = peer.expect("hello").await;
        peer.ok(&hello, json!({"user": "usr_me", "session_id": "s", "ping_interval_ms": 10_000})).await;
        (peer, hello["data"].clone())
    }
}

impl Peer {
    /// The next command; pings and pongs are passed over.
    pub async fn command(&mut self) -> Value {
        loop {
            match soon("command", self.0.next()).await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).expect("JSON"),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("a command was expected, not {other:?}"),
            }
        }
    }

    /// The next frame of any kind.
    pub async fn frame(&mut self) -> Option<Message> {
        soon("frame", self.0.next()).await.and_then(Result::ok)
    }

    pub async fn expect(&mut self, kind: &str) -> Value {
        let command = self.command().await;
        assert_eq!(command["type"], kind, "{command}");
        command
    }

    pub async fn ok(&mut self, command: &Value, data: Value) {
        self.send(json!({"id": command["id"], "type": "ok", "data": data})).await;
    }

    pub async fn refuse(&mut self, command: &Value, error: Value) {
        self.send(json!({"id": command["id"], "type": "error", "data": error})).await;
    }

    pub async fn event(&mut self, kind: &str, data: Value) {
        self.send(json!({"type": kind, "data": data})).await;
    }

    /// A message in `cnv_1`.
    pub async fn message(&mut self, position: u64) {
        self.send(message(position)).await;
    }

    pub async fn send(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.expect("sent");
    }

    pub async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.to_owned().into() };
        self.0.close(Some(frame)).await.expect("closed");
        // Until the client has answered: a reset would take the code away from it.
        while let Some(Ok(_)) = soon("end", self.0.next()).await {}
    }
}

/// `message.sent` in `cnv_1`, with as many messages as positions.
pub fn message(position: u64) -> Value {
    json!({"type": "message.sent", "conversation": "cnv_1", "position": position, "actor": "usr_you",
        "at": "2026-01-01T10:00:00.000Z",
        "data": {"conversation": "cnv_1", "seq": position, "position": position, "sender": "usr_you", "text": "hi"}})
}
