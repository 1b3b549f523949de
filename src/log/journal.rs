//! The chain of a journal: which of its records are accepted. One reader for everybody; nothing else reads a journal.
//!
//! A record is accepted if and only if its `prev` is the id of the last accepted one. Any other is a loser: of two owners that
//! believed to own the partition, or a retry of a lost report. All readers ignore losers, so all agree.

use crate::codec::records::{Checkpoint, JournalRecord};
use crate::codec::{Codec, DecodeError};
use crate::domain::EventId;

use super::{Fetched, ReadError};

/// How far a reader of a journal partition is: after the last record it has classified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Of the journal; rises at restore or repartition.
    pub epoch: i32,
    /// First offset not classified.
    pub next_offset: i64,
    /// The last accepted record; all zeros before the first.
    pub id: EventId,
    /// Its offset; -1 before the first.
    pub offset: i64,
    /// Its index; 0 before the first.
    pub index: i64,
    /// The greatest offset of a command with an accepted record; -1 before the first.
    pub cause_offset: i64,
}

impl Default for Head {
    fn default() -> Self {
        Self { epoch: 0, next_offset: 0, id: EventId::default(), offset: -1, index: 0, cause_offset: -1 }
    }
}

/// What a record turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It counts.
    Accepted,
    /// It does not.
    Loser,
}

impl Head {
    /// Whether a record with this `prev` would be accepted now.
    pub fn accepts(&self, prev: EventId) -> bool {
        prev == self.id
    }

    /// Classifies the record at `offset` and moves past it.
    pub fn classify(&mut self, offset: i64, record: &JournalRecord) -> Class {
        debug_assert!(offset >= self.next_offset, "journals are read in order");
        self.next_offset = offset + 1;
        if !self.accepts(record.prev) {
            return Class::Loser;
        }
        debug_assert_eq!(record.index, self.index + 1, "an owner numbers what it appends");
        self.id = record.id;
        self.offset = offset;
        self.index = record.index;
        self.cause_offset = self.cause_offset.max(record.cause_offset);
        Class::Accepted
    }

    /// As the public checkpoint of `journal`/`partition`.
    pub fn checkpoint(&self, journal: &str, partition: i32) -> Checkpoint {
        Checkpoint {
            journal: journal.to_owned(),
            partition,
            epoch: self.epoch,
            next_offset: self.next_offset,
            head: self.id,
            head_offset: self.offset,
            index: self.index,
            cause_offset: self.cause_offset,
        }
    }
}

impl From<&Checkpoint> for Head {
    fn from(checkpoint: &Checkpoint) -> Self {
        Self {
            epoch: checkpoint.epoch,
            next_offset: checkpoint.next_offset,
            id: checkpoint.head,
            offset: checkpoint.head_offset,
            index: checkpoint.index,
            cause_offset: checkpoint.cause_offset,
        }
    }
}

/// Why a journal cannot be read on. Its reader stops; nothing is skipped.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A record that cannot be decoded.
    #[error("`{topic}`/{partition} cannot be decoded at offset {offset}; its reader stops here")]
    Undecodable {
        /// Journal.
        topic: String,
        /// There.
        partition: i32,
        /// There.
        offset: i64,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// The record before a checkpoint is not the one that the checkpoint was made after.
    #[error(
        "`{topic}`/{partition} holds record {found} at offset {offset}, but the checkpoint has {expected} there: the topic is not the one the checkpoint is of"
    )]
    WrongPast {
        /// Journal.
        topic: String,
        /// There.
        partition: i32,
        /// Of the head.
        offset: i64,
        /// Of the checkpoint.
        expected: EventId,
        /// In the journal.
        found: EventId,
    },
    /// The journal began anew, at a restore, and the checkpoint is of before.
    #[error(
        "`{topic}`/{partition} is of epoch {found}, but the checkpoint is of {expected}: Kafka and Postgres are not of the same restore"
    )]
    WrongEpoch {
        /// Journal.
        topic: String,
        /// There.
        partition: i32,
        /// Of the checkpoint.
        expected: i32,
        /// Of the record.
        found: i32,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Decodes a record of journal `topic`.
///
/// # Errors
/// [`JournalError::Undecodable`].
pub fn decode(codec: &Codec, topic: &str, fetched: &Fetched) -> Result<JournalRecord, JournalError> {
    codec.decode(fetched.value.as_deref().unwrap_or_default()).map_err(|source| JournalError::Undecodable {
        topic: topic.to_owned(),
        partition: fetched.partition,
        offset: fetched.offset,
        source,
    })
}

/// An accepted record and where it stands.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Offset in the journal partition.
    pub offset: i64,
    /// The record.
    pub record: JournalRecord,
}

/// Reads a journal partition from a checkpoint and hands out what is accepted.
pub struct JournalReader {
    topic: String,
    partition: i32,
    head: Head,
    records: super::Records,
    codec: &'static Codec,
}

impl JournalReader {
    /// Starts at `head`. Reads the record before it again, if it is still kept, and stops if it is another one.
    ///
    /// # Errors
    /// If the journal is not the one that `head` was made of, or cannot be read.
    pub async fn open(
        reader: &super::Reader,
        codec: &'static Codec,
        topic: &str,
        partition: i32,
        head: Head,
    ) -> Result<Self, JournalError> {
        let ends = reader.ends(partition).await?;
        // Where the newest records are lost, waiting for as many new ones would be silent, and wrong.
        ends.check(topic, partition, head.next_offset)?;
        let kept = head.offset >= ends.low;
        let from = if kept { head.offset } else { head.next_offset };
        let records = reader.read(partition, from).await?;
        let mut journal = Self { topic: topic.to_owned(), partition, head, records, codec };
        if kept {
            journal.check_past().await?;
        }
        Ok(journal)
    }

    /// Reads the head again, and past the losers after it.
    async fn check_past(&mut self) -> Result<(), JournalError> {
        let mut checked = false;
        while self.records.next_offset() < self.head.next_offset {
            for fetched in self.records.next(1).await? {
                let record = decode(self.codec, &self.topic, &fetched)?;
                if !checked && record.id != self.head.id {
                    return Err(JournalError::WrongPast {
                        topic: self.topic.clone(),
                        partition: self.partition,
                        offset: self.head.offset,
                        expected: self.head.id,
                        found: record.id,
                    });
                }
                checked = true;
            }
        }
        Ok(())
    }

    /// The next accepted records, of at most `max` read; may be none.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn next(&mut self, max: usize) -> Result<Vec<Accepted>, JournalError> {
        let mut accepted = Vec::new();
        for fetched in self.records.next(max).await? {
            let record = decode(self.codec, &self.topic, &fetched)?;
            // All records would be losers, which nobody would notice.
            if record.cause_epoch != self.head.epoch {
                return Err(JournalError::WrongEpoch {
                    topic: self.topic.clone(),
                    partition: self.partition,
                    expected: self.head.epoch,
                    found: record.cause_epoch,
                });
            }
            if self.head.classify(fetched.offset, &record) == Class::Accepted {
                accepted.push(Accepted { offset: fetched.offset, record });
            }
        }
        Ok(accepted)
    }

    /// How far it is.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Whether everything that was there when the reading began has been taken, and nothing came since.
    pub fn at_end(&self) -> bool {
        self.records.at_end()
    }

    /// Journal partition.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// What the partition holds now.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub async fn ends(&self) -> Result<super::Ends, JournalError> {
        Ok(self.records.ends().await?)
    }
}
