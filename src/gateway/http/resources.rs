//! Reads as resources.

use axum::extract::State;
use axum::http::Uri;
use serde::{Deserialize, Serialize};

use super::problem::ok;
use super::{Answer, Asker, Http, Named, NamedBoth, query};
use crate::domain::policy::{Action, ConversationKind, Role};
use crate::domain::{ConversationId, Id, UserId, ids};
use crate::gateway::commands::{
    Command, Moment, events, history, inbox as inbox_command, may_view, message_get,
    permissions as permissions_command, pins as pins_command, search as search_command, threads as threads_command,
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

pub async fn search(State(http): State<Http>, uri: Uri, Asker(context): Asker) -> Answer {
    #[derive(Deserialize)]
    struct Asked {
        q: Option<String>,
        conversation: Option<ConversationId>,
        sender: Option<UserId>,
        after: Option<Moment>,
        before: Option<Moment>,
        kind: Option<ConversationKind>,
        has: Option<search_command::Has>,
        limit: Option<i64>,
        cursor: Option<String>,
    }
    let Asked { q: text, conversation, sender, after, before, kind, has, limit, cursor } = query(&uri)?;
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

pub async fn messages(State(http): State<Http>, Named(path): Named, uri: Uri, Asker(context): Asker) -> Answer {
    #[derive(Deserialize)]
    struct Page {
        thread: Option<i64>,
        before_seq: Option<i64>,
        after_seq: Option<i64>,
        limit: Option<i64>,
    }
    let (conversation, Page { thread, before_seq, after_seq, limit }) = (id(&path)?, query(&uri)?);
    let command = Command::History(history::Data { conversation, thread, before_seq, after_seq, limit });
    Ok(ok(http.run(context, command).await?))
}

pub async fn message(State(http): State<Http>, NamedBoth(path, seq): NamedBoth, Asker(context): Asker) -> Answer {
    let seq = seq.parse().map_err(|_| Failure::not_found("there is no such message"))?;
    let data = message_get::Data { conversation: id(&path)?, seq };
    Ok(ok(http.run(context, Command::MessageGet(data)).await?))
}

pub async fn threads(State(http): State<Http>, Named(path): Named, uri: Uri, Asker(context): Asker) -> Answer {
    #[derive(Deserialize)]
    struct Page {
        before_seq: Option<i64>,
        #[serde(default)]
        following: bool,
        limit: Option<i64>,
    }
    let (conversation, Page { before_seq, following, limit }) = (id(&path)?, query(&uri)?);
    let data = threads_command::Data { conversation, before_seq, following, limit };
    Ok(ok(http.run(context, Command::Threads(data)).await?))
}

pub async fn permissions(State(http): State<Http>, Named(path): Named, uri: Uri, Asker(context): Asker) -> Answer {
    #[derive(Deserialize)]
    struct Asked {
        user: Option<UserId>,
        action: Action,
        target: Option<UserId>,
        role: Option<Role>,
    }
    let (conversation, Asked { user, action, target, role }) = (id(&path)?, query(&uri)?);
    let data = permissions_command::Data { conversation, user, action, target, role };
    Ok(ok(http.run(context, Command::Permissions(data)).await?))
}

pub async fn pins(State(http): State<Http>, Named(path): Named, Asker(context): Asker) -> Answer {
    let command = Command::Pins(pins_command::Data { conversation: id(&path)? });
    Ok(ok(http.run(context, command).await?))
}

pub async fn events(State(http): State<Http>, Named(path): Named, uri: Uri, Asker(context): Asker) -> Answer {
    #[derive(Deserialize)]
    struct Page {
        after_position: Option<i64>,
        limit: Option<i64>,
    }
    let (conversation, Page { after_position, limit }) = (id(&path)?, query(&uri)?);
    let after_position = after_position.unwrap_or_default();
    let command = Command::Events(events::Data { conversation, after_position, limit });
    Ok(ok(http.run(context, command).await?))
}

pub async fn members(State(http): State<Http>, Named(path): Named, uri: Uri, Asker(context): Asker) -> Answer {
    #[derive(Deserialize)]
    struct Page {
        after: Option<UserId>,
        limit: Option<u32>,
    }
    #[derive(Serialize)]
    struct Member {
        user: UserId,
        role: Role,
    }
    #[derive(Serialize)]
    struct Members {
        members: Vec<Member>,
        has_more: bool,
    }
    let (edge, conversation, page): (_, ConversationId, Page) = (&http.edge, id(&path)?, query(&uri)?);
    let limit = page.limit.unwrap_or(MEMBERS_DEFAULT).clamp(1, MEMBERS_MAX);
    may_view(edge, &context, conversation).await?;
    // One more than asked for tells whether there are more.
    let rows = edge.ports.reads.members(context.tenant, conversation, page.after, limit + 1).await;
    let mut rows = rows.map_err(Failure::from)?;
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let members = rows.into_iter().map(|(user, role)| Member { user, role }).collect();
    Ok(ok(json(&Members { members, has_more })))
}

pub async fn user(State(http): State<Http>, Named(path): Named, Asker(context): Asker) -> Answer {
    #[derive(Serialize)]
    struct User {
        user: UserId,
        name: Option<String>,
    }
    let (edge, user): (_, UserId) = (&http.edge, id(&path)?);
    let partition = edge.partition_of(&user.to_string());
    edge.seen.settle(user, Scope::Partition(Journal::Users, partition)).await?;
    let row = edge.ports.reads.user(context.tenant, user).await.map_err(Failure::from)?;
    let row = row.ok_or_else(|| Failure::not_found("there is no such user"))?;
    Ok(ok(json(&User { user, name: row.name })))
}
