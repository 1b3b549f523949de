//! Conversations, as the sequencer's engine sees them.

use uuid::Uuid;

use super::aggregate::{Aggregate, Command, RosterChange, Stamp};
use crate::codec::records::{Body, ConversationCommand, ConversationEvent, JournalRecord, Receipt, StreamRecord};
use crate::codec::{Codec, DecodeError, EncodeError};
use crate::domain::conversation::{self, Conversation, Event, Input, Read};
use crate::domain::decision::{Decision, Recorded};
use crate::domain::time::MINUTE_MS;
use crate::domain::{ConversationId, TenantId, Timestamp, UserId};
use crate::log::{Fetched, topics};

/// How long memory is sure to know client ids, by their own time, in milliseconds.
pub const RECENT_SENDS_MS: i64 = 5 * MINUTE_MS;

/// The aggregate of conversations.
#[derive(Clone, Copy, Debug)]
pub struct Conversations;

impl Aggregate for Conversations {
    type Id = ConversationId;
    type State = Conversation;
    type Input = Input;
    type Event = Event;

    const COMMANDS: &'static str = topics::CONVERSATION_COMMANDS;
    const JOURNAL: &'static str = topics::CONVERSATION_JOURNAL;

    fn command(codec: &Codec, fetched: &Fetched) -> Result<Command<Self>, String> {
        let value = fetched.value.as_deref().ok_or("the record has no value")?;
        let mut record: ConversationCommand = codec.decode(value).map_err(|error| error.to_string())?;
        let (id, tenant, aggregate, actor) = (record.command_id, record.tenant, record.conversation, record.actor);
        let (reply_to, traceparent) = (record.reply_to.take(), record.traceparent.take());
        let input = record.into_input(fetched.timestamp)?;
        Ok(Command {
            offset: fetched.offset,
            at: fetched.timestamp,
            id,
            tenant,
            aggregate,
            actor,
            reply_to,
            traceparent,
            input,
        })
    }

    fn decide(state: Option<&Conversation>, input: &Input) -> Decision<Event> {
        conversation::decide(state, input)
    }

    fn evolve(state: &mut Option<Conversation>, id: ConversationId, tenant: TenantId, recorded: &Recorded<Event>) {
        conversation::evolve(state, id, tenant, recorded);
    }

    fn event_type(event: &Event) -> &'static str {
        event.name()
    }

    fn seq(event: &Event) -> i64 {
        event.seq()
    }

    fn last_seq(state: Option<&Conversation>) -> i64 {
        state.map_or(0, |conversation| conversation.last_seq)
    }

    fn records(
        codec: &Codec,
        stamp: &Stamp<ConversationId>,
        recorded: &Recorded<Event>,
    ) -> Result<Vec<StreamRecord>, EncodeError> {
        let conversation = stamp.aggregate;
        let record = match &recorded.event {
            Event::Read(read) => StreamRecord {
                stream: topics::RECEIPTS.to_owned(),
                key: format!("{conversation}/{}", recorded.actor),
                value: Some(codec.encode(&receipt(stamp, recorded, *read))?),
            },
            event => StreamRecord {
                stream: topics::CONVERSATION_EVENTS.to_owned(),
                key: format!("{conversation}/{}", recorded.position),
                value: Some(codec.encode(&public_event(stamp, recorded, event.clone()))?),
            },
        };
        Ok(vec![record])
    }

    fn recorded(codec: &Codec, record: &JournalRecord) -> Result<Option<Recorded<Event>>, DecodeError> {
        let Some(value) = record.records.first().and_then(|r| r.value.as_deref()) else { return Ok(None) };
        let event = match record.records[0].stream.as_str() {
            topics::RECEIPTS => {
                let receipt: Receipt = codec.decode(value)?;
                Some(Event::Read(Read { read_seq: receipt.read_seq, delivered_seq: receipt.delivered_seq }))
            }
            topics::CONVERSATION_EVENTS => codec.decode::<ConversationEvent>(value)?.event(),
            _ => None,
        };
        Ok(event.map(|event| Recorded { actor: record.actor, at: record.at, position: record.position, event }))
    }

    fn id(text: &str) -> Result<ConversationId, String> {
        text.parse().map_err(|error| format!("the journal's key is no conversation: {error}"))
    }

    fn roster(state: &Conversation) -> Vec<UserId> {
        state.members.keys().copied().collect()
    }

    fn roster_change(event: &Event) -> RosterChange {
        let none = RosterChange::default();
        match event {
            Event::Created(created) => {
                RosterChange { joined: created.members.iter().map(|member| member.user).collect(), ..none }
            }
            Event::Joined(joined) => RosterChange { joined: joined.users.clone(), ..none },
            Event::Left(left) => RosterChange { left: left.users.clone(), ..none },
            Event::Sent(_) | Event::Read(_) => none,
        }
    }

    fn quiet_in_crowds(event: &Event) -> bool {
        matches!(event, Event::Read(_))
    }

    fn forget(state: &mut Conversation, before: Timestamp) {
        state.forget_sends(before);
    }

    fn old_send(state: Option<&Conversation>, input: &Input) -> Option<(UserId, Uuid)> {
        let conversation::Command::Send(send) = &input.command else { return None };
        let made = Timestamp::of_uuid(send.client_id)?;
        let known = state.is_some_and(|c| c.sent.contains_key(&(input.actor, send.client_id)));
        (!known && made < input.at.plus(-RECENT_SENDS_MS)).then_some((input.actor, send.client_id))
    }

    fn recall(state: &mut Conversation, loaded: Conversation) {
        for (send, told) in loaded.sent {
            state.sent.entry(send).or_insert(told);
        }
    }
}

fn receipt(stamp: &Stamp<ConversationId>, recorded: &Recorded<Event>, read: Read) -> Receipt {
    Receipt {
        event_id: stamp.event_id,
        tenant: stamp.tenant,
        conversation: stamp.aggregate,
        user: recorded.actor,
        read_seq: read.read_seq,
        delivered_seq: read.delivered_seq,
        occurred_at: recorded.at,
        causation: stamp.causation,
        traceparent: stamp.traceparent.clone(),
        epoch: stamp.epoch,
        partition: stamp.partition,
        index: stamp.index,
    }
}

fn public_event(stamp: &Stamp<ConversationId>, recorded: &Recorded<Event>, event: Event) -> ConversationEvent {
    let r#type = event.name().to_owned();
    let body = Body::from(event);
    ConversationEvent {
        event_id: stamp.event_id,
        r#type,
        tenant: stamp.tenant,
        conversation: stamp.aggregate,
        position: recorded.position,
        actor: recorded.actor,
        occurred_at: recorded.at,
        causation: stamp.causation,
        traceparent: stamp.traceparent.clone(),
        epoch: stamp.epoch,
        partition: stamp.partition,
        index: stamp.index,
        last_seq: stamp.last_seq,
        conversation_created: body.conversation_created,
        message_sent: body.message_sent,
        member_joined: body.member_joined,
        member_left: body.member_left,
    }
}
