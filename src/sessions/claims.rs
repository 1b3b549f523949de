//! Who holds a partition of `deliveries`.

use crate::codec::records::GatewayClaim;
use crate::domain::IncarnationId;

/// What a gateway incarnation claims: the same in its first record and in every renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub incarnation: IncarnationId,
    /// The partition of `deliveries`.
    pub partition: i32,
    /// One more than that of the claim it supersedes.
    pub generation: i64,
    /// Offset of the incarnation's first record.
    pub claim_offset: i64,
}

impl Claim {
    /// Of a record that stands at `offset`: the first one cannot know where it stands.
    pub fn of(record: &GatewayClaim, offset: i64) -> Self {
        let claim_offset = if record.claim_offset < 0 { offset } else { record.claim_offset };
        Self {
            incarnation: record.incarnation,
            partition: record.partition,
            generation: record.generation,
            claim_offset,
        }
    }

    /// Whether this claim goes before `other`, of the same partition.
    ///
    /// The highest generation does; among equal ones the first in the log. Every record of an incarnation tells the same of it, so
    /// readers agree whatever compaction has taken from some of them: it leaves each key's last record.
    pub fn beats(&self, other: &Self) -> bool {
        debug_assert_eq!(self.partition, other.partition, "only claims of one partition compete");
        (self.generation, -self.claim_offset) > (other.generation, -other.claim_offset)
    }
}

/// Who holds `partition`, by the last record of every incarnation that has no tombstone.
pub fn holder<'a>(claims: impl IntoIterator<Item = &'a Claim>, partition: i32) -> Option<Claim> {
    let competing = claims.into_iter().filter(|claim| claim.partition == partition);
    competing.copied().reduce(|best, claim| if claim.beats(&best) { claim } else { best })
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    /// A step of one of a few incarnations: its first record, a renewal, or its tombstone, whichever is next.
    fn steps() -> impl Strategy<Value = Vec<(u8, i32, i64, bool)>> {
        prop::collection::vec((0u8..6, 0i32..2, 0i64..3, prop::bool::weighted(0.2)), 1..60)
    }

    type Log = Vec<(i64, IncarnationId, Option<GatewayClaim>)>;

    fn log(steps: Vec<(u8, i32, i64, bool)>) -> Log {
        let mut claimed: HashMap<IncarnationId, GatewayClaim> = HashMap::new();
        let mut released = HashSet::new();
        let mut log = Vec::new();
        for (offset, (who, partition, generation, release)) in (0..).zip(steps) {
            let incarnation = IncarnationId::from_bytes([who; 16]);
            if released.contains(&incarnation) {
                continue;
            }
            if release && claimed.contains_key(&incarnation) {
                released.insert(incarnation);
                log.push((offset, incarnation, None));
                continue;
            }
            let first = GatewayClaim { incarnation, partition, generation, claim_offset: -1, acked_offset: 0 };
            let record = claimed.entry(incarnation).or_insert(first);
            log.push((offset, incarnation, Some(record.clone())));
            record.claim_offset = if record.claim_offset < 0 { offset } else { record.claim_offset };
        }
        log
    }

    fn holders(log: &Log) -> [Option<Claim>; 2] {
        let mut last = HashMap::new();
        for (offset, incarnation, record) in log {
            match record {
                Some(record) => last.insert(*incarnation, Claim::of(record, *offset)),
                None => last.remove(incarnation),
            };
        }
        [0, 1].map(|partition| holder(last.values(), partition))
    }

    proptest! {
        /// Compaction may take any record that is not the last of its key, and tombstones.
        #[test]
        fn compaction_changes_no_holder(steps in steps(), taken in prop::collection::vec(any::<bool>(), 60)) {
            let log = log(steps);
            let is_last = |at: usize| log[at + 1..].iter().all(|later| later.1 != log[at].1);
            let stays = |at: usize| !taken[at] || (is_last(at) && log[at].2.is_some());
            // A tombstone goes only after what it removes has gone.
            let gone: HashSet<_> = (0..log.len()).filter(|at| !stays(*at) && log[*at].2.is_none()).map(|at| log[at].1).collect();
            let compacted = (0..log.len()).filter(|at| stays(*at) && !gone.contains(&log[*at].1)).map(|at| log[at].clone()).collect();
            prop_assert_eq!(holders(&compacted), holders(&log));
        }
    }

    #[test]
    fn of_equal_generations_the_first_in_the_log_holds() {
        let claim = |who, generation, claim_offset| Claim {
            incarnation: IncarnationId::from_bytes([who; 16]),
            partition: 0,
            generation,
            claim_offset,
        };
        let (first, second, higher) = (claim(1, 4, 10), claim(2, 4, 11), claim(3, 5, 12));
        assert_eq!(holder([&second, &first], 0), Some(first));
        assert_eq!(holder([&first, &higher, &second], 0), Some(higher));
        assert_eq!(holder([&first], 1), None);
    }
}
