#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::WebSocketUpgrade;
use axum::extract::rejection::BytesRejection;
use axum::routing::{get, post};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::{ListenError, Options, bind, serve};

/// More than anything here takes; what is waited for longer has not happened.
const LONG: Duration = Duration::from_secs(20);
const DEFAULTS: Options =
    Options { max_connections: 100, header_timeout: LONG, body_timeout: LONG, write_timeout: LONG, drain: LONG };

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    running: JoinHandle<()>,
    /// Requests to `/slow` add one to `begun` and take one of `finish`.
    begun: Arc<Semaphore>,
    finish: Arc<Semaphore>,
}

async fn start(options: Options) -> Server {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (begun, finish) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let slow = (begun.clone(), finish.clone());
    let slow = async move || {
        slow.0.add_permits(1);
        slow.1.acquire().await.unwrap().forget();
        "done"
    };
    let echo = async |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async |mut socket| {
            while let Some(Ok(message)) = socket.recv().await {
                let _ = socket.send(message).await;
            }
        })
    };
    let router = Router::new()
        .route("/", get(async || "here"))
        .route("/slow", get(slow))
        .route("/ws", get(echo))
        .route("/length", post(async |body: Result<Bytes, BytesRejection>| body.map(|body| body.len().to_string())))
        // More than the buffers of both kernels hold.
        .route("/large", get(async || vec![b'x'; 64 << 20]))
        .route("/panic", get(async || -> () { panic!("as the test asks") }));
    let stop = CancellationToken::new();
    let running = tokio::spawn(serve(listener, router, None, options, stop.clone()));
    Server { address, stop, running, begun, finish }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection that has asked for `path`.
    async fn ask(&self, path: &str) -> TcpStream {
        let mut client = self.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        client
    }

    /// A connection whose request is being worked on.
    async fn slow_request(&self) -> TcpStream {
        let client = self.ask("/slow").await;
        timeout(LONG, self.begun.acquire()).await.unwrap().unwrap().forget();
        client
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(LONG, self.running).await.unwrap().unwrap();
    }
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&read).contains(end) {
            assert!(stream.read_buf(&mut read).await.unwrap() > 0, "closed before {end:?}");
        }
    };
    timeout(LONG, reading).await.unwrap();
    String::from_utf8(read).unwrap()
}

async fn closes(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end too.
    let _ = timeout(LONG, stream.read_to_end(&mut rest)).await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_told_with_a_way_out() {
    let server = start(DEFAULTS).await;
    let refused = bind(server.address).await;
    let Err(error @ ListenError::Taken(_)) = refused else {
        panic!("the port was not found taken: {refused:?}");
    };
    let text = error.to_string();
    assert!(text.contains(&server.address.to_string()) && text.contains("--listen"), "{text}");
}

#[tokio::test]
async fn slow_heads_are_closed() {
    let header_timeout = Duration::from_millis(200);
    let server = start(Options { header_timeout, ..DEFAULTS }).await;
    let mut silent = server.connect().await;
    let (mut reading, mut writing) = server.connect().await.into_split();
    let dribble = tokio::spawn(async move {
        while writing.write_all(b"G").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let begun = Instant::now();
    closes(&mut silent).await;
    let mut rest = Vec::new();
    let _ = timeout(LONG, reading.read_to_end(&mut rest)).await.unwrap();
    assert!(begun.elapsed() >= header_timeout / 2, "closed at once");
    timeout(LONG, dribble).await.unwrap().unwrap();
}

#[tokio::test]
async fn slow_bodies_are_refused() {
    let server = start(Options { body_timeout: Duration::from_millis(200), ..DEFAULTS }).await;
    let mut whole = server.connect().await;
    whole.write_all(b"POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nab").await.unwrap();
    assert!(read_until(&mut whole, "\r\n\r\n2").await.starts_with("HTTP/1.1 200"));
    let (mut reading, mut writing) = server.connect().await.into_split();
    writing.write_all(b"POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n").await.unwrap();
    let dribble = tokio::spawn(async move {
        while writing.write_all(b"G").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = Vec::new();
    let _ = timeout(LONG, reading.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    timeout(LONG, dribble).await.unwrap().unwrap();
}

#[tokio::test]
async fn who_takes_nothing_loses_its_place() {
    let options = Options { max_connections: 1, write_timeout: Duration::from_millis(200), ..DEFAULTS };
    let server = start(options).await;
    let _stuck = server.ask("/large").await;
    let mut next = server.ask("/").await;
    assert!(read_until(&mut next, "here").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn endless_heads_are_closed() {
    let server = start(DEFAULTS).await;
    let (mut reading, mut writing) = server.ask("/").await.into_split();
    let flood = tokio::spawn(async move {
        while writing.write_all(b"GET / HTTP/1.1\r\nx: ").await.is_ok()
            && writing.write_all(&[b'x'; 8_192]).await.is_ok()
        {}
    });
    let mut rest = Vec::new();
    let _ = timeout(LONG, reading.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.starts_with(b"HTTP/1.1 200 OK"));
    timeout(LONG, flood).await.unwrap().unwrap();
}

#[tokio::test]
async fn connections_past_the_limit_wait() {
    let server = start(Options { max_connections: 1, ..DEFAULTS }).await;
    let mut first = server.slow_request().await;
    let mut second = server.ask("/").await;
    let early = timeout(Duration::from_millis(200), second.read_u8()).await;
    assert!(early.is_err(), "served past the limit");

    server.finish.add_permits(1);
    read_until(&mut first, "done").await;
    drop(first);
    read_until(&mut second, "here").await;
}

#[tokio::test]
async fn a_panic_returns_the_place() {
    let server = start(Options { max_connections: 1, ..DEFAULTS }).await;
    closes(&mut server.ask("/panic").await).await;
    read_until(&mut server.ask("/").await, "here").await;
}

#[tokio::test]
async fn a_drain_lets_requests_finish_and_takes_no_new_ones() {
    let server = start(DEFAULTS).await;
    let mut idle = server.ask("/").await;
    read_until(&mut idle, "here").await;
    let mut busy = server.slow_request().await;

    server.stop.cancel();
    closes(&mut idle).await;
    let refused = async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, refused).await.unwrap();
    assert!(!server.running.is_finished());

    server.finish.add_permits(1);
    read_until(&mut busy, "done").await;
    closes(&mut busy).await;
    server.stop().await;
}

#[tokio::test]
async fn a_drain_ends_at_its_deadline() {
    let drain = Duration::from_millis(100);
    let server = start(Options { drain, ..DEFAULTS }).await;
    let _stuck = server.slow_request().await;
    let begun = Instant::now();
    server.stop().await;
    assert!(begun.elapsed() >= drain);
}

#[tokio::test]
async fn sockets_outlive_the_loop_and_end_by_themselves() {
    let server = start(DEFAULTS).await;
    let url = format!("ws://{}/ws", server.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    // Its goodbye comes from whoever holds it.
    server.stop().await;
    socket.send(Message::text("hello")).await.unwrap();
    let answer = timeout(LONG, socket.next()).await.unwrap();
    assert_eq!(answer.unwrap().unwrap(), Message::text("hello"));
}

#[tokio::test]
async fn a_peer_that_acknowledges_nothing_is_given_up_like_one_that_takes_nothing() {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    super::prepare(&stream, &DEFAULTS);
    assert_eq!(socket2::SockRef::from(&stream).tcp_user_timeout().unwrap(), Some(LONG));
    assert!(stream.nodelay().unwrap());
}
