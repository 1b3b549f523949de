//! `conversation.create`: creating one again gives the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::{ClientId, check_blocks, check_count, check_users};
use super::{About, Context, Reply};
use crate::crypto::Field;
use crate::domain::conversation::{Command, CreateConversation};
use crate::domain::policy::ConversationKind;
use crate::domain::{ConversationId, UserId};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::ports::{Journal, Place};
use crate::gateway::seen::Scope;

#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// It never changes.
    kind: ConversationKind,
    /// Beside oneself; of a direct conversation exactly one other.
    members: Vec<UserId>,
    /// Not of a direct conversation.
    #[schemars(length(min = 1))]
    name: Option<String>,
    /// Names the group or channel, so that making it again gives the same.
    client_id: ClientId,
}

#[derive(Serialize, JsonSchema)]
pub struct Answer {
    /// Its id.
    conversation: ConversationId,
    /// Of the event that made it.
    position: i64,
    /// Whether it was there already.
    duplicate: bool,
}

pub const ABOUT: About = About::new(
    "Makes a conversation. Making one again gives the same.",
    &[
        r#"{"kind": "group", "members": ["<bob>"], "name": "Team", "client_id": "<client_id>"}"#,
        r#"{"kind": "direct", "members": ["<bob>"], "client_id": "<client_id>"}"#,
    ],
);

pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    check_count(edge, "members", &data.members, 0)?;
    check_name(data.name.as_deref(), edge.options.name_bytes)?;
    let conversation = conversation_id(context.user, &data)?;
    check_users(edge, context, &data.members).await?;
    if let Err(blocked) = check_blocks(edge, context, &data.members).await {
        // What is there already is found all the same.
        let is_there = edge.ports.reads.membership(context.tenant, conversation, context.user).await?;
        if is_there.is_none_or(|membership| membership.standing.role.is_none()) {
            return Err(blocked);
        }
    }
    let contacts = (data.kind == ConversationKind::Direct).then(|| data.members.clone());
    let body = CreateConversation { kind: data.kind, members: data.members, name: None, client_id: data.client_id.0 };
    let mut command = context.command(conversation, Command::Create(body));
    if let Some(name) = data.name {
        let place = Place { tenant: context.tenant, conversation, command: command.command_id };
        let sealed = edge.ports.keyring.seal_shown(place, Field::Name, &name).ok_or_else(Failure::internal)?;
        if let Some(body) = &mut command.conversation_create {
            body.name = Some(sealed);
        }
    }
    let done = edge.ask_conversation(command).await?;
    if let Some(members) = contacts.filter(|_| !done.duplicate) {
        know_each_other(edge, context, conversation, members);
    }
    Ok(Answer { conversation, position: done.position, duplicate: done.duplicate })
}

/// Has gateways look anew who sees these two, when the view has their conversation. Nobody waits for that: if it is not done, they see
/// each other with the next watch.
fn know_each_other(edge: &Edge, context: &Context, conversation: ConversationId, mut members: Vec<UserId>) {
    let (seen, presence) = (Arc::clone(&edge.seen), Arc::clone(&edge.ports.presence));
    let (tenant, user) = (context.tenant, context.user);
    let scope = Scope::Partition(Journal::Conversations, edge.partition_of(&conversation.to_string()));
    members.retain(|member| *member != user);
    members.push(user);
    tokio::spawn(async move {
        let settled = seen.settle(user, scope).await;
        let told = match settled {
            Ok(()) => presence.regarded_anew(tenant, &members).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = told {
            tracing::debug!(%failure, %conversation, "two new contacts see each other's presence with the next watch");
        }
    });
}

fn check_name(name: Option<&str>, max_bytes: usize) -> Result<(), Failure> {
    match name {
        Some("") => Err(Failure::bad_request("name must not be empty; leave it out")),
        Some(name) if name.len() > max_bytes => {
            Err(Failure::too_large(format!("name must have at most {max_bytes} bytes")))
        }
        _ => Ok(()),
    }
}

/// The id follows from who is in it, or from who made it.
fn conversation_id(creator: UserId, data: &Data) -> Result<ConversationId, Failure> {
    if data.kind != ConversationKind::Direct {
        return Ok(ConversationId::group(creator, data.client_id.0));
    }
    if data.name.is_some() {
        return Err(Failure::bad_request("a direct conversation has no name"));
    }
    let others: BTreeSet<_> = data.members.iter().filter(|user| **user != creator).collect();
    match (others.first(), others.len()) {
        (Some(other), 1) => Ok(ConversationId::direct(creator, **other)),
        _ => Err(Failure::bad_request("a direct conversation is with exactly one other user")),
    }
}
