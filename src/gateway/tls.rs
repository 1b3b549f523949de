//! TLS with rustls; certificate and key are read again when their files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ring::digest;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that is not there, or not PEM.
    #[error("cannot read {what} from {path}")]
    File {
        /// Certificate or key.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// The two do not fit each other.
    #[error("certificate and key cannot be used together")]
    Mismatch(#[source] rustls::Error),
}

/// The newest good certificate and key.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    config: ArcSwap<ServerConfig>,
    /// What the files held when they were first read.
    first: Contents,
}

/// Digests, because a key should not lie about in memory. Compared instead of times: in containers files are replaced by moving a link.
type Contents = [Option<[u8; 32]>; 2];

impl Tls {
    /// Reads both files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Arc<Self>, TlsError> {
        // Before they are read: a change in between is then seen as one.
        let first = contents(certificate, key);
        let config = read(certificate, key)?;
        Ok(Arc::new(Self { certificate: certificate.into(), key: key.into(), config: ArcSwap::from(config), first }))
    }

    /// For the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    /// Reads the files again when they change, until `shutdown`. Files that cannot be used are reported, and the old ones kept.
    pub async fn follow(&self, shutdown: CancellationToken) {
        self.follow_every(LOOK, shutdown).await;
    }

    async fn follow_every(&self, interval: Duration, shutdown: CancellationToken) {
        let mut seen = self.first;
        let mut ticks = tokio::time::interval(interval);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.cancelled() => return,
            }
            self.look(&mut seen);
        }
    }

    /// Reads the files again if they are others than those `seen`, which they become: bad ones are reported once.
    fn look(&self, seen: &mut Contents) {
        let now = contents(&self.certificate, &self.key);
        if now == *seen {
            return;
        }
        *seen = now;
        match read(&self.certificate, &self.key) {
            Ok(config) => {
                self.config.store(config);
                tracing::info!(certificate = %self.certificate.display(), "certificate read again");
            }
            Err(error) => tracing::error!(
                error = format!("{:#}", anyhow::Error::from(error)),
                "the new certificate cannot be used; the old one stays"
            ),
        }
    }
}

fn contents(certificate: &Path, key: &Path) -> Contents {
    let digest = |bytes: Vec<u8>| {
        let mut digest = [0; 32];
        digest.copy_from_slice(digest::digest(&digest::SHA256, &bytes).as_ref());
        digest
    };
    [certificate, key].map(|path| std::fs::read(path).ok().map(digest))
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let file = |what, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::File { what, path, source }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(file("the certificate", certificate))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(file("the key", key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Mismatch)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, private).map_err(TlsError::Mismatch)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
