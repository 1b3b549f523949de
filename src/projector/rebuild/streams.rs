//! The public streams of one partition as one, in the order of the journal.

use std::collections::VecDeque;

use anyhow::{Context, ensure};
use rdkafka::config::ClientConfig;

use crate::codec::Codec;
use crate::log::journal::Head;
use crate::log::{Ends, Reader, Records, Settled, topics};
use crate::projector::item::Item;

const READ: usize = 1_000;

/// The public streams that together hold all of a journal.
fn names(source: &str) -> &'static [&'static str] {
    match source {
        topics::CONVERSATION_JOURNAL => &[topics::CONVERSATION_EVENTS, topics::RECEIPTS, topics::MEMBER_STATE],
        topics::USER_JOURNAL => &[topics::USER_EVENTS],
        _ => &[],
    }
}

/// The streams, each from its beginning to what it held when they were opened.
pub struct Streams {
    all: Vec<Stream>,
    head: Head,
}

struct Stream {
    name: &'static str,
    records: Records,
    low: i64,
    end: i64,
    codec: &'static Codec,
    /// Taken, and not yet given on.
    ready: VecDeque<Item>,
    last: (i32, i64),
}

impl Streams {
    /// Opens them up to `head`: what is past it comes from the journal.
    ///
    /// # Errors
    /// If Kafka does not answer, or a publisher's transaction stays open.
    pub async fn open(
        client: &ClientConfig,
        codec: &'static Codec,
        source: &str,
        partition: i32,
        head: Head,
    ) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for name in names(source) {
            all.push(Stream::open(client, codec, name, partition).await?);
        }
        Ok(Self { all, head })
    }

    /// An upper bound of the records in them.
    pub fn len(&self) -> u64 {
        self.all.iter().map(|stream| u64::try_from(stream.end - stream.low).unwrap_or_default()).sum()
    }

    /// The next events, at most `max`, by index; none at the end. And how many offsets were passed for them.
    ///
    /// # Errors
    /// If a stream cannot be read or decoded, or is not in order.
    pub async fn next(&mut self, max: usize) -> anyhow::Result<(Vec<Item>, u64)> {
        let mut items = Vec::with_capacity(max);
        let before = self.passed();
        while items.len() < max {
            for stream in &mut self.all {
                stream.fill().await?;
            }
            let first =
                self.all.iter_mut().filter(|stream| !stream.ready.is_empty()).min_by_key(|stream| stream.next());
            let Some(item) = first.and_then(|stream| stream.ready.pop_front()) else { break };
            if (item.epoch, item.index) > (self.head.epoch, self.head.index) {
                // All that follows, in any of them, is past it too.
                for stream in &mut self.all {
                    stream.finish();
                }
                break;
            }
            items.push(item);
        }
        Ok((items, self.passed() - before))
    }

    fn passed(&self) -> u64 {
        self.all.iter().map(Stream::passed).sum()
    }
}

impl Stream {
    async fn open(
        client: &ClientConfig,
        codec: &'static Codec,
        name: &'static str,
        partition: i32,
    ) -> anyhow::Result<Self> {
        let reader = Reader::new(client, name)?;
        // The checkpoint may be readable while records that it covers still wait for their transaction's mark.
        let Ends { low, high: end } = Settled::new(client)?.ends(&reader, partition).await?;
        let records = reader.read(partition, low).await?;
        Ok(Self { name, records, low, end, codec, ready: VecDeque::new(), last: (0, 0) })
    }

    fn next(&self) -> Option<(i32, i64)> {
        self.ready.front().map(|item| (item.epoch, item.index))
    }

    /// Offsets of compacted and transactional topics have holes, also at their end, so the last record does not tell.
    fn is_read(&self) -> bool {
        self.records.at_end() || self.records.next_offset() >= self.end
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        while self.ready.is_empty() && !self.is_read() {
            for fetched in self.records.next(READ).await? {
                let item = Item::public(self.codec, self.name, fetched.value.as_ref());
                let item =
                    item.with_context(|| format!("partition {} offset {}", fetched.partition, fetched.offset))?;
                let Some(item) = item else { continue };
                let at = (item.epoch, item.index);
                ensure!(
                    at > self.last,
                    "`{}`/{} is out of order at offset {}: index {} of epoch {} comes after index {} of epoch {}",
                    self.name,
                    fetched.partition,
                    fetched.offset,
                    at.1,
                    at.0,
                    self.last.1,
                    self.last.0
                );
                self.last = at;
                self.ready.push_back(item);
            }
        }
        Ok(())
    }

    fn finish(&mut self) {
        self.ready.clear();
        self.end = self.records.next_offset();
    }

    fn passed(&self) -> u64 {
        let next = if self.is_read() { self.end } else { self.records.next_offset() };
        u64::try_from(next - self.low).unwrap_or_default()
    }
}
