//! Users, as the sequencer's engine sees them.

use std::convert::Infallible;

use super::aggregate::{Aggregate, Command, Hearer, Hears, RosterChange, Stamp};
use crate::codec::records::{JournalRecord, StreamRecord, UserCommand, UserEvent, UserKey, UserKeyRewrap};
use crate::codec::{Codec, DecodeError, EncodeError, Record};
use crate::domain::decision::{Decision, Recorded};
use crate::domain::user::{self, Event, Input, User, WrappedKey};
use crate::domain::{TenantId, Timestamp, UserId};
use crate::log::{Fetched, topics};

/// The aggregate of users.
#[derive(Clone, Copy, Debug)]
pub struct Users;

impl Aggregate for Users {
    type Id = UserId;
    type State = User;
    type Input = Input;
    type Event = Event;
    type Lookup = Infallible;
    type Found = ();

    const COMMANDS: &'static str = topics::USER_COMMANDS;
    const JOURNAL: &'static str = topics::USER_JOURNAL;

    fn command(codec: &Codec, fetched: &Fetched) -> Result<Command<Self>, String> {
        let value = fetched.value.as_deref().ok_or("the record has no value")?;
        if codec.name_of(value).is_ok_and(|name| name == UserKeyRewrap::NAME) {
            return rewrap(codec, fetched, value);
        }
        let mut record: UserCommand = codec.decode(value).map_err(|error| error.to_string())?;
        let (id, tenant, user) = (record.command_id, record.tenant, record.user);
        let (reply_to, traceparent) = (record.reply_to.take(), record.traceparent.take());
        let input = record.into_input(fetched.timestamp)?;
        let at = fetched.timestamp;
        Ok(Command {
            offset: fetched.offset,
            at,
            id,
            tenant,
            aggregate: user,
            actor: user,
            reply_to,
            traceparent,
            input,
        })
    }

    fn decide(state: Option<&User>, input: &Input) -> Decision<Event> {
        user::decide(state, input)
    }

    fn evolve(state: &mut Option<User>, _: UserId, tenant: TenantId, recorded: &Recorded<Event>) {
        user::evolve(state, tenant, recorded);
    }

    fn event_type(event: &Event) -> &'static str {
        event.name()
    }

    fn seq(_: &Event) -> i64 {
        0
    }

    fn last_seq(_: Option<&User>) -> i64 {
        0
    }

    fn records(
        codec: &Codec,
        stamp: &Stamp<UserId>,
        recorded: &Recorded<Event>,
    ) -> Result<Vec<StreamRecord>, EncodeError> {
        let user = stamp.aggregate;
        if let Event::Rewrapped(key) = &recorded.event {
            return Ok(vec![key_record(codec, stamp, recorded.at, key)?]);
        }
        let mut event = UserEvent {
            event_id: stamp.event_id,
            r#type: recorded.event.name().to_owned(),
            tenant: stamp.tenant,
            user,
            position: recorded.position,
            actor: recorded.actor,
            occurred_at: recorded.at,
            causation: stamp.causation,
            traceparent: stamp.traceparent.clone(),
            epoch: stamp.epoch,
            partition: stamp.partition,
            index: stamp.index,
            user_registered: None,
            user_updated: None,
            user_blocked: None,
            user_privacy: None,
            user_moderator: None,
        };
        let mut key = None;
        match &recorded.event {
            Event::Registered { profile, key: fresh } => {
                event.user_registered = Some(profile.clone());
                key = Some(fresh);
            }
            Event::Updated(profile) => event.user_updated = Some(profile.clone()),
            Event::Blocked(of) | Event::Unblocked(of) => event.user_blocked = Some(*of),
            Event::PrivacyChanged(privacy) => event.user_privacy = Some(*privacy),
            Event::ModeratorChanged(moderator) => event.user_moderator = Some(*moderator),
            Event::Rewrapped(_) => {}
        }
        let value = Some(codec.encode(&event)?);
        let key_of_event = format!("{user}/{}", recorded.position);
        let mut records = vec![StreamRecord { stream: topics::USER_EVENTS.to_owned(), key: key_of_event, value }];
        if let Some(key) = key {
            records.push(key_record(codec, stamp, recorded.at, key)?);
        }
        Ok(records)
    }

    fn recorded(codec: &Codec, record: &JournalRecord) -> Result<Option<Recorded<Event>>, DecodeError> {
        let value_of =
            |stream: &str| record.records.iter().find(|r| r.stream == stream).and_then(|r| r.value.as_deref());
        let event = value_of(topics::USER_EVENTS).map(|value| codec.decode::<UserEvent>(value)).transpose()?;
        let key = value_of(topics::USER_KEYS).map(|value| codec.decode::<UserKey>(value)).transpose()?;
        Ok(event_of(event, key).map(|event| Recorded {
            actor: record.actor,
            at: record.at,
            position: record.position,
            event,
        }))
    }

    fn id(text: &str) -> Result<UserId, String> {
        text.parse().map_err(|error| format!("the journal's key is no user: {error}"))
    }

    fn roster(_: &User) -> Vec<Hearer> {
        Vec::new()
    }

    fn weight(_: &User) -> usize {
        1
    }

    fn may_signal(_: &User, _: UserId, _: Timestamp) -> bool {
        false
    }

    fn roster_change(_: &Event) -> RosterChange {
        RosterChange::default()
    }

    fn hears(event: &Event) -> Hears {
        match event {
            Event::PrivacyChanged(_) => Hears::Actor,
            _ => Hears::Everyone,
        }
    }

    fn forget(_: &mut User, _: Timestamp, _: i64) {}

    fn lookups(_: Option<&User>, _: &Input) -> Vec<Infallible> {
        Vec::new()
    }

    fn refresh((): &mut (), _: &Recorded<Event>) {}

    fn recall(_: &mut User, (): ()) {}
}

fn rewrap(codec: &Codec, fetched: &Fetched, value: &[u8]) -> Result<Command<Users>, String> {
    let mut record: UserKeyRewrap = codec.decode(value).map_err(|error| error.to_string())?;
    Ok(Command {
        offset: fetched.offset,
        at: fetched.timestamp,
        id: record.command_id,
        tenant: record.tenant,
        aggregate: record.user,
        actor: record.user,
        reply_to: None,
        traceparent: record.traceparent.take(),
        input: record.into_input(fetched.timestamp),
    })
}

fn key_record(
    codec: &Codec,
    stamp: &Stamp<UserId>,
    created_at: Timestamp,
    key: &WrappedKey,
) -> Result<StreamRecord, EncodeError> {
    let record = UserKey {
        tenant: stamp.tenant,
        user: stamp.aggregate,
        version: key.version,
        master: key.master.clone(),
        wrapped: key.wrapped.clone(),
        created_at,
        epoch: stamp.epoch,
        partition: stamp.partition,
        index: stamp.index,
    };
    let (stream, name) = (topics::USER_KEYS.to_owned(), format!("{}/{}", stamp.aggregate, key.version));
    Ok(StreamRecord { stream, key: name, value: Some(codec.encode(&record)?) })
}

fn event_of(event: Option<UserEvent>, key: Option<UserKey>) -> Option<Event> {
    let key = key.map(|key| WrappedKey { version: key.version, master: key.master, wrapped: key.wrapped });
    let Some(event) = event else { return key.map(Event::Rewrapped) };
    let named = match event.r#type.as_str() {
        "user.blocked" => event.user_blocked.map(Event::Blocked),
        "user.unblocked" => event.user_blocked.map(Event::Unblocked),
        "user.privacy_changed" => event.user_privacy.map(Event::PrivacyChanged),
        "user.moderator_changed" => event.user_moderator.map(Event::ModeratorChanged),
        _ => None,
    };
    if named.is_some() {
        return named;
    }
    match (event.user_registered, event.user_updated, key) {
        (Some(profile), _, Some(key)) => Some(Event::Registered { profile, key }),
        (None, Some(profile), _) => Some(Event::Updated(profile)),
        _ => None,
    }
}
