//! What a batch of public events makes of the index.

use std::collections::BTreeMap;

use anyhow::Context;

use super::texts::{Opened, Texts};
use crate::codec::Codec;
use crate::codec::records::ConversationEvent;
use crate::crypto::TermKey;
use crate::domain::conversation::Event;
use crate::domain::{ConversationId, Timestamp, UserId};
use crate::log::{Fetched, topics};
use crate::search::Term;

/// Which message.
pub type Place = (ConversationId, i64);

/// What becomes of a message. Each says all that there is to say, so twice is once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was sent, and edited perhaps.
    Put(Indexed),
    /// It was sent before this batch, and has other terms now.
    Terms(Vec<i64>),
    /// It was removed, or nobody can read it any more.
    Remove,
}

/// What is kept of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indexed {
    /// Who wrote it, and under whose key it is sealed: not who sent it, if it was forwarded.
    pub author: UserId,
    /// When.
    pub at: Timestamp,
    /// Hashes, each once.
    pub terms: Vec<i64>,
}

/// By message.
pub type Changes = BTreeMap<Place, Change>;

/// Makes changes of records.
pub struct Cutter<'a> {
    /// Of the installation.
    pub codec: &'static Codec,
    /// Opens texts.
    pub texts: &'a dyn Texts,
    /// Hashes terms.
    pub key: &'a TermKey,
}

impl Cutter<'_> {
    /// What `records` of one partition of `conversation-events`, in order, come to.
    ///
    /// # Errors
    /// If one cannot be decoded, or its key cannot be looked up.
    pub async fn changes(&self, records: &[Fetched]) -> anyhow::Result<Changes> {
        let mut changes = Changes::new();
        for record in records {
            // Tombstones follow from removals, which are events.
            let Some(value) = &record.value else { continue };
            let event: ConversationEvent = self.codec.decode(value).with_context(|| {
                let (topic, partition, offset) = (topics::CONVERSATION_EVENTS, record.partition, record.offset);
                format!("`{topic}`/{partition} cannot be decoded at offset {offset}; the index stands still here")
            })?;
            self.take(&mut changes, event).await?;
        }
        Ok(changes)
    }

    async fn take(&self, changes: &mut Changes, mut event: ConversationEvent) -> anyhow::Result<()> {
        let conversation = event.conversation;
        // Taken, not copied: most events are messages.
        if let Some(sent) = event.message_sent.take() {
            let author = sent.forward.map_or(event.actor, |forward| forward.author);
            let terms = match &sent.text {
                Some(sealed) => self.terms(&event, author, sealed).await?,
                // What else it holds is sealed as a text is.
                None if sent.content.is_some() && self.texts.is_gone(author).await? => None,
                None => Some(self.hashes(conversation, Term::of_message(event.actor, None))),
            };
            let put = |terms| Change::Put(Indexed { author, at: event.occurred_at, terms });
            changes.insert((conversation, sent.seq), terms.map_or(Change::Remove, put));
            return Ok(());
        }
        match event.event() {
            Some(Event::Edited(edited)) => {
                let terms = self.terms(&event, event.actor, &edited.text).await?;
                let place = (conversation, edited.seq);
                let change = match (terms, changes.remove(&place)) {
                    (Some(terms), Some(Change::Put(sent))) => Change::Put(Indexed { terms, ..sent }),
                    // It can only have been removed, or be of an author who is gone.
                    (_, Some(Change::Remove)) | (None, _) => Change::Remove,
                    (Some(terms), _) => Change::Terms(terms),
                };
                changes.insert(place, change);
            }
            Some(Event::Deleted(deleted)) => {
                changes.extend(deleted.messages.iter().map(|message| ((conversation, message.seq), Change::Remove)));
            }
            _ => {}
        }
        Ok(())
    }

    /// Of a text that `author` wrote; none if it is gone.
    async fn terms(
        &self,
        event: &ConversationEvent,
        author: UserId,
        sealed: &[u8],
    ) -> anyhow::Result<Option<Vec<i64>>> {
        let text = match self.texts.open(event, author, sealed).await? {
            Opened::Text(text) => Some(text),
            Opened::Gone => return Ok(None),
            Opened::Broken => {
                let (conversation, position) = (event.conversation, event.position);
                tracing::warn!(%conversation, position, "a text does not open; it is found by sender and date only");
                None
            }
        };
        Ok(Some(self.hashes(event.conversation, Term::of_message(event.actor, text.as_deref()))))
    }

    fn hashes(&self, conversation: ConversationId, terms: Vec<Term>) -> Vec<i64> {
        let mut hashes = self.key.hashes(conversation, terms.iter().map(Term::bytes));
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }
}
