//! HTTP requests over fakes: whatever is asked, by whomever, is answered, with a problem where it is one.

use std::str::FromStr;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Request, Uri};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::{CASES, Draw, MAX_LEN};
use crate::domain::{Id, UserId};
use crate::gateway::edge::Options;
use crate::gateway::fakes::World;
use crate::gateway::http::router;
use crate::gateway::ports::ApiKey;

const ROUTES: &[&str] = &[
    "/v1/ws",
    "/v1/commands/",
    "/v1/inbox",
    "/v1/conversations/",
    "/v1/users/",
    "/.well-known/jwks.json",
    "/livez",
    "/readyz",
    "/metrics",
    "/",
    "//",
    "/v1/users/../",
    "/v1/conversations/cnv_00000000000000000000000000",
];
const MIDDLES: &[&str] =
    &["", "/messages", "/events", "/members", "/tokens", "ping", "inbox", "history", "%2e%2e%2f", "%00", "%ff", "usr_"];
const QUERIES: &[&str] =
    &["", "?limit=", "?before_seq=", "?after_seq=", "?after_position=", "?cursor=", "?after=", "?limit=1&limit=", "?"];

#[test]
fn requests() {
    let runtime = super::timeless();
    bolero::check!().with_iterations(CASES).with_max_len(MAX_LEN).for_each(|input: &[u8]| {
        if let Some((request, path)) = request(&mut Draw(input)) {
            runtime.block_on(ask(request, &path));
        }
    });
}

fn user() -> UserId {
    Id::from_bytes([1; 16])
}

fn request(draw: &mut Draw<'_>) -> Option<(Request<Vec<u8>>, String)> {
    let method =
        draw.one_of(&[Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS].each_ref()).clone();
    let mut path = draw.one_of(ROUTES).to_owned() + draw.one_of(MIDDLES) + &draw.text(64);
    path += draw.one_of(MIDDLES);
    path += draw.one_of(QUERIES);
    path += &draw.text(64);
    let uri = Uri::from_str(&path).ok()?;
    let bearer = match draw.below(4) {
        0 => None,
        1 => Some(HeaderValue::from_bytes(draw.take(64)).ok()?),
        2 => Some(HeaderValue::from_static("Bearer key")),
        _ => Some(HeaderValue::from_static("Bearer token")),
    };
    let mut request = Request::new(draw.rest().to_vec());
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    if let Some(bearer) = bearer {
        request.headers_mut().insert(AUTHORIZATION, bearer);
    }
    Some((request, path))
}

async fn ask(mut request: Request<Vec<u8>>, path: &str) {
    let wait = std::time::Duration::from_millis(1);
    let world = World::with(Options { command_timeout: wait, ..Options::new(8) });
    world.reads.add_api_key("key", ApiKey { tenant: world.tenant, scopes: vec![] });
    world.keys.users.insert(user(), world.tenant);
    if request.headers().get(AUTHORIZATION).is_some_and(|bearer| bearer == "Bearer token") {
        let bearer = HeaderValue::from_str(&format!("Bearer {}", world.token(user()))).expect("ASCII");
        request.headers_mut().insert(AUTHORIZATION, bearer);
    }
    let app = router(world.edge.clone(), None);
    let response = app.oneshot(request.map(Body::from)).await.expect("infallible");
    let status = response.status().as_u16();
    let problem = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert!(status != 500, "{path}: {body:?}");
    assert_eq!(status >= 400, problem, "{path}: {status}");
    assert!(body.len() < 2_048, "{path}: {body:?}");
}
