//! What operators and machines ask.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::problem::ok;
use super::{Answer, Http};
use crate::gateway::failure::Failure;
use crate::gateway::spec;

pub async fn livez() -> &'static str {
    "ok\n"
}

/// Whether new work may come here.
pub async fn readyz(State(http): State<Http>) -> Answer {
    if http.edge.is_ready() {
        Ok("ok\n".into_response())
    } else {
        Err(Failure::unavailable("this gateway is starting or stopping").into())
    }
}

pub async fn jwks(State(http): State<Http>) -> Response {
    ok(http.edge.ports.tokens.jwks())
}

pub async fn openapi() -> Response {
    document(spec::openapi())
}

pub async fn asyncapi() -> Response {
    document(spec::asyncapi())
}

fn document(document: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document).into_response()
}

pub async fn metrics(State(http): State<Http>) -> Answer {
    let Some(metrics) = &http.metrics else {
        return Err(Failure::not_found("there are no metrics here").into());
    };
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()).into_response())
}
