//! Who is asking: access tokens of users, API keys of tenants' own backends. The one place that decides it.

pub mod tokens;

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use dashmap::DashMap;
use ring::digest::{SHA256, digest};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::failure::Failure;
use super::ports::{ApiKey, Claims, Reads, Tokens};
use crate::domain::Timestamp;

/// How long a revoked API key may still work, and an unknown one is not looked up again.
const KEY_CACHED: Duration = Duration::from_secs(10);
/// Keys remembered of each kind. More unknown ones in ten seconds is somebody guessing: start over rather than grow.
const KEYS_CACHED: usize = 10_000;
/// Look-ups at once, of keys that were found before and of others: whoever guesses takes neither the connections to the
/// views nor the turn of those who have a key.
const LOOK_UPS: usize = 4;
/// For a turn to look up; then it is `unavailable`.
const LOOK_UP_PATIENCE: Duration = Duration::from_secs(1);
/// No token or key is longer.
const MAX_BEARER_BYTES: usize = 8_192;

/// Checks tokens and keys.
pub struct Auth {
    tokens: Arc<dyn Tokens>,
    reads: Arc<dyn Reads>,
    found: Known<ApiKey>,
    unknown: Known<()>,
}

/// Keys of one kind, and the turns to look them up.
struct Known<T> {
    /// With the time of the look-up. By SHA-256, so that neither memory nor the time of a comparison tells a key.
    keys: DashMap<[u8; 32], (Instant, T)>,
    turns: Semaphore,
}

impl<T: Clone> Known<T> {
    fn new() -> Self {
        Self { keys: DashMap::new(), turns: Semaphore::new(LOOK_UPS) }
    }

    /// What a look-up of the last ten seconds gave.
    fn get(&self, sha256: &[u8; 32]) -> Option<T> {
        let known = self.keys.get(sha256)?;
        (known.0.elapsed() < KEY_CACHED).then(|| known.1.clone())
    }

    fn put(&self, sha256: [u8; 32], at: Instant, value: T) {
        if self.keys.len() >= KEYS_CACHED {
            self.keys.clear();
        }
        self.keys.insert(sha256, (at, value));
    }
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
    pub(crate) fn new(tokens: Arc<dyn Tokens>, reads: Arc<dyn Reads>) -> Self {
        Self { tokens, reads, found: Known::new(), unknown: Known::new() }
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
    /// `unauthenticated`, or `unavailable` while the keys cannot be read or too many are looked up.
    pub async fn api_key(&self, headers: &HeaderMap) -> Result<ApiKey, Failure> {
        let key = bearer(headers)?;
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
        if let Some(known) = self.remembered(&sha256) {
            return known;
        }
        // One that was good before has not been guessed, however long ago that was.
        let turns = if self.found.keys.contains_key(&sha256) { &self.found.turns } else { &self.unknown.turns };
        let Ok(Ok(_turn)) = tokio::time::timeout(LOOK_UP_PATIENCE, turns.acquire()).await else {
            let busy = Failure::unavailable("too many API keys are looked up at the moment; try again");
            return Err(busy.after(LOOK_UP_PATIENCE));
        };
        // Somebody with the same key may have had the turn before.
        if let Some(known) = self.remembered(&sha256) {
            return known;
        }
        let asked_at = Instant::now();
        match self.reads.api_key(sha256).await? {
            Some(key) => {
                self.unknown.keys.remove(&sha256);
                self.found.put(sha256, asked_at, key.clone());
                Ok(key)
            }
            None => {
                self.found.keys.remove(&sha256);
                self.unknown.put(sha256, asked_at, ());
                Err(unknown_key())
            }
        }
    }

    fn remembered(&self, sha256: &[u8; 32]) -> Option<Result<ApiKey, Failure>> {
        let found = self.found.get(sha256).map(Ok);
        found.or_else(|| self.unknown.get(sha256).map(|()| Err(unknown_key())))
    }
}

fn unknown_key() -> Failure {
    Failure::unauthenticated("the API key is not valid")
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
    use std::sync::atomic::Ordering::Relaxed;

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

    fn world() -> (Arc<FakeReads>, ApiKey, Arc<Auth>) {
        let reads = Arc::new(FakeReads::default());
        let key = ApiKey { tenant: TenantId::generate(), scopes: Vec::new() };
        reads.add_api_key("secret", key.clone());
        (reads.clone(), key, Arc::new(Auth::new(Arc::new(FakeTokens), reads)))
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_wait_for_few_look_ups_and_no_key_in_use_waits_for_them() {
        let (reads, key, auth) = world();
        assert_eq!(auth.api_key(&headers("Bearer secret")).await, Ok(key.clone()));
        tokio::time::advance(KEY_CACHED).await;
        let stuck = reads.guesses.write().await;
        let guesses: Vec<_> = (0..20)
            .map(|n| {
                let auth = Arc::clone(&auth);
                tokio::spawn(async move { auth.api_key(&headers(&format!("Bearer guess-{n}"))).await })
            })
            .collect();
        tokio::time::sleep(LOOK_UP_PATIENCE / 2).await;
        assert_eq!(reads.key_look_ups.load(Relaxed), 1 + LOOK_UPS);
        assert_eq!(auth.api_key(&headers("Bearer secret")).await, Ok(key));
        tokio::time::sleep(LOOK_UP_PATIENCE).await;
        drop(stuck);
        let mut refused = Vec::new();
        for guess in guesses {
            refused
                .extend(guess.await.expect("no panic").map_err(|failure| (failure.code, failure.retry_after_ms)).err());
        }
        let busy = (ErrorCode::Unavailable, Some(1_000));
        assert_eq!(refused.iter().filter(|refusal| **refusal == busy).count(), 20 - LOOK_UPS);
        assert_eq!(refused.iter().filter(|refusal| **refusal == (ErrorCode::Unauthenticated, None)).count(), LOOK_UPS);
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_make_no_key_in_use_forgotten_and_are_not_all_kept() {
        let (reads, key, auth) = world();
        assert_eq!(auth.api_key(&headers("Bearer secret")).await, Ok(key.clone()));
        for n in 0..=KEYS_CACHED {
            assert!(auth.api_key(&headers(&format!("Bearer guess-{n}"))).await.is_err());
        }
        assert!(auth.unknown.keys.len() <= KEYS_CACHED);
        let before = reads.key_look_ups.load(Relaxed);
        assert_eq!(auth.api_key(&headers("Bearer secret")).await, Ok(key));
        assert_eq!(reads.key_look_ups.load(Relaxed), before, "it was remembered");
    }
}
