//! `search`: the messages of one's conversations by what was said, by whom, when and where.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::{Moment, limit};
use super::{About, Context, Reply, may_view};
use crate::domain::policy::{self, Action, ConversationKind};
use crate::domain::{ConversationId, Timestamp, UserId};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::ports::Searchable;
use crate::gateway::search::{Asked, Point, search};
use crate::gateway::seen::Scope;
use crate::gateway::shapes::Message;
use crate::search::Words;

const DEFAULT_LIMIT: u32 = 20;
const MAX_LIMIT: u32 = 50;
/// More than anybody types.
const MAX_TEXT_BYTES: usize = 1_024;

crate::string_enum! {
    /// What a message has beside its words.
    pub enum Has {
        /// An address of the web.
        Link => "link",
    }
}

/// What is looked for. All of it must hold.
#[derive(Deserialize, JsonSchema)]
pub struct Data {
    /// Words, in any order, in any case, with or without accents.
    pub text: Option<String>,
    /// Only here.
    pub conversation: Option<ConversationId>,
    /// Only by this user.
    pub sender: Option<UserId>,
    /// Only what was sent then or later.
    pub after: Option<Moment>,
    /// Only what was sent before.
    pub before: Option<Moment>,
    /// Only in conversations of this kind.
    pub kind: Option<ConversationKind>,
    /// Only messages that have this.
    pub has: Option<Has>,
    /// At most 50; 20 where it is left out.
    #[schemars(range(min = 1))]
    pub limit: Option<i64>,
    /// Of the page before.
    pub cursor: Option<String>,
}

/// A page.
#[derive(Serialize, JsonSchema)]
pub struct Answer {
    /// Those found, newest first.
    messages: Vec<Message>,
    /// For the next page.
    cursor: Option<String>,
    /// Whether more follow.
    has_more: bool,
    /// False while the index is being built: there may be more.
    complete: bool,
}

/// What the documents say of it.
pub const ABOUT: About = About::new(
    "Finds messages of one's conversations by what was said, by whom, when and where.",
    &[
        r#"{"text": "first"}"#,
        r#"{"text": "first", "conversation": "<conversation>", "sender": "<bob>", "kind": "group", "limit": 10}"#,
    ],
);

/// Looks for it.
pub async fn run(edge: &Edge, context: &Context, data: Data) -> Reply<Answer> {
    let limit = limit(data.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let from = data.cursor.as_deref().map(str::parse::<Point>).transpose()?;
    let asked = asked(&data)?;
    let (places, partitions) = match data.conversation {
        Some(conversation) => {
            let partition = edge.partition_of(&conversation.to_string());
            (vec![place(edge, context, conversation).await?], vec![partition])
        }
        None => (places(edge, context).await?, (0..edge.options.partitions).collect()),
    };
    let wanted = |place: &Searchable| data.kind.is_none_or(|kind| place.standing.kind == kind);
    let places: Vec<_> = places.into_iter().filter(wanted).collect();
    // First, so that what is told to be complete was so before it was searched.
    let complete = edge.ports.search.is_indexed(&partitions).await?;
    let found = search(edge, context, &asked, &places, from, limit as usize).await?;
    let cursor = found.next.map(|next| next.to_string());
    Ok(Answer { messages: found.messages, has_more: cursor.is_some(), cursor, complete })
}

fn asked(data: &Data) -> Result<Asked, Failure> {
    let text = data.text.as_deref().unwrap_or_default();
    if text.len() > MAX_TEXT_BYTES {
        let message = format!("text has {} bytes; at most {MAX_TEXT_BYTES} can be searched for", text.len());
        return Err(Failure::too_large(message));
    }
    let words = Words::of(text);
    if words.is_empty() && !text.is_empty() {
        return Err(Failure::bad_request("text has no word that could be searched for; signs alone are not indexed"));
    }
    let unbounded = data.conversation.is_none() && data.after.is_none() && data.before.is_none();
    if words.is_empty() && data.sender.is_none() && data.has.is_none() && unbounded {
        return Err(Failure::bad_request("say what to look for: text, sender, has, conversation, after or before"));
    }
    let moment = |moment: Option<Moment>| moment.map(|Moment(at)| at);
    let link = data.has == Some(Has::Link);
    Ok(Asked { words, sender: data.sender, link, after: moment(data.after), before: moment(data.before) })
}

async fn place(edge: &Edge, context: &Context, conversation: ConversationId) -> Result<Searchable, Failure> {
    let membership = may_view(edge, context, conversation).await?;
    Ok(Searchable {
        conversation,
        standing: membership.standing,
        visible_after_seq: membership.visible_after_seq,
        last_at: Timestamp::FOREVER,
    })
}

async fn places(edge: &Edge, context: &Context) -> Result<Vec<Searchable>, Failure> {
    edge.seen.settle(context.user, Scope::All).await?;
    let places = edge.ports.search.places(context.tenant, context.user).await?;
    Ok(places.into_iter().filter(|place| policy::allow(place.standing, Action::View).is_ok()).collect())
}
