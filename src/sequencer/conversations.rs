//! Conversations, as the sequencer's engine sees them.

use super::aggregate::{Aggregate, Command, Hearer, Hears, RosterChange, Stamp};
use crate::codec::records::{
    ConversationCommand, ConversationEvent, JournalRecord, MemberState, Receipt, StreamRecord,
};
use crate::codec::{Codec, DecodeError, EncodeError};
use crate::domain::conversation::{
    self, Command as Asked, Conversation, Event, InThread, Input, Known, Lookup, OfMessage, Read, Report, Resolution,
};
use crate::domain::decision::{Decision, Recorded};
use crate::domain::policy::{self, Action};
use crate::domain::time::MINUTE_MS;
use crate::domain::{ConversationId, TenantId, Timestamp, UserId};
use crate::log::{Fetched, topics};

/// How long memory is sure to know client ids, by their own time, in milliseconds.
pub const RECENT_SENDS_MS: i64 = 5 * MINUTE_MS;

const MEMBERS_OF_A_SMALL_ONE: usize = 50;

/// The aggregate of conversations.
#[derive(Clone, Copy, Debug)]
pub struct Conversations;

impl Aggregate for Conversations {
    type Id = ConversationId;
    type State = Conversation;
    type Input = Input;
    type Event = Event;
    type Lookup = Lookup;
    type Found = Known;

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
            Event::Read(read) | Event::Delivered(read) => StreamRecord {
                stream: topics::RECEIPTS.to_owned(),
                key: format!("{conversation}/{}", recorded.actor),
                value: Some(codec.encode(&receipt(stamp, recorded, *read))?),
            },
            event if own(event) => StreamRecord {
                stream: topics::MEMBER_STATE.to_owned(),
                key: format!("{conversation}/{}", key_of_state(recorded)),
                value: Some(codec.encode(&member_state(stamp, recorded))?),
            },
            _ => StreamRecord {
                stream: topics::CONVERSATION_EVENTS.to_owned(),
                key: format!("{conversation}/{}", recorded.position),
                value: Some(codec.encode(&public_event(stamp, recorded))?),
            },
        };
        let tombstone = |position: i64| StreamRecord {
            stream: topics::CONVERSATION_EVENTS.to_owned(),
            key: format!("{conversation}/{position}"),
            value: None,
        };
        let mut records = vec![record];
        if let Event::Deleted(deleted) = &recorded.event {
            let positions = deleted.messages.iter().flat_map(|message| &message.positions);
            records.extend(positions.copied().map(tombstone));
        }
        Ok(records)
    }

    fn recorded(codec: &Codec, record: &JournalRecord) -> Result<Option<Recorded<Event>>, DecodeError> {
        let Some(value) = record.records.first().and_then(|r| r.value.as_deref()) else { return Ok(None) };
        let event = match record.records[0].stream.as_str() {
            topics::RECEIPTS => Some(codec.decode::<Receipt>(value)?.event()),
            topics::MEMBER_STATE => codec.decode::<MemberState>(value)?.event(),
            topics::CONVERSATION_EVENTS => codec.decode::<ConversationEvent>(value)?.event(),
            _ => None,
        };
        Ok(event.map(|event| Recorded { actor: record.actor, at: record.at, position: record.position, event }))
    }

    fn id(text: &str) -> Result<ConversationId, String> {
        text.parse().map_err(|error| format!("the journal's key is no conversation: {error}"))
    }

    fn roster(state: &Conversation) -> Vec<Hearer> {
        let slot = |slot: i64| u32::try_from(slot).unwrap_or(u32::MAX);
        state.members.iter().map(|(user, member)| Hearer { user: *user, slot: slot(member.slot) }).collect()
    }

    fn weight(state: &Conversation) -> usize {
        1 + state.members.len() / MEMBERS_OF_A_SMALL_ONE
    }

    fn may_signal(state: &Conversation, actor: UserId, at: Timestamp) -> bool {
        policy::allow(state.standing(actor, at), Action::Send).is_ok()
    }

    fn roster_change(event: &Event) -> RosterChange {
        let none = RosterChange::default();
        match event {
            Event::Created(created) => {
                RosterChange { joined: created.members.iter().map(|member| member.user).collect(), ..none }
            }
            Event::Joined(joined) => RosterChange { joined: joined.users.clone(), ..none },
            Event::Left(left) => RosterChange { left: left.users.clone(), ..none },
            _ => none,
        }
    }

    fn hears(event: &Event) -> Hears {
        match event {
            Event::Read(_) | Event::Delivered(_) => Hears::Few,
            event if own(event) => Hears::Actor,
            _ => Hears::Everyone,
        }
    }

    fn forget(state: &mut Conversation, before: Timestamp, position: i64) {
        state.known.forget(before, position);
    }

    fn lookups(state: Option<&Conversation>, input: &Input) -> Vec<Lookup> {
        let recent_since = input.at.plus(-RECENT_SENDS_MS);
        let anybodys = matches!(input.command, Asked::Send(_) | Asked::Expire(_));
        match state {
            // Who is neither a member nor a moderator is refused whatever the message is; only a retry of a send hears what it heard before.
            Some(state) if state.role(input.actor).is_none() && !input.moderator && !anybodys => Vec::new(),
            Some(state) => state.known.lookups(input, recent_since),
            None => Known::default().lookups(input, recent_since),
        }
    }

    fn refresh(found: &mut Known, recorded: &Recorded<Event>) {
        found.evolve(recorded);
    }

    fn recall(state: &mut Conversation, found: Known) {
        state.known.recall(found);
    }
}

/// Whether it is of what a member keeps for itself.
fn own(event: &Event) -> bool {
    matches!(
        event,
        Event::Settings(_)
            | Event::Hidden(_)
            | Event::Draft(_)
            | Event::Block(_)
            | Event::ThreadRead(_)
            | Event::Reported(_)
            | Event::Resolved(_)
    )
}

/// What follows the conversation in the key in `member-state`. A resolution is not of the moderator who made it: there is one of each
/// message, and it stays when that moderator is gone, or what was resolved would wait again.
fn key_of_state(recorded: &Recorded<Event>) -> String {
    let actor = recorded.actor;
    match &recorded.event {
        Event::Hidden(OfMessage { seq }) => format!("{actor}/hidden/{seq}"),
        Event::ThreadRead(InThread { thread, .. }) => format!("{actor}/thread/{thread}"),
        Event::Reported(Report { seq, .. }) => format!("{actor}/report/{seq}"),
        Event::Resolved(Resolution { seq, .. }) => format!("resolution/{seq}"),
        Event::Draft(_) => format!("{actor}/draft"),
        Event::Block(_) => format!("{actor}/block"),
        _ => format!("{actor}/settings"),
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
        r#type: recorded.event.name().to_owned(),
    }
}

fn member_state(stamp: &Stamp<ConversationId>, recorded: &Recorded<Event>) -> MemberState {
    let mut state = MemberState {
        event_id: stamp.event_id,
        tenant: stamp.tenant,
        conversation: stamp.aggregate,
        user: recorded.actor,
        occurred_at: recorded.at,
        causation: stamp.causation,
        traceparent: stamp.traceparent.clone(),
        epoch: stamp.epoch,
        partition: stamp.partition,
        index: stamp.index,
        ..MemberState::default()
    };
    state.set(recorded.event.clone());
    state
}

fn public_event(stamp: &Stamp<ConversationId>, recorded: &Recorded<Event>) -> ConversationEvent {
    let mut record = ConversationEvent {
        event_id: stamp.event_id,
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
        ..ConversationEvent::default()
    };
    record.set(recorded.event.clone());
    record
}
