//! The journal's own record, and the checkpoint of the public streams.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::ReplyTo;
use crate::domain::{CommandId, EventId, Rejection, TenantId, Timestamp, UserId};

/// The `type` of a recorded refusal.
pub const REJECTED: &str = "command.rejected";

/// One append of a sequencer to a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalRecord {
    /// Unique for this append.
    pub id: EventId,
    /// The accepted record before this one.
    pub prev: EventId,
    /// 1, 2, 3 … over the partition's accepted records.
    pub index: i64,
    /// Epoch of the commands topic.
    pub cause_epoch: i32,
    /// Offset of the command.
    pub cause_offset: i64,
    /// Whose it is.
    pub tenant: TenantId,
    /// `cnv_…` or `usr_…`; the key of the record.
    pub aggregate: String,
    /// `message.sent` …, or [`REJECTED`].
    pub r#type: String,
    /// Number in the timeline, 0 for what has none.
    pub position: i64,
    /// Number of the message this adds, else 0.
    pub seq: i64,
    /// Number of the conversation's newest message after this.
    pub last_seq: i64,
    /// The broker's time of the command.
    pub at: Timestamp,
    /// Who did it.
    pub actor: UserId,
    /// The command.
    pub causation: CommandId,
    /// Where the reply goes: a new owner sends it again.
    #[serde(default)]
    pub reply_to: Option<ReplyTo>,
    /// W3C trace context.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// Set if and only if the type is [`REJECTED`].
    #[serde(default)]
    pub rejection: Option<Rejection>,
    /// What the publisher copies, byte for byte.
    #[serde(default)]
    pub records: Vec<StreamRecord>,
}

/// A record of a public stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamRecord {
    /// Topic.
    pub stream: String,
    /// Key there.
    pub key: String,
    /// Framed value; none is a tombstone.
    #[serde(default)]
    pub value: Option<Bytes>,
}

/// How far the public streams are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Topic.
    pub journal: String,
    /// There.
    pub partition: i32,
    /// Of the journal.
    pub epoch: i32,
    /// First offset that is not read.
    pub next_offset: i64,
    /// The last accepted record.
    pub head: EventId,
    /// Its offset; -1 before the first.
    pub head_offset: i64,
    /// Its index.
    pub index: i64,
    /// The greatest cause accepted.
    pub cause_offset: i64,
}
