//! For a tenant's own backend: its users and their tokens.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::ok;
use super::resources::id;
use super::{Answer, Backend, Http, Named, object};
use crate::codec::records::UserCommand;
use crate::domain::user::{MAX_EXTERNAL_ID_BYTES, MAX_NAME_BYTES, Profile};
use crate::domain::{ErrorCode, TenantId, UserId};
use crate::gateway::edge::Edge;
use crate::gateway::failure::{Failure, json};

/// How long a new user's key may take to arrive here.
const KEY_PATIENCE: Duration = Duration::from_secs(3);
/// How long one registered through another gateway may take.
const USER_PATIENCE: Duration = Duration::from_secs(1);

/// What a tenant says of a user.
#[derive(Deserialize, JsonSchema)]
pub struct Told {
    /// As others see it; at most 256 bytes. Left out, it has none; but it stays where `moderator` is all that is told.
    name: Option<String>,
    /// Whether it moderates all conversations of the tenant; what is left out stays.
    moderator: Option<bool>,
}

/// A user who is there now.
#[derive(Serialize, JsonSchema)]
pub struct Registered {
    /// Its id.
    user: UserId,
}

/// `PUT /v1/users/{external_id}`: creates or updates.
pub async fn put(
    State(http): State<Http>,
    Named(external_id): Named,
    Backend(tenant): Backend,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let edge = &http.edge;
    let Told { name, moderator } = object(&body)?;
    if external_id.is_empty() || external_id.len() > MAX_EXTERNAL_ID_BYTES {
        return Err(Failure::bad_request(format!("external_id must have 1 to {MAX_EXTERNAL_ID_BYTES} bytes")).into());
    }
    if name.as_ref().is_some_and(|name| name.len() > MAX_NAME_BYTES) {
        return Err(Failure::too_large(format!("name must have at most {MAX_NAME_BYTES} bytes")).into());
    }
    let user = edge.ports.keyring.user_id(tenant, &external_id);
    let profile = Profile { external_id, name };
    match moderator {
        None => drop(edge.ask_user(UserCommand::put(tenant, user, profile)).await?),
        Some(moderator) => put_moderator(edge, tenant, user, profile, moderator).await?,
    }
    // So that the user can send, and be added, as soon as this is answered.
    if !edge.ports.keyring.wait_for(tenant, user, KEY_PATIENCE).await {
        return Err(Failure::unavailable("the user is registered, but its key is not here yet; try again").into());
    }
    Ok(ok(json(&Registered { user })))
}

/// An event of its own, after that of the profile: who asks in vain asks again, and then for no more than is missing.
async fn put_moderator(
    edge: &Edge,
    tenant: TenantId,
    user: UserId,
    profile: Profile,
    moderator: bool,
) -> Result<(), Failure> {
    let asked = || edge.ask_user(UserCommand::set_moderator(tenant, user, moderator));
    if profile.name.is_none() {
        match asked().await {
            Err(failure) if failure.code == ErrorCode::NotFound => {}
            answer => return answer.map(drop),
        }
    }
    edge.ask_user(UserCommand::put(tenant, user, profile)).await?;
    asked().await.map(drop)
}

/// Which token.
#[derive(Deserialize, JsonSchema)]
pub struct Wanted {
    /// How long it shall be good.
    #[schemars(range(min = 1))]
    ttl_ms: Option<u64>,
}

/// A token.
#[derive(Serialize, JsonSchema)]
pub struct Token {
    /// For the user's own requests.
    access_token: String,
}

/// `POST /v1/users/{id}/tokens`.
pub async fn tokens(
    State(http): State<Http>,
    Named(path): Named,
    Backend(tenant): Backend,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let edge = &http.edge;
    let user: UserId = id(&path)?;
    let ttl = object::<Wanted>(&body)?.ttl_ms.map_or(edge.options.token_ttl, Duration::from_millis);
    let max = edge.options.token_max_ttl;
    if ttl.is_zero() || ttl > max {
        return Err(Failure::bad_request(format!("ttl_ms must be 1 to {}", max.as_millis())).into());
    }
    if !edge.ports.keyring.wait_for(tenant, user, USER_PATIENCE).await {
        return Err(Failure::not_found("there is no such user").into());
    }
    let access_token = edge.ports.tokens.mint(tenant, user, ttl)?;
    Ok(ok(json(&Token { access_token })))
}
