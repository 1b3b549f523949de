//! Who is asking: access tokens of users, API keys of tenants' own backends. The one place that decides it.

pub mod tokens;

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use dashmap::DashMap;
use ring::digest::{SHA256, digest};
use tokio::time::Instant;

use super::failure::Failure;
use super::ports::{ApiKey, Claims, Reads, Tokens};
use crate::domain::Timestamp;

/// How long a revoked API key may still work, and an unknown one is not looked up again.
const KEY_CACHED: Duration = Duration::from_secs(10);
/// More than this many keys in ten seconds is somebody guessing: start over rather than grow.
const KEYS_CACHED: usize = 10_000;
/// No token or key is longer.
const MAX_BEARER_BYTES: usize = 8_192;

/// Checks tokens and keys.
pub struct Auth {
    tokens: Arc<dyn Tokens>,
    reads: Arc<dyn Reads>,
    /// By SHA-256, so that neither memory nor the time of a comparison tells a key.
    keys: DashMap<[u8; 32], (Instant, Option<ApiKey>)>,
}

/// Why a token is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRefused {
    /// Not ours, or changed.
    Bad,
    /// Ours, and too old: whoever gets a new one is let in.
    Expired,
}

impl From<TokenRefused> for Failure {
    fn from(refused: TokenRefused) -> Self {
        Self::unauthenticated(match refused {
            TokenRefused::Bad => "the access token is not valid; get a new one",
            TokenRefused::Expired => "the access token has expired; get a new one",
        })
    }
}

impl Auth {
    pub(super) fn new(tokens: Arc<dyn Tokens>, reads: Arc<dyn Reads>) -> Self {
        Self { tokens, reads, keys: DashMap::new() }
    }

    /// Whose `token` it is.
    ///
    /// # Errors
    /// Why it is of no use.
    pub fn token(&self, token: &str) -> Result<Claims, TokenRefused> {
        let claims = (token.len() <= MAX_BEARER_BYTES).then(|| self.tokens.verify(token)).flatten();
        let claims = claims.ok_or(TokenRefused::Bad)?;
        if claims.expires_at > Timestamp::now() { Ok(claims) } else { Err(TokenRefused::Expired) }
    }

    /// Whose access token a request bears.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub fn user(&self, headers: &HeaderMap) -> Result<Claims, Failure> {
        Ok(self.token(bearer(headers)?)?)
    }

    /// Whose API key a request bears.
    ///
    /// # Errors
    /// `unauthenticated`, or `unavailable` while the keys cannot be read.
    pub async fn api_key(&self, headers: &HeaderMap) -> Result<ApiKey, Failure> {
        let key = bearer(headers)?;
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
        let unknown = || Failure::unauthenticated("the API key is not valid");
        let now = Instant::now();
        if let Some(known) = self.keys.get(&sha256)
            && now.duration_since(known.0) < KEY_CACHED
        {
            return known.1.clone().ok_or_else(unknown);
        }
        let found = self.reads.api_key(sha256).await?;
        if self.keys.len() >= KEYS_CACHED {
            self.keys.clear();
        }
        self.keys.insert(sha256, (now, found.clone()));
        found.ok_or_else(unknown)
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Failure> {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.split_once(' ')).filter(|(scheme, token)| {
        scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= MAX_BEARER_BYTES
    });
    token
        .map(|(_, token)| token.trim())
        .ok_or_else(|| Failure::unauthenticated("send the header `authorization: Bearer …`"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::super::fakes::{FakeReads, FakeTokens};
    use super::*;
    use crate::domain::{ErrorCode, TenantId};

    fn headers(value: &str) -> HeaderMap {
        let value = HeaderValue::from_str(value);
        value.map(|value| HeaderMap::from_iter([(AUTHORIZATION, value)])).unwrap_or_default()
    }

    #[test]
    fn only_a_bearer_is_taken() {
        for value in ["", "Bearer", "Bearer ", "Basic abc", "abc"] {
            assert!(bearer(&headers(value)).is_err(), "{value}");
        }
        assert_eq!(bearer(&headers("bearer abc")).ok(), Some("abc"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_revoked_key_works_for_ten_seconds_at_most() {
        let reads = Arc::new(FakeReads::default());
        let key = ApiKey { tenant: TenantId::generate(), scopes: Vec::new() };
        reads.add_api_key("secret", key.clone());
        let auth = Auth::new(Arc::new(FakeTokens), reads.clone());
        assert_eq!(auth.api_key(&headers("Bearer secret")).await, Ok(key.clone()));
        reads.api_keys.clear();
        assert_eq!(auth.api_key(&headers("Bearer secret")).await, Ok(key));
        tokio::time::advance(KEY_CACHED).await;
        let refused = auth.api_key(&headers("Bearer secret")).await.map_err(|failure| failure.code);
        assert_eq!(refused, Err(ErrorCode::Unauthenticated));
    }
}
