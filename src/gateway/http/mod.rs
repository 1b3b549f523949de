//! HTTP: the socket's upgrade, the stream of events, the twins of commands and reads, a tenant's own backend, operations.
//! Whatever goes wrong is a problem of RFC 9457.

mod commands;
mod entrances;
mod operations;
mod problem;
mod resources;
mod stream;
mod users;
mod ws;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post, put};
use dashmap::DashMap;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use entrances::OfRequests;
pub use problem::{Details, Problem, status};
pub use resources::{Members, OfEvents, OfMembers, OfMessages, OfPermissions, OfSearch, OfThreads, User};
pub use stream::{LAST_EVENT_ID, OfStream};
pub use users::{Registered, Token, Told, Wanted};

use super::commands::{Command, Context};
use super::edge::Edge;
use super::failure::Failure;
use super::frames::empty_object;
use super::rate::{Bucket, Verdict};
use super::spec::operation::Operation;
use super::spec::{self, Schemas};
use crate::domain::{ErrorCode, TenantId, UserId};

/// More buckets than this are looked through for idle ones, and again only when they have doubled: all may be busy.
const BUCKETS_KEPT: usize = 10_000;

/// What the handlers share.
struct Shared {
    edge: Arc<Edge>,
    metrics: Option<PrometheusHandle>,
    /// One bucket for all requests of a user, beside those of its sockets.
    buckets: DashMap<UserId, Bucket>,
    /// More than this are looked through.
    buckets_kept: AtomicUsize,
}

#[derive(Clone)]
struct Http(Arc<Shared>);

impl Deref for Http {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

type Answer = Result<Response, Problem>;

macro_rules! routes {
    ($($method:ident $path:literal => $module:ident::$handler:ident,)+) => {
        fn routes() -> Router<Http> {
            Router::new()$(.route($path, $method($module::$handler)))+
        }

        /// Method, path and description of every route; each handler is described by the function of its name.
        pub fn described(schemas: &mut Schemas) -> Vec<(&'static str, &'static str, Operation)> {
            vec![$((stringify!($method), $path, spec::operations::$handler(schemas))),+]
        }
    };
}

routes! {
    get "/v1/ws" => ws::upgrade,
    get "/v1/stream" => stream::open,
    get "/v1/inbox" => resources::inbox,
    get "/v1/search" => resources::search,
    get "/v1/channels" => entrances::channels,
    get "/v1/reports" => resources::reports,
    get "/v1/conversations/{id}" => resources::conversation,
    get "/v1/conversations/{id}/messages" => resources::messages,
    get "/v1/conversations/{id}/messages/{seq}" => resources::message,
    get "/v1/conversations/{id}/messages/{seq}/receipts" => resources::receipts,
    get "/v1/conversations/{id}/threads" => resources::threads,
    get "/v1/conversations/{id}/invites" => entrances::invites,
    get "/v1/conversations/{id}/requests" => entrances::requests,
    get "/v1/conversations/{id}/permissions" => resources::permissions,
    get "/v1/conversations/{id}/pins" => resources::pins,
    get "/v1/conversations/{id}/events" => resources::events,
    get "/v1/conversations/{id}/members" => resources::members,
    // A user's id and a tenant's own name for one are told apart by the method.
    get "/v1/users/{id}" => resources::user,
    put "/v1/users/{id}" => users::put,
    post "/v1/users/{id}/tokens" => users::tokens,
    get "/.well-known/jwks.json" => operations::jwks,
    get "/livez" => operations::livez,
    get "/readyz" => operations::readyz,
    get "/metrics" => operations::metrics,
    get "/openapi.json" => operations::openapi,
    get "/asyncapi.json" => operations::asyncapi,
}

/// All routes of the gateway. `metrics` is what `/metrics` shows; none: it shows nothing.
pub fn router(edge: Arc<Edge>, metrics: Option<PrometheusHandle>) -> Router {
    let max_body_bytes = edge.options.max_body_bytes;
    let shared = Shared { edge, metrics, buckets: DashMap::new(), buckets_kept: AtomicUsize::new(BUCKETS_KEPT) };
    // Described command by command.
    let routes = routes().route("/v1/commands/{kind}", post(commands::run));
    routes
        .fallback(|| async { Problem::from(Failure::not_found("there is no such resource")) })
        .method_not_allowed_fallback(|| async {
            let failure = Failure::bad_request("this resource does not take this method");
            Problem { status: StatusCode::METHOD_NOT_ALLOWED, failure }
        })
        .layer(DefaultBodyLimit::max(max_body_bytes))
        .with_state(Http(Arc::new(shared)))
}

impl Http {
    /// Lets one more request of `user` pass.
    fn admit(&self, user: UserId) -> Result<(), Failure> {
        let (rate, now) = (self.edge.options.rate, Instant::now());
        if self.buckets.len() > self.buckets_kept.load(Ordering::Relaxed) {
            self.buckets.retain(|_, bucket| !bucket.is_idle(rate, now));
            self.buckets_kept.store((self.buckets.len() * 2).max(BUCKETS_KEPT), Ordering::Relaxed);
        }
        let verdict = self.buckets.entry(user).or_insert_with(|| Bucket::new(rate, now)).take(rate, now);
        match verdict {
            Verdict::Take => Ok(()),
            Verdict::Refuse(wait) => Err(Failure::rate_limited(wait)),
            Verdict::Close => Err(Failure::rate_limited(std::time::Duration::from_secs(10))),
        }
    }

    async fn run(&self, context: Context, command: Command) -> Result<String, Failure> {
        command.run(Arc::clone(&self.edge), context).await
    }
}

/// A request with a valid access token, within its rate.
struct Asker(Context);

impl FromRequestParts<Http> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, Problem> {
        let claims = http.edge.auth.user(&parts.headers)?;
        http.admit(claims.user)?;
        let reads = Arc::new(Semaphore::new(http.edge.options.reads_in_flight));
        Ok(Self(Context { tenant: claims.tenant, user: claims.user, socket: None, reads }))
    }
}

/// A request with a tenant's API key. Looked at before the body, so that strangers cannot fill the memory.
struct Backend(TenantId);

impl FromRequestParts<Http> for Backend {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, Problem> {
        Ok(Self(http.edge.auth.api_key(&parts.headers).await?.tenant))
    }
}

/// The one part of the path that is a name.
struct Named(String);

impl FromRequestParts<Http> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, Problem> {
        let named = Path::<String>::from_request_parts(parts, http).await;
        let Path(name) = named.map_err(|_| Failure::bad_request("the path is not UTF-8"))?;
        Ok(Self(name))
    }
}

/// The two parts of the path that are names.
struct NamedBoth(String, String);

impl FromRequestParts<Http> for NamedBoth {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, Problem> {
        let named = Path::<(String, String)>::from_request_parts(parts, http).await;
        let Path((one, other)) = named.map_err(|_| Failure::bad_request("the path is not UTF-8"))?;
        Ok(Self(one, other))
    }
}

/// The body as JSON; an empty one is `{}`.
fn raw(body: &Result<Bytes, BytesRejection>) -> Result<&RawValue, Problem> {
    let body = match body {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return Err(Failure::too_large("the body is too large").into());
        }
        Err(_) => return Err(Failure::new(ErrorCode::BadRequest, "the body cannot be read").into()),
    };
    if body.is_empty() {
        return Ok(empty_object());
    }
    serde_json::from_slice(body).map_err(|_| Failure::bad_request("the body must be one JSON object").into())
}

fn object<T: DeserializeOwned>(body: &Result<Bytes, BytesRejection>) -> Result<T, Problem> {
    let raw = raw(body)?;
    if !raw.get().starts_with('{') {
        return Err(Failure::bad_request("the body must be one JSON object").into());
    }
    serde_json::from_str(raw.get()).map_err(|error| Failure::bad_request(format!("body: {error:.300}")).into())
}

fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Failure> {
    let query = Query::try_from_uri(uri).map_err(|error| Failure::bad_request(format!("query: {error:.300}")))?;
    Ok(query.0)
}

#[cfg(test)]
mod tests;
