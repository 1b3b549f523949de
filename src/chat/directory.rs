//! Names and members, from the server's HTTP side. A failure is never in the way: ids are shown instead.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use tidings_client::{Endpoint, Member};
use tokio::sync::Semaphore;

/// A name that takes longer is shown as an id.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Look-ups at once: a big group must not become a burst.
const AT_ONCE: usize = 4;

/// Looks up users and members.
#[derive(Clone)]
pub(crate) struct Directory {
    http: reqwest::Client,
    endpoint: Endpoint,
    token: Arc<str>,
    turns: Arc<Semaphore>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Members {
    Page { members: Vec<Member> },
    List(Vec<Member>),
}

impl Directory {
    /// `extra_roots`: PEM certificates to trust beyond the machine's.
    pub(crate) fn new(endpoint: Endpoint, token: &str, extra_roots: Option<&[u8]>) -> anyhow::Result<Self> {
        // Another part of the process may have installed it before: either will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // The socket goes through no proxy, so this must not either.
        let mut builder = reqwest::Client::builder().timeout(TIMEOUT).no_proxy();
        if let Some(pem) = extra_roots {
            let roots =
                reqwest::Certificate::from_pem_bundle(pem).context("cannot read the extra root certificates")?;
            builder = builder.tls_certs_merge(roots);
        }
        let http = builder.build().context("cannot set up HTTP")?;
        Ok(Self { http, endpoint, token: token.into(), turns: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    /// The user's name, if it can be had.
    pub(crate) async fn name(&self, user: &str) -> Option<String> {
        let found: User = self.get(&format!("/v1/users/{}", plain_id(user)?)).await.ok()?;
        found.name.filter(|name| !name.trim().is_empty())
    }

    /// The members of a conversation (the first page).
    pub(crate) async fn members(&self, conversation: &str) -> Result<Vec<Member>, String> {
        let id = plain_id(conversation).ok_or_else(|| "that is not an id".to_owned())?;
        match self.get(&format!("/v1/conversations/{id}/members")).await {
            Ok(Members::Page { members } | Members::List(members)) => Ok(members),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn get<T: for<'de> Deserialize<'de>>(&self, path: &str) -> reqwest::Result<T> {
        let _turn = self.turns.acquire().await;
        let request = self.http.get(self.endpoint.http_url(path)).bearer_auth(&self.token);
        request.send().await?.error_for_status()?.json().await
    }
}

/// An id that cannot change the meaning of a path.
fn plain_id(id: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (!id.is_empty() && id.chars().all(plain)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_do_not_change_paths() {
        assert_eq!(plain_id("usr_01ab"), Some("usr_01ab"));
        assert!(["", "..", "a/b", "a?b", "a b"].into_iter().all(|id| plain_id(id).is_none()));
    }
}
