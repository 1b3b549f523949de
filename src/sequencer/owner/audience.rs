//! Who hears of an event: the members of its time.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Hot, Outcome, Owner};
use crate::domain::UserId;
use crate::domain::decision::Recorded;
use crate::sequencer::aggregate::{Aggregate, Hears, RosterChange};

/// Who hears of an event.
#[derive(Clone, Debug)]
pub enum Audience {
    /// These, and then these.
    Known(Arc<[UserId]>, Vec<UserId>),
    /// Adopted from the log: to be found from the state.
    Unknown,
}

impl<A: Aggregate> Owner<A> {
    /// Who hears of the event adopted from `offset`: the members as of then, and those it removed. None if the state is cold.
    pub fn audience(&mut self, id: A::Id, offset: i64, recorded: Option<&Recorded<A::Event>>) -> Option<Audience> {
        let mut roster = self.hot.get_mut(&id)?.roster();
        let Some(recorded) = recorded else { return Some(Audience::Known(Arc::default(), Vec::new())) };
        let since = self.recorded_from(offset + 1).filter(|(aggregate, _)| *aggregate == id);
        let changes: Vec<_> = since
            .map(|(_, later)| later)
            .map(|later| A::roster_change(&later.event))
            .filter(|c| !c.is_none())
            .collect();
        if !changes.is_empty() {
            let mut then: HashSet<UserId> = roster.iter().copied().collect();
            for RosterChange { joined, left } in changes.into_iter().rev() {
                then.retain(|user| !joined.contains(user));
                then.extend(left);
            }
            roster = then.into_iter().collect();
        }
        Some(audience::<A>(roster, recorded, self.limits.crowd))
    }

    /// The oldest outcome whose audience is not known yet, by its offset in the journal.
    pub(super) fn oldest_unknown<'a>(held: impl IntoIterator<Item = &'a Outcome<A>>) -> Option<i64> {
        let mut unknown = held.into_iter().filter(|outcome| matches!(outcome.audience, Audience::Unknown));
        unknown.find_map(|outcome| outcome.accepted.as_ref().map(|counted| counted.offset))
    }

    /// The members now, if the state is hot.
    pub fn roster(&mut self, id: A::Id) -> Option<Arc<[UserId]>> {
        self.hot.get_mut(&id).map(Hot::roster)
    }
}

impl<A: Aggregate> Hot<A> {
    pub(super) fn roster(&mut self) -> Arc<[UserId]> {
        let state = self.state.as_ref();
        Arc::clone(self.roster.get_or_insert_with(|| state.map(A::roster).unwrap_or_default().into()))
    }

    pub(super) fn evolved(&mut self, event: &A::Event) {
        if !A::roster_change(event).is_none() {
            self.roster = None;
        }
    }

    pub(super) fn audience(&mut self, recorded: &Recorded<A::Event>, crowd: usize) -> Audience {
        let roster = self.roster();
        audience::<A>(roster, recorded, crowd)
    }
}

/// Who hears of an event with `roster` after it.
fn audience<A: Aggregate>(roster: Arc<[UserId]>, recorded: &Recorded<A::Event>, crowd: usize) -> Audience {
    match A::hears(&recorded.event) {
        Hears::Actor => Audience::Known(Arc::default(), vec![recorded.actor]),
        Hears::Few if roster.len() > crowd => Audience::Known(Arc::default(), vec![recorded.actor]),
        Hears::Few | Hears::Everyone => Audience::Known(roster, A::roster_change(&recorded.event).left),
    }
}
