//! Where the server is, and how to get a byte stream to it.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::http::Uri;

use crate::error::Error;

/// Name look-up, TCP, TLS and the upgrade, together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A plain or an encrypted stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A server's address, and the certificates to trust beyond the web's.
#[derive(Clone)]
pub struct Endpoint {
    secure: bool,
    host: String,
    port: u16,
    /// Without a slash at its end.
    path: String,
    #[cfg(feature = "tls")]
    extra_roots: Vec<rustls_pki_types::CertificateDer<'static>>,
}

impl Endpoint {
    /// From `http://host:port`, `https://…`, `ws://…` or `wss://…`; a path before `/v1` is kept.
    pub fn new(address: &str) -> Result<Self, Error> {
        let bad = |reason: &str| Error::Address { address: address.to_owned(), reason: reason.to_owned() };
        let uri: Uri = address.trim().parse().map_err(|_| bad("it is not a URL; use http://host:port"))?;
        let secure = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(bad("it must start with http:// or https://")),
        };
        if secure && cfg!(not(feature = "tls")) {
            return Err(bad("this build has no TLS; build with the feature `tls`"));
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("it names no host"))?;
        Ok(Self {
            secure,
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            path: uri.path().trim_end_matches('/').to_owned(),
            #[cfg(feature = "tls")]
            extra_roots: Vec::new(),
        })
    }

    /// Trusts the certificates of this PEM text too, for a private authority.
    #[cfg(feature = "tls")]
    pub fn with_roots_pem(mut self, pem: &[u8]) -> Result<Self, Error> {
        use rustls_pki_types::pem::PemObject;
        let before = self.extra_roots.len();
        for certificate in rustls_pki_types::CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| self.bad_roots(&error.to_string()))?;
            self.extra_roots.push(certificate);
        }
        if self.extra_roots.len() == before {
            return Err(self.bad_roots("there is no certificate in it"));
        }
        Ok(self)
    }

    #[cfg(feature = "tls")]
    fn bad_roots(&self, reason: &str) -> Error {
        Error::Address {
            address: self.http_url(""),
            reason: format!("cannot read the extra root certificates: {reason}"),
        }
    }

    /// The WebSocket's address.
    pub fn ws_url(&self) -> String {
        let scheme = if self.secure { "wss" } else { "ws" };
        format!("{scheme}://{}:{}{}/v1/ws", self.host, self.port, self.path)
    }

    /// An HTTP address of the same server; `path` starts with a slash.
    pub fn http_url(&self, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}:{}{}{path}", self.host, self.port, self.path)
    }

    /// An error of connecting here.
    pub(crate) fn failed(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Connect { address: self.ws_url(), status: None, retry_after_ms: None, source: Arc::from(source.into()) }
    }

    /// Runs one step of connecting, with what is left of the time.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let late = |_| self.failed(format!("nothing within {} s", CONNECT_TIMEOUT.as_secs()));
        tokio::time::timeout(CONNECT_TIMEOUT, work).await.map_err(late)?
    }

    /// Opens TCP, and TLS where the scheme asks for it.
    pub(crate) async fn open(&self) -> Result<Box<dyn Stream>, Error> {
        let name = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((name, self.port)).await.map_err(|error| self.failed(error))?;
        // Frames are small and awaited: waiting to fill a segment only adds delay.
        stream.set_nodelay(true).map_err(|error| self.failed(error))?;
        #[cfg(feature = "tls")]
        if self.secure {
            return Ok(Box::new(self.encrypt(name, stream).await?));
        }
        Ok(Box::new(stream))
    }

    #[cfg(feature = "tls")]
    async fn encrypt(
        &self,
        name: &str,
        stream: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Error> {
        use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in &self.extra_roots {
            roots.add(certificate.clone()).map_err(|error| self.failed(error))?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| self.failed(error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = rustls_pki_types::ServerName::try_from(name.to_owned()).map_err(|error| self.failed(error))?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await.map_err(|error| self.failed(error))
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.ws_url())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_sockets() {
        let url = |address| Endpoint::new(address).map(|endpoint| endpoint.ws_url()).ok();
        assert_eq!(url("http://127.0.0.1:8080"), Some("ws://127.0.0.1:8080/v1/ws".into()));
        assert_eq!(url("http://[::1]:81/chat/"), Some("ws://[::1]:81/chat/v1/ws".into()));
        assert_eq!(url("ws://host"), Some("ws://host:80/v1/ws".into()));
        assert!(["host:80", "ftp://host", "http://", ""].into_iter().all(|address| url(address).is_none()));
        assert_eq!(url("https://host").is_some(), cfg!(feature = "tls"));
    }
}
