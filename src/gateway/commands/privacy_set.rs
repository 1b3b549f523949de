//! `privacy.set`: to whom one shows oneself from now on. Answered when whoever asks finds it so, and every gateway is to look again.

use super::{About, Context, Nothing, Reply};
use crate::codec::records::UserCommand;
use crate::domain::user::ChangePrivacy;
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::ports::Journal;
use crate::gateway::seen::Scope;

pub type Data = ChangePrivacy;

pub type Answer = Nothing;

pub const ABOUT: About = About::new(
    "Changes to whom one shows oneself.",
    &[r#"{"last_seen": "contacts"}"#, r#"{"presence": "everyone", "last_seen": "everyone"}"#],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    if data == ChangePrivacy::default() {
        return Err(Failure::bad_request("name `presence` or `last_seen`: `everyone`, `contacts` or `nobody`"));
    }
    edge.ask_user(UserCommand::set_privacy(context.tenant, context.user, data)).await?;
    let partition = edge.partition_of(&context.user.to_string());
    edge.seen.settle(context.user, Scope::Partition(Journal::Users, partition)).await?;
    // Also where nothing was new: the gateway that changed it may have died before this.
    edge.ports.presence.regarded_anew(context.tenant, &[context.user]).await?;
    Ok(Nothing {})
}
