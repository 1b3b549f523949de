//! One conversation's events, put in order of position: each exactly once, whatever is lost, doubled or late on the
//! way. No I/O: it says what is missing, and is told what was fetched.

use std::collections::BTreeMap;

/// Events that wait for a gap to close. What comes beyond is dropped here and fetched with the gap.
const WAITING_LIMIT: usize = 1_000;

/// The state of one conversation.
///
/// A followed timeline has no holes: an event that comes too early waits until [`Timeline::missing`] was fetched. One
/// that is not followed hands out what comes, in order, and skips what is missing.
#[derive(Clone, Debug)]
pub struct Timeline<T> {
    /// The last position handed out; `None` until the first is seen.
    position: Option<u64>,
    /// The greatest position heard of.
    known: u64,
    waiting: BTreeMap<u64, T>,
    followed: bool,
}

impl<T> Timeline<T> {
    /// Starts at the first position that it hears of.
    pub fn new(followed: bool) -> Self {
        Self { position: None, known: 0, waiting: BTreeMap::new(), followed }
    }

    /// The last position handed out.
    pub fn position(&self) -> Option<u64> {
        self.position
    }

    /// Whether gaps are closed.
    pub fn is_followed(&self) -> bool {
        self.followed
    }

    /// From now on every event after `after` is handed out, without a hole.
    pub fn follow(&mut self, after: u64) {
        self.followed = true;
        self.known = self.known.max(self.position.unwrap_or(0)).max(after);
        self.position = Some(after);
        self.waiting.retain(|position, _| *position > after);
    }

    /// Gaps no longer matter.
    pub fn unfollow(&mut self) {
        self.followed = false;
        self.position = self.position.map(|position| position.max(self.known));
        self.waiting.clear();
    }

    /// The log itself went back to `position` (a restore): what was known after it is void.
    pub fn restart(&mut self, position: u64) {
        self.position = Some(position);
        self.known = position;
        self.waiting.clear();
    }

    /// An event was pushed. Returns what can be handed out.
    pub fn push(&mut self, position: u64, event: T) -> Vec<T> {
        let last = *self.position.get_or_insert(position.saturating_sub(1));
        if position <= last {
            return Vec::new();
        }
        self.known = self.known.max(position);
        if !self.followed {
            self.position = Some(position);
            return vec![event];
        }
        if position == last + 1 || self.waiting.len() < WAITING_LIMIT {
            self.waiting.insert(position, event);
        }
        self.contiguous(last)
    }

    /// The server says that the conversation has got to `last_position`. False: that is older than what is here.
    pub fn announce(&mut self, last_position: u64) -> bool {
        let here = *self.position.get_or_insert(last_position);
        self.known = self.known.max(last_position);
        if !self.followed {
            self.position = Some(here.max(last_position));
        }
        last_position >= here
    }

    /// The position after which events must be fetched, if any are missing.
    pub fn missing(&self) -> Option<u64> {
        self.position.filter(|position| self.followed && *position < self.known)
    }

    /// A page of fetched events, oldest first. It covers every position up to its last one, or, being empty, up to
    /// `last_position`; a covered position that is absent was removed. Returns what can be handed out.
    pub fn page(&mut self, events: Vec<(u64, T)>, last_position: u64) -> Vec<T> {
        let last = self.position.unwrap_or(0);
        let covered = events.last().map_or(last_position, |(position, _)| *position).max(last);
        for (position, event) in events {
            if position > last {
                self.waiting.entry(position).or_insert(event);
            }
        }
        self.known = self.known.max(last_position);
        let rest = self.waiting.split_off(&(covered + 1));
        let mut ready: Vec<T> = std::mem::replace(&mut self.waiting, rest).into_values().collect();
        ready.extend(self.contiguous(covered));
        ready
    }

    /// What is missing cannot be had (no longer a member, say). Goes on after the hole; returns its bounds, exclusive
    /// and inclusive, and what can be handed out.
    pub fn give_up(&mut self) -> Option<(u64, u64, Vec<T>)> {
        let after = self.missing()?;
        let to = self.waiting.first_key_value().map_or(self.known, |(first, _)| first - 1);
        let ready = self.contiguous(to);
        Some((after, to, ready))
    }

    /// Takes what follows `last` without a hole, and moves there.
    fn contiguous(&mut self, mut last: u64) -> Vec<T> {
        let mut ready = Vec::new();
        while let Some(event) = self.waiting.remove(&(last + 1)) {
            ready.push(event);
            last += 1;
        }
        self.position = Some(last);
        self.known = self.known.max(last);
        ready
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_gap_holds_back_what_comes_after_it() {
        let mut timeline = Timeline::new(true);
        timeline.follow(4);
        assert_eq!(timeline.push(5, 5), [5]);
        assert_eq!(timeline.push(8, 8), [0; 0]);
        assert_eq!(timeline.missing(), Some(5));
        assert_eq!(timeline.page(vec![(6, 6), (7, 7)], 8), [6, 7, 8]);
        assert_eq!(timeline.missing(), None);
        assert_eq!(timeline.push(8, 8), [0; 0]);
    }

    #[test]
    fn removed_positions_close_the_gap_too() {
        let mut timeline = Timeline::new(true);
        timeline.follow(1);
        assert!(timeline.announce(9));
        assert_eq!(timeline.page(vec![(4, 4), (9, 9)], 9), [4, 9]);
        assert_eq!((timeline.position(), timeline.missing()), (Some(9), None));
    }

    #[test]
    fn a_hole_that_cannot_be_filled_is_named() {
        let mut timeline = Timeline::new(true);
        timeline.follow(1);
        timeline.push(5, 5);
        assert_eq!(timeline.give_up(), Some((1, 4, vec![5])));
        assert_eq!(timeline.give_up(), None);
    }

    #[test]
    fn without_following_holes_are_skipped() {
        let mut timeline = Timeline::new(false);
        assert_eq!(timeline.push(5, 5), [5]);
        assert_eq!(timeline.push(9, 9), [9]);
        assert!(!timeline.announce(8));
        assert!(timeline.announce(12));
        assert_eq!(timeline.push(12, 12), [0; 0]);
        assert_eq!(timeline.missing(), None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Push the n-th next event of the log, or not; `again` pushes an old one.
        Push {
            lost: bool,
            again: u64,
        },
        Announce,
        /// Fetch `size` events from a view that is `lag` positions behind.
        Fetch {
            size: usize,
            lag: u64,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (any::<bool>(), 0u64..9).prop_map(|(lost, again)| Step::Push { lost, again }),
            1 => Just(Step::Announce),
            2 => (1usize..6, 0u64..5).prop_map(|(size, lag)| Step::Fetch { size, lag }),
        ]
    }

    /// Events after `position` as a server whose view has reached `reached` gives them.
    fn fetch(log: &[u64], position: u64, size: usize, reached: u64) -> Vec<(u64, u64)> {
        log.iter().filter(|p| **p > position && **p <= reached).take(size).map(|p| (*p, *p)).collect()
    }

    proptest! {
        /// Whatever is lost, doubled, removed or late: each event that exists is handed out once, in order.
        #[test]
        fn hands_out_each_event_once_in_order(
            steps in prop::collection::vec(step(), 0..80),
            removed in prop::collection::btree_set(1u64..80, 0..20),
        ) {
            let mut timeline = Timeline::new(true);
            timeline.follow(0);
            let (mut seen, mut pushed) = (Vec::new(), 0u64);
            // Removed after they were pushed: a push may bring them, a fetch does not.
            for step in steps {
                let newest = pushed;
                let log = |upto: u64| -> Vec<u64> { (1..=upto).filter(|p| *p == upto || !removed.contains(p)).collect() };
                match step {
                    Step::Push { lost, again } => {
                        pushed += 1;
                        if !lost { seen.extend(timeline.push(pushed, pushed)); }
                        let old = pushed.saturating_sub(again).max(1);
                        if old < pushed && !removed.contains(&old) && again > 0 { seen.extend(timeline.push(old, old)); }
                    }
                    Step::Announce => { timeline.announce(newest); }
                    Step::Fetch { size, lag } => {
                        if let Some(after) = timeline.missing() {
                            let reached = newest.saturating_sub(lag);
                            seen.extend(timeline.page(fetch(&log(newest), after, size, reached), reached));
                        }
                    }
                }
            }
            timeline.announce(pushed);
            let log: Vec<u64> = (1..=pushed).filter(|p| *p == pushed || !removed.contains(p)).collect();
            let mut rounds = 0;
            while let Some(after) = timeline.missing() {
                seen.extend(timeline.page(fetch(&log, after, 7, pushed), pushed));
                rounds += 1;
                prop_assert!(rounds < 100, "no progress");
            }
            prop_assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "not in order, or twice: {seen:?}");
            let kept: Vec<u64> = log.iter().copied().filter(|p| !removed.contains(p)).collect();
            prop_assert!(kept.iter().all(|p| seen.contains(p)), "lost: {seen:?} of {kept:?}");
        }
    }
}
