#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::DropGuard;

use super::*;
use crate::gateway::listener::{self, Options};

const LONG: Duration = Duration::from_secs(20);

/// A certificate and key on disk.
struct Files(TempDir);

impl Files {
    fn new() -> (Self, CertificateDer<'static>) {
        let files = Self(tempfile::tempdir().unwrap());
        let certificate = files.renew();
        (files, certificate)
    }

    fn certificate(&self) -> PathBuf {
        self.0.path().join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    /// Writes another certificate for `localhost` and its key.
    fn renew(&self) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(self.certificate(), made.cert.pem()).unwrap();
        std::fs::write(self.key(), made.signing_key.serialize_pem()).unwrap();
        made.cert.der().clone()
    }

    fn load(&self) -> Result<Arc<Tls>, TlsError> {
        Tls::load(&self.certificate(), &self.key())
    }
}

async fn serve(tls: Arc<Tls>) -> (SocketAddr, DropGuard) {
    let listener = listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", get(async || "over TLS"));
    let stop = CancellationToken::new();
    let options = Options {
        max_connections: 10,
        header_timeout: Duration::from_millis(500),
        body_timeout: LONG,
        write_timeout: LONG,
        drain: LONG,
    };
    tokio::spawn(listener::serve(listener, router, Some(tls), options, stop.clone()));
    (address, stop.drop_guard())
}

/// The answer to a client that trusts only `trusted`, and would rather speak HTTP/2.
async fn ask(address: SocketAddr, trusted: &CertificateDer<'static>) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut client = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector.connect(name, TcpStream::connect(address).await?).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn new_files_are_taken() {
    let (files, first) = Files::new();
    let tls = files.load().unwrap();
    let (address, _stop) = serve(tls.clone()).await;
    assert!(ask(address, &first).await.unwrap().ends_with("over TLS"));

    // Changed before anybody looks: still a change since they were read.
    let second = files.renew();
    let shutdown = CancellationToken::new();
    let following = {
        let shutdown = shutdown.clone();
        tokio::spawn(async move { tls.follow_every(Duration::from_millis(5), shutdown).await })
    };
    let taken = async {
        while ask(address, &second).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, taken).await.unwrap();
    assert!(ask(address, &first).await.is_err());
    shutdown.cancel();
    timeout(LONG, following).await.unwrap().unwrap();
}

#[tokio::test]
async fn bad_files_leave_the_old_certificate_in_use() {
    let (files, first) = Files::new();
    let tls = files.load().unwrap();
    let (address, _stop) = serve(tls.clone()).await;
    let mut seen = tls.first;

    // Half of a renewal: the certificate is new, the key is not yet.
    let old_key = std::fs::read(files.key()).unwrap();
    let second = files.renew();
    let new_key = std::fs::read(files.key()).unwrap();
    std::fs::write(files.key(), old_key).unwrap();
    tls.look(&mut seen);
    assert!(ask(address, &first).await.is_ok());
    assert_eq!(seen, contents(&files.certificate(), &files.key()), "told again and again");

    std::fs::remove_file(files.key()).unwrap();
    tls.look(&mut seen);
    assert!(ask(address, &first).await.is_ok());

    std::fs::write(files.key(), new_key).unwrap();
    tls.look(&mut seen);
    assert!(ask(address, &second).await.is_ok());
}

#[tokio::test]
async fn a_client_that_never_shakes_hands_is_closed() {
    let (files, _) = Files::new();
    let (address, _stop) = serve(files.load().unwrap()).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut rest = Vec::new();
    let _ = timeout(LONG, silent.read_to_end(&mut rest)).await.unwrap();
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (files, _) = Files::new();
    let refused = || files.load().err().map(|error| error.to_string()).unwrap();
    std::fs::write(files.key(), "not a key").unwrap();
    assert!(refused().contains("key.pem"));
    std::fs::remove_file(files.certificate()).unwrap();
    assert!(refused().contains("certificate.pem"));
}
