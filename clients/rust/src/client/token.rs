//! Where the access token comes from.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::error::Error;

type Source = dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync;

/// An access token, or a way to get a new one each time.
#[derive(Clone)]
pub struct Token(Kind);

#[derive(Clone)]
enum Kind {
    Fixed(String),
    Fresh(Arc<Source>),
}

impl Token {
    /// Always the same. When it expires, the client ends.
    pub fn fixed(token: impl Into<String>) -> Self {
        Self(Kind::Fixed(token.into()))
    }

    /// Asked before the first connection, and again when the server says that the token is too old. An `Err` says
    /// why there is none; the client tries again later.
    pub fn fresh<F, R>(source: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, String>> + Send + 'static,
    {
        Self(Kind::Fresh(Arc::new(move || Box::pin(source()))))
    }

    /// Whether a new one can be had.
    pub(crate) fn is_fresh(&self) -> bool {
        matches!(self.0, Kind::Fresh(_))
    }

    pub(crate) async fn get(&self) -> Result<String, Error> {
        match &self.0 {
            Kind::Fixed(token) => Ok(token.clone()),
            Kind::Fresh(source) => source().await.map_err(Error::Token),
        }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(if self.is_fresh() { "Token(fresh)" } else { "Token(fixed)" })
    }
}
