//! `POST /v1/commands/{type}`: every command of the socket, with the same `data` and result.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;

use super::problem::ok;
use super::{Answer, Asker, Http, Named, raw};
use crate::gateway::commands::Command;

pub async fn run(
    State(http): State<Http>,
    Named(kind): Named,
    Asker(context): Asker,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let command = Command::parse(&kind, raw(&body)?)?;
    Ok(ok(http.run(context, command).await?))
}
