//! Durable events, as they are pushed and as `events` lists them.

pub mod data;

use std::borrow::Cow;

use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::json;

use super::message::PresentMessage;
use super::{FRAME_BYTES, ID_BYTES, Opener, rfc3339};
use crate::codec::records::ConversationEvent;
use crate::crypto::Field;
use crate::domain::conversation::{
    ConversationCreated, Event, Invite, MemberLeft, MessageEdited, UpdateConversation, Users,
};
use crate::domain::{ConversationId, Timestamp, UserId};
use crate::gateway::ports::{EventRow, MessageRow, OpenError, Place};
use crate::gateway::spec::{pushes, schemas};

/// How many members `conversation.created` names.
const MEMBERS_SHOWN: usize = 100;

/// A durable event.
#[derive(Clone, Debug, Serialize)]
pub struct DurableEvent {
    r#type: String,
    conversation: ConversationId,
    position: i64,
    #[serde(serialize_with = "rfc3339")]
    at: Timestamp,
    actor: UserId,
    data: EventData,
}

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum EventData {
    Created(data::Created),
    Sent(Box<PresentMessage>),
    Edited(data::Edited),
    Deleted(data::Deleted),
    Located(data::Moved),
    Voted(data::Vote),
    Message(data::OfMessage),
    Reaction(data::Reaction),
    Updated(data::Updated),
    Joined(data::Joined),
    Invited(data::Invited),
    Invite(data::OfInvite),
    Users(data::OfUsers),
    Left(data::Left),
    Restricted(data::Restricted),
    Role(data::MemberRole),
    /// Of a type that this program does not know: it takes its position all the same.
    Unknown {},
}

/// Any of the described events; each names its type, so that `data` is held to it.
impl JsonSchema for DurableEvent {
    fn schema_name() -> Cow<'static, str> {
        "DurableEvent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let events = pushes::durable().map(|push| json!({ "$ref": schemas::reference(push.name) }));
        json_schema!({ "oneOf": events.collect::<Vec<_>>() })
    }
}

impl Opener<'_> {
    /// Opens an event, of the view or of a record.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn event(&self, conversation: ConversationId, row: EventRow) -> Result<DurableEvent, OpenError> {
        let place = self.place(conversation, row.causation);
        let data = match row.event {
            Some(Event::Created(created)) => self.created(place, created)?,
            Some(Event::Sent(sent)) => {
                let message = MessageRow::of(sent, row.position, row.actor, row.at, row.causation);
                EventData::Sent(Box::new(self.present(conversation, message)?))
            }
            Some(Event::Edited(MessageEdited { seq, text, mentions, .. })) => {
                let text = self.keyring.open_written(place, row.actor, Field::Text, &text)?;
                EventData::Edited(data::Edited { seq, text, mentions, edited_at: row.at })
            }
            Some(Event::Deleted(deleted)) => EventData::Deleted(data::Deleted {
                seqs: deleted.messages.iter().map(|message| message.seq).collect(),
                reason: deleted.reason,
            }),
            Some(Event::Located(located)) => {
                let location = self.located(place, row.actor, &located)?;
                EventData::Located(data::Moved { seq: located.seq, location })
            }
            Some(Event::Voted(vote)) => EventData::Voted(vote),
            Some(Event::Pinned(of) | Event::Unpinned(of) | Event::PollClosed(of)) => EventData::Message(of),
            Some(Event::Reacted(reaction) | Event::Unreacted(reaction)) => EventData::Reaction(reaction),
            Some(Event::Updated(update)) => EventData::Updated(self.updated(place, update)?),
            Some(Event::Joined(joined)) => {
                EventData::Joined(data::Joined { users: joined.users, invite: joined.invite })
            }
            Some(Event::Invited(Invite { invite, expires_at, max_uses, role })) => {
                EventData::Invited(data::Invited { invite, expires_at, max_uses, role })
            }
            Some(Event::InviteRevoked(of)) => EventData::Invite(data::OfInvite { invite: of.invite }),
            Some(Event::Requested) => EventData::Users(data::OfUsers { users: vec![row.actor] }),
            Some(Event::Declined(Users { users })) => EventData::Users(data::OfUsers { users }),
            Some(Event::Left(left)) => {
                let MemberLeft { users, reason, promoted, banned, until } = left;
                EventData::Left(data::Left { users, reason, promoted, banned, until })
            }
            Some(Event::Role(role)) => EventData::Role(role),
            Some(Event::Muted(of) | Event::Unmuted(of) | Event::Unbanned(of)) => {
                EventData::Restricted(data::Restricted { users: of.users, until: of.until })
            }
            Some(
                Event::Read(_)
                | Event::Delivered(_)
                | Event::Settings(_)
                | Event::Hidden(_)
                | Event::Draft(_)
                | Event::ThreadRead(_)
                | Event::Reported(_)
                | Event::Resolved(_)
                | Event::Block(_),
            )
            | None => EventData::Unknown {},
        };
        Ok(DurableEvent { r#type: row.kind, conversation, position: row.position, at: row.at, actor: row.actor, data })
    }

    fn created(&self, place: Place, created: ConversationCreated) -> Result<EventData, OpenError> {
        let open = |sealed: Bytes| self.keyring.open_shown(place, Field::Name, &sealed);
        let name = created.name.map(open).transpose()?;
        let members_count = created.members.len();
        let mut members = created.members;
        members.truncate(MEMBERS_SHOWN);
        Ok(EventData::Created(data::Created { kind: created.kind, name, members, members_count }))
    }

    fn updated(&self, place: Place, update: UpdateConversation) -> Result<data::Updated, OpenError> {
        let UpdateConversation { name, topic, picture, history, join, frozen, slow_mode_ms, cleared } = update;
        let field = |sealed: Option<Bytes>, field: Field| {
            let opened = sealed.map(|sealed| self.keyring.open_shown(place, field, &sealed)).transpose()?;
            let cleared = cleared.iter().any(|cleared| cleared == field.name());
            Ok((cleared || opened.is_some()).then_some(opened))
        };
        Ok(data::Updated {
            name: field(name, Field::Name)?,
            topic: field(topic, Field::Topic)?,
            picture: field(picture, Field::Picture)?,
            history,
            join,
            frozen,
            slow_mode_ms,
        })
    }
}

impl EventRow {
    /// About how long it will be, for pages.
    pub fn bytes(&self) -> usize {
        let content = match &self.event {
            Some(Event::Sent(sent)) => {
                let sealed = [&sent.text, &sent.content].into_iter().flatten().map(Bytes::len).sum::<usize>();
                sealed + sent.mentions.len() * ID_BYTES
            }
            Some(Event::Located(located)) => located.content.len(),
            Some(Event::Edited(edited)) => edited.text.len() + edited.mentions.len() * ID_BYTES,
            // With the role of each.
            Some(Event::Created(created)) => created.members.len().min(MEMBERS_SHOWN) * ID_BYTES * 2,
            Some(Event::Joined(joined)) => joined.users.len() * ID_BYTES,
            Some(Event::Declined(declined)) => declined.users.len() * ID_BYTES,
            Some(Event::Left(left)) => (left.users.len() + left.banned.len()) * ID_BYTES,
            Some(Event::Muted(of) | Event::Unmuted(of) | Event::Unbanned(of)) => of.users.len() * ID_BYTES,
            Some(Event::Deleted(deleted)) => deleted.messages.len() * ID_BYTES,
            Some(Event::Updated(update)) => {
                [&update.name, &update.topic, &update.picture].into_iter().flatten().map(Bytes::len).sum()
            }
            _ => 0,
        };
        FRAME_BYTES + content
    }
}

impl From<&ConversationEvent> for EventRow {
    fn from(record: &ConversationEvent) -> Self {
        Self {
            kind: record.r#type.clone(),
            position: record.position,
            at: record.occurred_at,
            actor: record.actor,
            causation: record.causation,
            event: record.event(),
        }
    }
}
