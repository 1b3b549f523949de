//! Who hears of an event: the members of its time.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Hot, Outcome, Owner};
use crate::domain::UserId;
use crate::domain::decision::Recorded;
use crate::sequencer::aggregate::{Aggregate, Hearer, Hears, RosterChange};

/// Who hears of an event.
#[derive(Clone, Debug)]
pub enum Audience {
    /// These, and others who are not among them.
    Known(Arc<[Hearer]>, Vec<UserId>),
    /// Adopted from the log: to be found from the state.
    Unknown,
}

impl<A: Aggregate> Owner<A> {
    /// Who hears of the event adopted from `offset`: the members as of then, and those it removed. None if the state is cold.
    pub fn audience(&mut self, id: A::Id, offset: i64, recorded: Option<&Recorded<A::Event>>) -> Option<Audience> {
        let roster = self.hot.get_mut(&id)?.roster();
        let Some(recorded) = recorded else { return Some(Audience::Known(Arc::default(), Vec::new())) };
        let since = self.recorded_from(offset + 1).filter(|(aggregate, _)| *aggregate == id);
        let changes: Vec<_> = since
            .map(|(_, later)| later)
            .map(|later| A::roster_change(&later.event))
            .filter(|c| !c.is_none())
            .collect();
        let (roster, gone) = if changes.is_empty() { (roster, Vec::new()) } else { before(&changes, &roster) };
        Some(audience::<A>(roster, gone, recorded, self.limits.crowd))
    }

    /// The oldest outcome whose audience is not known yet, by its offset in the journal.
    pub(super) fn oldest_unknown<'a>(held: impl IntoIterator<Item = &'a Outcome<A>>) -> Option<i64> {
        let mut unknown = held.into_iter().filter(|outcome| matches!(outcome.audience, Audience::Unknown));
        unknown.find_map(|outcome| outcome.accepted.as_ref().map(|counted| counted.offset))
    }

    /// The members now, if the state is hot.
    pub fn roster(&mut self, id: A::Id) -> Option<Arc<[Hearer]>> {
        self.hot.get_mut(&id).map(Hot::roster)
    }
}

impl<A: Aggregate> Hot<A> {
    pub(super) fn roster(&mut self) -> Arc<[Hearer]> {
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
        audience::<A>(roster, Vec::new(), recorded, crowd)
    }
}

/// Who hears of an event with `roster` after it, and those who have `gone` since.
fn audience<A: Aggregate>(
    roster: Arc<[Hearer]>,
    mut gone: Vec<UserId>,
    recorded: &Recorded<A::Event>,
    crowd: usize,
) -> Audience {
    match A::hears(&recorded.event) {
        Hears::Actor => Audience::Known(Arc::default(), vec![recorded.actor]),
        Hears::Few if roster.len() + gone.len() > crowd => Audience::Known(Arc::default(), vec![recorded.actor]),
        Hears::Few | Hears::Everyone => {
            let mut left = A::roster_change(&recorded.event).left;
            // Somebody who left may be back.
            if !left.is_empty() {
                let back: HashSet<UserId> = roster.iter().map(|hearer| hearer.user).collect();
                left.retain(|user| !back.contains(user));
            }
            gone.extend(left);
            Audience::Known(roster, gone)
        }
    }
}

/// The roster before `changes`, oldest first, that made it `roster`: who is still there, and who has gone.
fn before(changes: &[RosterChange], roster: &[Hearer]) -> (Arc<[Hearer]>, Vec<UserId>) {
    let (mut came, mut gone) = (HashSet::new(), HashSet::new());
    for RosterChange { joined, left } in changes.iter().rev() {
        for user in joined {
            gone.remove(user);
            came.insert(*user);
        }
        for user in left {
            came.remove(user);
            gone.insert(*user);
        }
    }
    let still: Arc<[Hearer]> = roster.iter().filter(|hearer| !came.contains(&hearer.user)).copied().collect();
    for hearer in &*still {
        gone.remove(&hearer.user);
    }
    (still, gone.into_iter().collect())
}
