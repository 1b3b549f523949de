//! Durable events, as they are pushed and as `events` lists them.

use bytes::Bytes;
use serde::Serialize;

use super::message::{Location, PresentMessage};
use super::{FRAME_BYTES, ID_BYTES, Opener, rfc3339, rfc3339_option};
use crate::codec::records::ConversationEvent;
use crate::crypto::Field;
use crate::domain::conversation::{
    ConversationCreated, DeleteReason, Event, Invite, LeaveReason, MemberLeft, MemberRole, MessageEdited, OfInvite,
    OfMessage, Reaction, UpdateConversation, Users, Vote,
};
use crate::domain::policy::{ConversationKind, History, JoinRule, Role};
use crate::domain::{ConversationId, InviteId, Timestamp, UserId};
use crate::gateway::ports::{EventRow, MessageRow, OpenError, Place};

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
    Created {
        kind: ConversationKind,
        name: Option<String>,
        members: Vec<MemberRole>,
        members_count: usize,
    },
    Sent(Box<PresentMessage>),
    Edited {
        seq: i64,
        text: String,
        mentions: Vec<String>,
        #[serde(serialize_with = "rfc3339")]
        edited_at: Timestamp,
    },
    Deleted {
        seqs: Vec<i64>,
        reason: DeleteReason,
    },
    Located {
        seq: i64,
        location: Option<Location>,
    },
    Voted(Vote),
    Message(OfMessage),
    Reaction(Reaction),
    Updated(Updated),
    Joined {
        users: Vec<UserId>,
        /// With whose link.
        #[serde(skip_serializing_if = "Option::is_none")]
        invite: Option<InviteId>,
    },
    Invited {
        invite: InviteId,
        #[serde(serialize_with = "rfc3339_option")]
        expires_at: Option<Timestamp>,
        max_uses: Option<i64>,
        role: Role,
    },
    Invite(OfInvite),
    Users(Users),
    Left {
        users: Vec<UserId>,
        reason: LeaveReason,
        /// Who became owner by it.
        #[serde(skip_serializing_if = "Option::is_none")]
        promoted: Option<UserId>,
        /// Who may not come back, members or not.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        banned: Vec<UserId>,
        /// When that ends.
        #[serde(serialize_with = "rfc3339_option", skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    Restricted {
        users: Vec<UserId>,
        #[serde(serialize_with = "rfc3339_option", skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    Role(MemberRole),
    /// Of a type that this program does not know: it takes its position all the same.
    Unknown {},
}

/// What changed: absent if it did not, null if it is there no more.
#[derive(Clone, Debug, Serialize)]
struct Updated {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<History>,
    #[serde(skip_serializing_if = "Option::is_none")]
    join: Option<JoinRule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frozen: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slow_mode_ms: Option<i64>,
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
                EventData::Edited { seq, text, mentions, edited_at: row.at }
            }
            Some(Event::Deleted(deleted)) => EventData::Deleted {
                seqs: deleted.messages.iter().map(|message| message.seq).collect(),
                reason: deleted.reason,
            },
            Some(Event::Located(located)) => {
                EventData::Located { seq: located.seq, location: self.located(place, row.actor, &located)? }
            }
            Some(Event::Voted(vote)) => EventData::Voted(vote),
            Some(Event::Pinned(of) | Event::Unpinned(of) | Event::PollClosed(of)) => EventData::Message(of),
            Some(Event::Reacted(reaction) | Event::Unreacted(reaction)) => EventData::Reaction(reaction),
            Some(Event::Updated(update)) => EventData::Updated(self.updated(place, update)?),
            Some(Event::Joined(joined)) => EventData::Joined { users: joined.users, invite: joined.invite },
            Some(Event::Invited(Invite { invite, expires_at, max_uses, role })) => {
                EventData::Invited { invite, expires_at, max_uses, role }
            }
            Some(Event::InviteRevoked(of)) => EventData::Invite(of),
            Some(Event::Requested) => EventData::Users(Users { users: vec![row.actor] }),
            Some(Event::Declined(users)) => EventData::Users(users),
            Some(Event::Left(left)) => {
                let MemberLeft { users, reason, promoted, banned, until } = left;
                EventData::Left { users, reason, promoted, banned, until }
            }
            Some(Event::Role(role)) => EventData::Role(role),
            Some(Event::Muted(of) | Event::Unmuted(of) | Event::Unbanned(of)) => {
                EventData::Restricted { users: of.users, until: of.until }
            }
            Some(
                Event::Read(_)
                | Event::Delivered(_)
                | Event::Settings(_)
                | Event::Hidden(_)
                | Event::Draft(_)
                | Event::ThreadRead(_)
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
        Ok(EventData::Created { kind: created.kind, name, members, members_count })
    }

    fn updated(&self, place: Place, update: UpdateConversation) -> Result<Updated, OpenError> {
        let UpdateConversation { name, topic, picture, history, join, frozen, slow_mode_ms, cleared } = update;
        let field = |sealed: Option<Bytes>, field: Field| {
            let opened = sealed.map(|sealed| self.keyring.open_shown(place, field, &sealed)).transpose()?;
            let cleared = cleared.iter().any(|cleared| cleared == field.name());
            Ok((cleared || opened.is_some()).then_some(opened))
        };
        Ok(Updated {
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
