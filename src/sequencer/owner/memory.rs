//! What an owner keeps in memory: states that are in use, and the journal's tail, which the view may lack.

use std::collections::HashMap;

use super::{Flight, Hot, Outcome, Owner};
use crate::domain::Timestamp;
use crate::domain::decision::Recorded;
use crate::sequencer::aggregate::Aggregate;

impl<A: Aggregate> Owner<A> {
    /// Whether the aggregate's state is in memory.
    pub fn is_hot(&self, id: A::Id) -> bool {
        self.hot.contains_key(&id)
    }

    /// The state in memory, if it is there and the aggregate exists.
    pub fn state(&self, id: A::Id) -> Option<&A::State> {
        self.hot.get(&id)?.state.as_ref()
    }

    /// What happened at or after `offset`, which is not before [`Owner::tail_from`], oldest first; what is in flight too.
    pub(super) fn recorded_from(&self, offset: i64) -> impl Iterator<Item = (A::Id, &Recorded<A::Event>)> {
        let tail = self.tail.iter().filter(move |tail| tail.offset >= offset);
        let tail = tail.map(|tail| (tail.aggregate, &tail.recorded));
        let flying = self.flights.iter().filter_map(|flight| match flight {
            Flight::Append { command, recorded, .. } => Some((command.aggregate, recorded)),
            Flight::Answer { .. } | Flight::Skip { .. } => None,
        });
        tail.chain(flying).filter_map(|(aggregate, recorded)| Some((aggregate, recorded.as_deref()?)))
    }

    /// Takes what was looked up in the view, which is at `view_offset`, of aggregates in memory, and brings it up to date.
    /// The caller has checked that `view_offset` is from [`Owner::tail_from`] to the head.
    pub fn recall(&mut self, mut found: HashMap<A::Id, A::Found>, view_offset: i64) {
        if found.is_empty() {
            return;
        }
        for (aggregate, recorded) in self.recorded_from(view_offset) {
            if let Some(found) = found.get_mut(&aggregate) {
                A::refresh(found, recorded);
            }
        }
        for (id, found) in found {
            if let Some(state) = self.hot.get_mut(&id).and_then(|hot| hot.state.as_mut()) {
                A::recall(state, found);
            }
        }
    }

    /// Takes what the view, which is at `view_offset`, has of an aggregate, and brings it up to date from the tail.
    /// The caller has checked that `view_offset` is from [`Owner::tail_from`] to the head.
    pub fn warm(&mut self, id: A::Id, mut state: Option<A::State>, view_offset: i64) {
        debug_assert!(view_offset >= self.tail_from && view_offset <= self.head.next_offset, "the view fits the tail");
        if self.hot.contains_key(&id) {
            return;
        }
        for tail in self.tail.iter().filter(|tail| tail.offset >= view_offset && tail.aggregate == id) {
            if let Some(recorded) = &tail.recorded {
                A::evolve(&mut state, id, tail.record.tenant, recorded);
            }
        }
        self.clock += 1;
        self.hot.insert(id, Hot { state, roster: None, touched: self.clock, flights: 0 });
    }

    /// The view has everything before `view_offset`: the tail needs it no more, but for whom to tell of what is `held`.
    pub fn view_reached<'a>(&mut self, view_offset: i64, held: impl IntoIterator<Item = &'a Outcome<A>>)
    where
        A: 'a,
    {
        let untold = Self::oldest_unknown(held).into_iter().chain(Self::oldest_unknown(&self.outcomes)).min();
        let view_offset = view_offset.min(untold.unwrap_or(view_offset));
        while self.tail.front().is_some_and(|tail| tail.offset < view_offset) {
            if let Some(tail) = self.tail.pop_front() {
                self.tail_bytes -= tail.bytes;
            }
        }
        self.tail_from = self.tail_from.max(view_offset.min(self.head.next_offset));
    }

    /// Forgets retries made before `before` where the view has them, and aggregates long not used where there are too many.
    pub fn sweep(&mut self, before: Timestamp) {
        // The oldest event of each that the view may lack.
        let mut lacking: HashMap<A::Id, i64> = HashMap::new();
        for (id, recorded) in self.recorded_from(self.tail_from).filter(|(_, recorded)| recorded.position > 0) {
            lacking.entry(id).or_insert(recorded.position);
        }
        for (id, hot) in &mut self.hot {
            if let Some(state) = hot.state.as_mut() {
                A::forget(state, before, lacking.get(id).copied().unwrap_or(i64::MAX));
            }
        }
        let weight = |hot: &Hot<A>| hot.state.as_ref().map_or(1, A::weight);
        if self.hot.values().map(weight).sum::<usize>() > self.limits.hot {
            let mut touched: Vec<u64> = self.hot.values().map(|hot| hot.touched).collect();
            let middle = touched.len() / 2;
            let (_, median, _) = touched.select_nth_unstable(middle);
            let median = *median;
            self.hot.retain(|_, hot| hot.flights > 0 || hot.touched > median);
        }
    }
}
