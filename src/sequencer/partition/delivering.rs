//! Sending on what is settled, and what nobody waits for.

use std::collections::{HashSet, VecDeque};

use futures_util::FutureExt;

use super::shared::PartitionError;
use super::{Delivering, MAX_OUTSTANDING, Partition, SIGNAL_MAX_AGE_MS};
use crate::codec::records::{DeadLetter, Signal};
use crate::domain::Timestamp;
use crate::log::{Fetched, topics};
use crate::sequencer::aggregate::Aggregate;
use crate::sequencer::owner::Audience;

impl<A: Aggregate> Partition<A> {
    /// Sends on what is settled, in order.
    pub(super) async fn deliver(&mut self) -> Result<(), PartitionError> {
        self.held.extend(self.owner.take_outcomes());
        while let Some(outcome) = self.held.front() {
            if self.outstanding >= MAX_OUTSTANDING {
                break;
            }
            if matches!(outcome.audience, Audience::Unknown) && !self.find_audience().await? {
                break;
            }
            let Some(outcome) = self.held.pop_front() else { break };
            let appending: VecDeque<_> = self.shared.router.route(self.partition, &outcome).await?.into();
            self.outstanding += appending.len();
            self.delivering.push_back(Delivering {
                command_offset: outcome.command_offset,
                head: outcome.head,
                appending,
            });
        }
        self.settle_delivered()
    }

    /// Finds who hears of the oldest held outcome. Whether it could.
    async fn find_audience(&mut self) -> Result<bool, PartitionError> {
        let Some((id, offset, recorded)) = self.held.front().and_then(|outcome| {
            let counted = outcome.accepted.as_ref()?;
            Some((outcome.aggregate?, counted.offset, counted.recorded.clone()))
        }) else {
            return Ok(true);
        };
        if !self.owner.is_hot(id) {
            let ids: HashSet<A::Id> = self.held.iter().filter_map(|outcome| outcome.aggregate).collect();
            let cold: Vec<_> = ids.into_iter().filter(|id| !self.owner.is_hot(*id)).collect();
            self.warm(&cold, &[]).await?;
        }
        let audience = self.owner.audience(id, offset, recorded.as_deref());
        let found = audience.is_some();
        if let (Some(audience), Some(outcome)) = (audience, self.held.front_mut()) {
            outcome.audience = audience;
        }
        Ok(found)
    }

    /// So many of the oldest appends are durable.
    pub(super) fn delivered(&mut self, appends: usize) -> Result<(), PartitionError> {
        self.outstanding -= appends;
        self.settle_delivered()
    }

    pub(super) fn settle_delivered(&mut self) -> Result<(), PartitionError> {
        while let Some(delivering) = self.delivering.front_mut() {
            while let Some(result) = delivering.appending.front_mut().and_then(FutureExt::now_or_never) {
                result?;
                delivering.appending.pop_front();
                self.outstanding -= 1;
            }
            if !delivering.appending.is_empty() {
                break;
            }
            self.progress.settle(delivering.command_offset, delivering.head);
            self.delivering.pop_front();
        }
        Ok(())
    }

    pub(super) async fn signal(&mut self, fetched: Vec<Fetched>) -> Result<(), PartitionError> {
        let fresh = Timestamp::now().plus(-SIGNAL_MAX_AGE_MS);
        let decode = |f: Fetched| self.shared.codec.decode::<Signal>(f.value.as_deref().unwrap_or_default()).ok();
        let signals: Vec<_> = fetched.into_iter().filter_map(decode).filter(|signal| signal.at >= fresh).collect();
        let parsed: Vec<_> =
            signals.iter().filter_map(|s| Some((A::id(&s.conversation.to_string()).ok()?, s))).collect();
        let cold: Vec<_> = parsed.iter().map(|(id, _)| *id).filter(|id| !self.owner.is_hot(*id)).collect();
        self.warm(&cold, &[]).await?;
        let most = self.shared.options.typing_members;
        for (id, signal) in parsed {
            let heard = self.owner.state(id).is_some_and(|state| A::may_signal(state, signal.actor, signal.at));
            let Some(roster) = self.owner.roster(id).filter(|roster| heard && roster.len() <= most) else { continue };
            if roster.iter().any(|hearer| hearer.user == signal.actor) {
                self.shared.router.signal(signal, &roster)?;
            }
        }
        Ok(())
    }
    pub(super) async fn bury(&mut self, fetched: Fetched, reason: String) -> Result<(), PartitionError> {
        tracing::warn!(
            topic = A::COMMANDS,
            partition = self.partition,
            offset = fetched.offset,
            reason,
            "command is a dead letter"
        );
        metrics::counter!("tidings_dead_letters_total", "topic" => A::COMMANDS).increment(1);
        let key = format!("{}/{}/{}", A::COMMANDS, self.partition, fetched.offset);
        let (topic, at) = (A::COMMANDS.to_owned(), fetched.timestamp);
        let Fetched { partition, offset, key: was_key, value, .. } = fetched;
        let letter = DeadLetter { topic, partition, offset, reason, key: was_key, value, at };
        let value = self.shared.codec.encode(&letter)?;
        self.shared.producer.append(topics::DEAD_LETTERS, 0, key.as_bytes(), Some(&value))?.await?;
        Ok(())
    }
}
