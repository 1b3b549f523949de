//! The accept loop: a cap on connections, limits on the time that a client may take, TLS if it is configured, and an orderly end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::tls::Tls;
use patience::{Timely, Unstalled};

mod patience;
#[cfg(test)]
mod tests;

/// Connections that the kernel keeps until they are accepted: the clients of a gateway that stopped come back at once.
const BACKLOG: u32 = 4_096;
/// The headers of a request, and what is read ahead of its body.
const MAX_HEAD_BYTES: usize = 32 * 1_024;

/// How to listen.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most connections at a time; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// From the connection to the end of its headers.
    pub header_timeout: Duration,
    /// From there to the end of the request.
    pub body_timeout: Duration,
    /// How long a client may take nothing of what is written to it, on sockets too.
    pub write_timeout: Duration,
    /// After the end was asked for, how long requests may take.
    pub drain: Duration,
}

/// The connection that a request came by, among its extensions.
#[derive(Clone, Debug)]
pub struct Cut(CancellationToken);

impl Cut {
    /// Ends the connection, whatever is still to be written to it.
    pub fn cut(&self) {
        self.0.cancel();
    }
}

/// Why nobody listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else does.
    #[error("{0} is taken by another program; stop it, or choose another address with `--listen` or `gateway.listen`")]
    Taken(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Takes the address. Until [`serve`] connections wait.
///
/// # Errors
/// See [`ListenError`].
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    listen(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::Taken(address),
        _ => ListenError::Bind { address, source },
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Else a restarted gateway waits a minute for the connections of the one before it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `router` until `shutdown`, then lets what has begun end, for as long as the options say.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<Tls>>,
    options: Options,
    shutdown: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(options.max_connections));
    let connections = TaskTracker::new();
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&permits).acquire_owned() => permit,
            () = shutdown.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            // The client gave up while it waited.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                // Out of descriptors, mostly: give others the time to close.
                tracing::warn!(%error, "cannot accept a connection; is the limit of open files too low?");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (router, tls, shutdown, options) = (router.clone(), tls.clone(), shutdown.clone(), options.clone());
        connections.spawn(async move {
            // Moved in, so that a panic returns it too.
            let _permit = permit;
            connection(stream, router, tls, &options, shutdown).await;
        });
    }
    // Clients must be refused from here on, or they would wait for nobody.
    drop(listener);
    connections.close();
    // What is still open then is cut off with the process.
    let _ = tokio::time::timeout(options.drain, connections.wait()).await;
}

async fn connection(
    stream: TcpStream,
    router: Router,
    tls: Option<Arc<Tls>>,
    options: &Options,
    shutdown: CancellationToken,
) {
    prepare(&stream, options);
    let stream = Unstalled::new(stream, options.write_timeout);
    match tls {
        None => http(stream, router, options, shutdown).await,
        Some(tls) => {
            let accepted = tokio::time::timeout(options.header_timeout, tls.acceptor().accept(stream)).await;
            match accepted {
                Ok(Ok(stream)) => http(stream, router, options, shutdown).await,
                Ok(Err(error)) => tracing::debug!(%error, "no TLS handshake"),
                Err(_) => tracing::debug!("the TLS handshake took too long"),
            }
        }
    }
}

fn prepare(stream: &TcpStream, options: &Options) {
    // Both fail only on a socket that is closed already.
    let _ = stream.set_nodelay(true);
    // A peer that is gone without a word acknowledges nothing; the kernel alone would try for a quarter of an hour, and who only listens says
    // nothing that could be missed.
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(options.write_timeout));
}

async fn http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    options: &Options,
    shutdown: CancellationToken,
) {
    let patience = options.body_timeout;
    let timely = move |body| axum::body::Body::new(Timely::new(body, patience));
    let cut = Cut(CancellationToken::new());
    let extension = cut.clone();
    let service = TowerToHyperService::new(router.map_request(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(extension.clone());
        request.map(timely)
    }));
    // Not `auto` of hyper-util: it waits without any timer for the first bytes, which a silent client never sends.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let serving = async {
        tokio::select! {
            served = connection.as_mut() => served,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    let served = tokio::select! {
        served = serving => served,
        () = cut.0.cancelled() => return,
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}
