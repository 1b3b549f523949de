//! Where a partition's events come from: a journal, through its chain, or `presence`.

use crate::codec::Codec;
use crate::log::journal::{Head, JournalReader};
use crate::log::{Reader, Records, topics};

use super::item::Item;

/// The events of one partition from a checkpoint on.
pub enum Feed {
    /// Accepted records.
    Journal(JournalReader, &'static Codec),
    /// When users were last seen. The checkpoint is the offset alone.
    Presence(Records, Head, &'static Codec),
}

impl Feed {
    /// Starts at `head`.
    ///
    /// # Errors
    /// If the log is not the one that `head` is of, or cannot be read.
    pub async fn open(
        reader: &Reader,
        codec: &'static Codec,
        source: &str,
        partition: i32,
        head: Head,
    ) -> anyhow::Result<Self> {
        if source == topics::PRESENCE {
            return Ok(Self::Presence(reader.read(partition, head.next_offset).await?, head, codec));
        }
        Ok(Self::Journal(JournalReader::open(reader, codec, source, partition, head).await?, codec))
    }

    /// How far it is.
    pub fn head(&self) -> Head {
        match self {
            Self::Journal(journal, _) => journal.head(),
            Self::Presence(_, head, _) => *head,
        }
    }

    /// The first offset not written.
    ///
    /// # Errors
    /// If Kafka does not answer.
    pub async fn end(&self) -> anyhow::Result<i64> {
        Ok(match self {
            Self::Journal(journal, _) => journal.ends().await?.high,
            Self::Presence(records, ..) => records.ends().await?.high,
        })
    }

    /// Whether everything that was there when the reading began has been taken, and nothing came since.
    pub fn at_end(&self) -> bool {
        match self {
            Self::Journal(journal, _) => journal.at_end(),
            Self::Presence(records, ..) => records.at_end(),
        }
    }

    /// The next events, of at most `max` records; may be none.
    ///
    /// # Errors
    /// If the log cannot be read or decoded: the reader stops there.
    pub async fn next(&mut self, max: usize) -> anyhow::Result<Vec<Item>> {
        let mut items = Vec::new();
        match self {
            Self::Journal(journal, codec) => {
                for accepted in journal.next(max).await? {
                    for record in &accepted.record.records {
                        items.extend(Item::public(codec, &record.stream, record.value.as_ref())?);
                    }
                }
            }
            Self::Presence(records, head, codec) => {
                for fetched in records.next(max).await? {
                    items.extend(Item::presence(codec, &fetched)?);
                }
                head.next_offset = records.next_offset();
            }
        }
        Ok(items)
    }
}
