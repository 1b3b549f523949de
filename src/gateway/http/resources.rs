//! Reads as resources.

use axum::extract::State;
use axum::http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::ok;
use super::{Answer, Asker, Http, Named, NamedBoth, query};
use crate::domain::policy::{Action, ConversationKind, Role};
use crate::domain::{ConversationId, Id, UserId, ids};
use crate::gateway::commands::{
    Command, Moment, events, fields::limit, history, inbox as inbox_command, may_view, message_get,
    permissions as permissions_command, pins as pins_command, receipts as receipts_command, reports as reports_command,
    search as search_command, threads as threads_command,
};
use crate::gateway::failure::{Failure, json};
use crate::gateway::ports::Journal;
use crate::gateway::seen::Scope;
use crate::gateway::shapes::Opener;

const MEMBERS_DEFAULT: u32 = 100;
const MEMBERS_MAX: u32 = 1_000;

/// What is no id names nothing.
pub fn id<K: ids::Kind>(text: &str) -> Result<Id<K>, Failure> {
    text.parse().map_err(|_| Failure::not_found("there is no such resource"))
}

pub async fn inbox(State(http): State<Http>, uri: Uri, Asker(context): Asker) -> Answer {
    let data: inbox_command::Data = query(&uri)?;
    Ok(ok(http.run(context, Command::Inbox(data)).await?))
}

/// What is looked for. All of it must hold.
#[derive(Deserialize, JsonSchema)]
pub struct OfSearch {
    /// Words, in any order, in any case, with or without accents.
    q: Option<String>,
    /// Only here.
    conversation: Option<ConversationId>,
    /// Only by this user.
    sender: Option<UserId>,
    /// Only what was sent then or later.
    after: Option<Moment>,
    /// Only what was sent before.
    before: Option<Moment>,
    /// Only in conversations of this kind.
    kind: Option<ConversationKind>,
    /// Only messages that have this.
    has: Option<search_command::Has>,
    /// At most 50; 20 where it is left out.
    #[schemars(range(min = 1))]
    limit: Option<i64>,
    /// Of the page before.
    cursor: Option<String>,
}

pub async fn search(State(http): State<Http>, uri: Uri, Asker(context): Asker) -> Answer {
    let OfSearch { q: text, conversation, sender, after, before, kind, has, limit, cursor } = query(&uri)?;
    let data = search_command::Data { text, conversation, sender, after, before, kind, has, limit, cursor };
    Ok(ok(http.run(context, Command::Search(data)).await?))
}

pub async fn conversation(State(http): State<Http>, Named(path): Named, Asker(context): Asker) -> Answer {
    let (edge, conversation) = (&http.edge, id(&path)?);
    may_view(edge, &context, conversation).await?;
    let row = edge.ports.reads.conversation(context.tenant, conversation, context.user).await;
    // The membership may have ended between the two reads.
    let row = row.map_err(Failure::from)?.ok_or_else(|| Failure::not_found("there is no such conversation"))?;
    let shape =
        Opener::new(&*edge.ports.keyring, context.tenant).conversation(context.user, row).map_err(Failure::from)?;
    Ok(ok(json(&shape)))
}

pub async fn reports(State(http): State<Http>, uri: Uri, Asker(context): Asker) -> Answer {
    let data: reports_command::Data = query(&uri)?;
    Ok(ok(http.run(context, Command::Reports(data)).await?))
}

/// Which messages.
#[derive(Deserialize, JsonSchema)]
pub struct OfMessages {
    /// Only those of this thread; removed ones are absent.
    thread: Option<i64>,
    /// Newest first, from the one before this.
    before_seq: Option<i64>,
    /// Oldest first, from the one after this.
    after_seq: Option<i64>,
    /// At most 200; 50 where it is left out.
    #[schemars(range(min = 1))]
    limit: Option<i64>,
}

pub async fn messages(State(http): State<Http>, Named(path): Named, uri: Uri, Asker(context): Asker) -> Answer {
    let (conversation, OfMessages { thread, before_seq, after_seq, limit }) = (id(&path)?, query(&uri)?);
    let command = Command::History(history::Data { conversation, thread, before_seq, after_seq, limit });
    Ok(ok(http.run(context, command).await?))
}

pub async fn message(State(http): State<Http>, NamedBoth(path, seq): NamedBoth, Asker(context): Asker) -> Answer {
    let seq = seq.parse().map_err(|_| Failure::not_found("there is no such message"))?;
    let data = message_get::Data { conversation: id(&path)?, seq };
    Ok(ok(http.run(context, Command::MessageGet(data)).await?))
}

pub async fn receipts(State(http): State<Http>, NamedBoth(path, seq): NamedBoth, Asker(context): Asker) -> Answer {
    let seq = seq.parse().map_err(|_| Failure::not_found("there is no such message"))?;
    let data = receipts_command::Data { conversation: id(&path)?, seq };
    Ok(ok(http.run(context, Command::Receipts(data)).await?))
}

/// Which threads.
#[derive(Deserialize, JsonSchema)]
pub struct OfThreads {
    /// Those whose newest message is before this.
    before_seq: Option<i64>,
    /// Only those that one takes part in.
    #[serde(default)]
    following: bool,
    /// At most 100; 20 where it is left out.
    #[schemars(range(min = 1))]
    limit: Option<i64>,
}

pub async fn threads(State(http): State<Http>, Named(path): Named, uri: Uri, Asker(context): Asker) -> Answer {
    let (conversation, OfThreads { before_seq, following, limit }) = (id(&path)?, query(&uri)?);
    let data = threads_command::Data { conversation, before_seq, following, limit };
    Ok(ok(http.run(context, Command::Threads(data)).await?))
}

/// May who do what.
#[derive(Deserialize, JsonSchema)]
pub struct OfPermissions {
    /// Of whom; none: of oneself.
    user: Option<UserId>,
    /// To do what.
    action: Action,
    /// To whom, or to whose message.
    target: Option<UserId>,
    /// The role that it would get.
    role: Option<Role>,
    /// To which message; of moderators only.
    seq: Option<i64>,
}

pub async fn permissions(State(http): State<Http>, Named(path): Named, uri: Uri, Asker(context): Asker) -> Answer {
    let (conversation, OfPermissions { user, action, target, role, seq }) = (id(&path)?, query(&uri)?);
    let data = permissions_command::Data { conversation, user, action, target, role, seq };
    Ok(ok(http.run(context, Command::Permissions(data)).await?))
}

pub async fn pins(State(http): State<Http>, Named(path): Named, Asker(context): Asker) -> Answer {
    let command = Command::Pins(pins_command::Data { conversation: id(&path)? });
    Ok(ok(http.run(context, command).await?))
}

/// Which events.
#[derive(Deserialize, JsonSchema)]
pub struct OfEvents {
    /// From the one after this; 0 where it is left out.
    #[schemars(range(min = 0))]
    after_position: Option<i64>,
    /// At most 1,000; 200 where it is left out.
    #[schemars(range(min = 1))]
    limit: Option<i64>,
}

pub async fn events(State(http): State<Http>, Named(path): Named, uri: Uri, Asker(context): Asker) -> Answer {
    let (conversation, OfEvents { after_position, limit }) = (id(&path)?, query(&uri)?);
    let after_position = after_position.unwrap_or_default();
    let command = Command::Events(events::Data { conversation, after_position, limit });
    Ok(ok(http.run(context, command).await?))
}

/// Which members.
#[derive(Deserialize, JsonSchema)]
pub struct OfMembers {
    /// Those after this one.
    after: Option<UserId>,
    /// At most 1,000; 100 where it is left out.
    #[schemars(range(min = 1))]
    limit: Option<i64>,
}

/// A page of members.
#[derive(Serialize, JsonSchema)]
pub struct Members {
    /// In order of their ids.
    members: Vec<Member>,
    /// Whether more follow.
    has_more: bool,
}

#[derive(Serialize, JsonSchema)]
struct Member {
    /// Who.
    user: UserId,
    /// As what.
    role: Role,
}

pub async fn members(State(http): State<Http>, Named(path): Named, uri: Uri, Asker(context): Asker) -> Answer {
    let (edge, conversation, page): (_, ConversationId, OfMembers) = (&http.edge, id(&path)?, query(&uri)?);
    let limit = limit(page.limit, MEMBERS_DEFAULT, MEMBERS_MAX)?;
    may_view(edge, &context, conversation).await?;
    // One more than asked for tells whether there are more.
    let rows = edge.ports.reads.members(context.tenant, conversation, page.after, limit + 1).await;
    let mut rows = rows.map_err(Failure::from)?;
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let members = rows.into_iter().map(|(user, role)| Member { user, role }).collect();
    Ok(ok(json(&Members { members, has_more })))
}

/// A user, as others of the tenant see it.
#[derive(Serialize, JsonSchema)]
pub struct User {
    /// Its id.
    user: UserId,
    /// As the tenant's backend says.
    name: Option<String>,
}

pub async fn user(State(http): State<Http>, Named(path): Named, Asker(context): Asker) -> Answer {
    let (edge, user): (_, UserId) = (&http.edge, id(&path)?);
    let partition = edge.partition_of(&user.to_string());
    edge.seen.settle(user, Scope::Partition(Journal::Users, partition)).await?;
    let row = edge.ports.reads.user(context.tenant, user).await.map_err(Failure::from)?;
    let row = row.ok_or_else(|| Failure::not_found("there is no such user"))?;
    Ok(ok(json(&User { user, name: row.name })))
}
