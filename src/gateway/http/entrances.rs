//! How users become members by themselves, as resources.

use axum::extract::State;
use axum::http::Uri;
use schemars::JsonSchema;
use serde::Deserialize;

use super::problem::ok;
use super::resources::id;
use super::{Answer, Asker, Http, Named, query};
use crate::domain::UserId;
use crate::gateway::commands::{
    Command, channels as channels_command, invites as invites_command, requests as requests_command,
};

pub async fn channels(State(http): State<Http>, uri: Uri, Asker(context): Asker) -> Answer {
    let data: channels_command::Data = query(&uri)?;
    Ok(ok(http.run(context, Command::Channels(data)).await?))
}

pub async fn invites(State(http): State<Http>, Named(path): Named, Asker(context): Asker) -> Answer {
    let command = Command::Invites(invites_command::Data { conversation: id(&path)? });
    Ok(ok(http.run(context, command).await?))
}

/// Whose requests.
#[derive(Deserialize, JsonSchema)]
pub struct OfRequests {
    /// Users after this one, in order of their ids.
    after: Option<UserId>,
    /// At most 1,000; 100 where it is left out.
    #[schemars(range(min = 1))]
    limit: Option<i64>,
}

pub async fn requests(State(http): State<Http>, Named(path): Named, uri: Uri, Asker(context): Asker) -> Answer {
    let OfRequests { after, limit } = query(&uri)?;
    let data = requests_command::Data { conversation: id(&path)?, after, limit };
    Ok(ok(http.run(context, Command::Requests(data)).await?))
}
