//! Fields that several commands share.

use std::borrow::Cow;
use std::time::Duration;

use futures_util::future::join_all;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::Context;
use crate::domain::conversation::{self, Restriction};
use crate::domain::{ConversationId, ErrorCode, Timestamp, UserId};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;

/// How long a user may take from its registration to this gateway's keyring.
const PATIENCE: Duration = Duration::from_secs(1);
/// More missing users than this are not just late.
const MOST_AWAITED: usize = 10;
/// The most mentions of a message.
const MAX_MENTIONS: usize = 100;
/// How many a refusal names.
const MOST_NAMED: usize = 5;

/// A UUIDv7 in the usual hyphenated form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientId(pub Uuid);

impl<'de> Deserialize<'de> for ClientId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Of the forms that `Uuid` reads only the hyphenated one has this length.
        let id = (text.len() == 36).then(|| Uuid::try_parse(&text).ok()).flatten();
        let id = id.filter(|id| Timestamp::of_uuid(*id).is_some());
        id.map(Self).ok_or_else(|| de::Error::custom("client_id must be a UUIDv7 with hyphens"))
    }
}

impl JsonSchema for ClientId {
    fn schema_name() -> Cow<'static, str> {
        "ClientId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "uuid",
            "pattern": "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$",
            "description": "A UUIDv7 of the client's making. Its time must be within the last 24 hours.",
        })
    }
}

/// Data of commands that name only a conversation.
#[derive(Deserialize, JsonSchema)]
pub struct OfConversation {
    /// Which.
    pub conversation: ConversationId,
}

/// Data of commands that name a conversation and users.
#[derive(Deserialize, JsonSchema)]
pub struct OfMembers {
    /// Which.
    pub conversation: ConversationId,
    /// Whom.
    #[schemars(length(min = 1))]
    pub users: Vec<UserId>,
}

/// Data of commands that name only a message.
#[derive(Deserialize, JsonSchema)]
pub struct OfMessage {
    /// Where.
    pub conversation: ConversationId,
    /// Which.
    #[schemars(range(min = 1))]
    pub seq: i64,
}

impl From<&OfMessage> for conversation::OfMessage {
    fn from(data: &OfMessage) -> Self {
        Self { seq: data.seq }
    }
}

/// Data of commands that restrict users, until a time or until it is lifted.
#[derive(Deserialize, JsonSchema)]
pub struct OfRestricted {
    /// Where.
    pub conversation: ConversationId,
    /// Whom.
    #[schemars(length(min = 1))]
    users: Vec<UserId>,
    /// When it ends; none: when it is lifted.
    until: Option<Moment>,
}

impl OfRestricted {
    /// The restriction, of users who exist.
    pub async fn checked(self, edge: &Edge, context: &Context) -> Result<Restriction, Failure> {
        check_count(edge, "users", &self.users, 1)?;
        check_users(edge, context, &self.users).await?;
        Ok(Restriction { users: self.users, until: self.until.map(|Moment(until)| until) })
    }
}

/// A field that can be set, cleared by null, or left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// Left out.
    #[default]
    Keep,
    /// Null.
    Clear,
    /// A value.
    Set(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<T>::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

impl<T: JsonSchema> JsonSchema for Change<T> {
    fn schema_name() -> Cow<'static, str> {
        Option::<T>::schema_name()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Option::<T>::json_schema(generator)
    }
}

/// A time as RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub Timestamp);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = OffsetDateTime::parse(&text, &Rfc3339).ok();
        let millis = parsed.and_then(|at| i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok());
        let millis = millis.ok_or_else(|| de::Error::custom("expected a time as 2026-11-21T16:20:00.000Z"))?;
        Ok(Self(Timestamp(millis)))
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "description": "A time as RFC 3339." })
    }
}

/// A text that is there and not too long.
pub fn check_text(text: &str, max_bytes: usize) -> Result<&str, Failure> {
    match text {
        "" => Err(Failure::bad_request("a message needs a text")),
        text if text.len() > max_bytes => {
            Err(Failure::too_large(format!("text has {} bytes; at most {max_bytes} are allowed", text.len())))
        }
        text => Ok(text),
    }
}

/// Not too many, and each a user, `all` or `here`.
pub fn check_mentions(mentions: &[String]) -> Result<(), Failure> {
    if mentions.len() > MAX_MENTIONS {
        return Err(Failure::too_large(format!("a message has at most {MAX_MENTIONS} mentions")));
    }
    let known = |mention: &String| matches!(mention.as_str(), "all" | "here") || mention.parse::<UserId>().is_ok();
    if mentions.iter().all(known) {
        Ok(())
    } else {
        Err(Failure::bad_request("mentions are user ids, `all` or `here`"))
    }
}

/// At least `least`, and at most as many as the installation allows.
pub fn check_count(edge: &Edge, field: &str, users: &[UserId], least: usize) -> Result<(), Failure> {
    let most = edge.options.members_per_command;
    if users.len() < least {
        return Err(Failure::bad_request(format!("{field} must name at least {least}")));
    }
    if users.len() > most {
        return Err(Failure::too_large(format!("{field} must name at most {most}; send several commands")));
    }
    Ok(())
}

/// Checks that all `users` are of the tenant. One registered a moment ago is waited for.
pub async fn check_users(edge: &Edge, context: &Context, users: &[UserId]) -> Result<(), Failure> {
    let keyring = &edge.ports.keyring;
    let here = |user: &UserId| keyring.tenant_of(*user) == Some(context.tenant);
    let missing: Vec<_> = users.iter().filter(|user| !here(user)).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    if missing.len() <= MOST_AWAITED {
        let _permit = context.read_permit().await?;
        join_all(missing.iter().map(|user| keyring.wait_for(context.tenant, *user, PATIENCE))).await;
    }
    let missing: Vec<_> = missing.iter().filter(|user| !here(user)).map(ToString::to_string).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::not_found(format!("there are no such users: {}", named(&missing))))
}

/// Checks that none of `users` and this one have blocked each other.
pub async fn check_blocks(edge: &Edge, context: &Context, users: &[UserId]) -> Result<(), Failure> {
    if users.is_empty() {
        return Ok(());
    }
    let _permit = context.read_permit().await?;
    let blocked = edge.ports.reads.blocked(context.user, users).await?;
    if blocked.is_empty() {
        return Ok(());
    }
    let blocked: Vec<_> = blocked.iter().map(ToString::to_string).collect();
    let message = format!("these users and you do not write with each other: {}", named(&blocked));
    Err(Failure::new(ErrorCode::Blocked, message))
}

/// The first few of them.
fn named(users: &[String]) -> String {
    let more = users.len().saturating_sub(MOST_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    users.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ") + &more
}

/// A page's size: `default` where none is asked for, never more than `most`.
pub fn limit(asked: Option<i64>, default: u32, most: u32) -> Result<u32, Failure> {
    match asked {
        None => Ok(default),
        Some(asked) if asked < 1 => Err(Failure::bad_request("limit must be at least 1")),
        Some(asked) => Ok(u32::try_from(asked).unwrap_or(most).min(most)),
    }
}
