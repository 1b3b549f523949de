//! What the sequencer must know of an aggregate. The engine is the same for conversations and users.

use std::fmt::{Debug, Display};
use std::hash::Hash;

use crate::codec::records::{ReplyTo, StreamRecord};
use crate::codec::{Codec, DecodeError, EncodeError};
use crate::domain::decision::{Decision, Recorded};
use crate::domain::{CommandId, EventId, TenantId, Timestamp, UserId};
use crate::log::Fetched;

/// A command as it was read.
#[derive(Clone, Debug)]
pub struct Command<A: Aggregate> {
    /// Offset in the commands topic; the cause of what follows.
    pub offset: i64,
    /// When the broker appended it.
    pub at: Timestamp,
    /// Made by the gateway.
    pub id: CommandId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The key of the record.
    pub aggregate: A::Id,
    /// Who asks.
    pub actor: UserId,
    /// Who waits.
    pub reply_to: Option<ReplyTo>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// What `decide` takes.
    pub input: A::Input,
}

/// What the chain adds to an event.
#[derive(Clone, Debug)]
pub struct Stamp<Id> {
    /// Of this append.
    pub event_id: EventId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The key of the record.
    pub aggregate: Id,
    /// The command.
    pub causation: CommandId,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Of the journal.
    pub epoch: i32,
    /// Journal partition.
    pub partition: i32,
    /// 1, 2, 3 … over the partition's accepted records.
    pub index: i64,
    /// Number of the newest message, this event's included.
    pub last_seq: i64,
}

/// Somebody who hears of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hearer {
    /// Who.
    pub user: UserId,
    /// Its number in the roster, that of no other before or after; 0 where there is no roster to speak of.
    pub slot: u32,
}

/// What an event does to the roster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RosterChange {
    /// Who is in it from then on, and was not before.
    pub joined: Vec<UserId>,
    /// Who was in it before. They hear of the event, too.
    pub left: Vec<UserId>,
}

impl RosterChange {
    /// Whether nothing changes.
    pub fn is_none(&self) -> bool {
        self.joined.is_empty() && self.left.is_empty()
    }
}

/// Who of the members hears of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hears {
    /// All of them.
    Everyone,
    /// All of them, but only the actor where they are many.
    Few,
    /// The actor.
    Actor,
}

/// Something with a state, commands and events.
pub trait Aggregate: Send + Sync + Sized + 'static {
    /// Names one.
    type Id: Copy + Eq + Hash + Debug + Display + Send + Sync + 'static;
    /// What must be known to decide.
    type State: Clone + Send + Sync + 'static;
    /// What is asked.
    type Input: Clone + Debug + Send + Sync + 'static;
    /// What happens.
    type Event: Clone + Debug + Send + Sync + 'static;
    /// Names what a single command needs of the view beside the state.
    type Lookup: Copy + Eq + Hash + Debug + Send + Sync + 'static;
    /// What lookups of one aggregate found.
    type Found: Send + Sync + 'static;

    /// Topic of the commands.
    const COMMANDS: &'static str;
    /// Topic of the journal.
    const JOURNAL: &'static str;

    /// The command in a record.
    ///
    /// # Errors
    /// Why it is none; it becomes a dead letter.
    fn command(codec: &Codec, fetched: &Fetched) -> Result<Command<Self>, String>;
    /// Pure.
    fn decide(state: Option<&Self::State>, input: &Self::Input) -> Decision<Self::Event>;
    /// Pure.
    fn evolve(state: &mut Option<Self::State>, id: Self::Id, tenant: TenantId, recorded: &Recorded<Self::Event>);
    /// The `type` on the wire.
    fn event_type(event: &Self::Event) -> &'static str;
    /// Number of the message that the event adds, else 0.
    fn seq(event: &Self::Event) -> i64;
    /// Number of the newest message.
    fn last_seq(state: Option<&Self::State>) -> i64;
    /// The public records of an event, final and framed.
    ///
    /// # Errors
    /// If they do not fit their schemas.
    fn records(
        codec: &Codec,
        stamp: &Stamp<Self::Id>,
        recorded: &Recorded<Self::Event>,
    ) -> Result<Vec<StreamRecord>, EncodeError>;
    /// The event of an accepted record; none for refusals and for types that this program does not know.
    ///
    /// # Errors
    /// If the record cannot be decoded.
    fn recorded(
        codec: &Codec,
        record: &crate::codec::records::JournalRecord,
    ) -> Result<Option<Recorded<Self::Event>>, DecodeError>;
    /// The id in the key of a journal record.
    ///
    /// # Errors
    /// If it is none.
    fn id(text: &str) -> Result<Self::Id, String>;

    /// Who hears of events as a rule: the present members.
    fn roster(state: &Self::State) -> Vec<Hearer>;
    /// How much memory a state takes, in that of a small one.
    fn weight(state: &Self::State) -> usize;
    /// Whether the others hear what `actor` signals.
    fn may_signal(state: &Self::State, actor: UserId, at: Timestamp) -> bool;
    /// What an event does to the roster.
    fn roster_change(event: &Self::Event) -> RosterChange;
    /// Who of the roster hears of this one.
    fn hears(event: &Self::Event) -> Hears;
    /// Forgets what the view has, which has all events before `position`, but what retries may need that were made since `before`.
    fn forget(state: &mut Self::State, before: Timestamp, position: i64);
    /// What must be looked up in the view to decide `input`, as it is not in `state`.
    fn lookups(state: Option<&Self::State>, input: &Self::Input) -> Vec<Self::Lookup>;
    /// Brings what was looked up past an event.
    fn refresh(found: &mut Self::Found, recorded: &Recorded<Self::Event>);
    /// Takes what was looked up.
    fn recall(state: &mut Self::State, found: Self::Found);
}
