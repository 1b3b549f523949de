//! The table against a naive reading of the same records.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::claims::{Claim, holder};
use super::entry::Entry;
use super::roster::{Gateway, Roster};
use crate::codec::records::{GatewayClaim, Session};
use crate::domain::{IncarnationId, SessionId, TenantId, Timestamp, UserId};

const USERS: u8 = 4;
const GATEWAYS: u8 = 5;

fn gateway(who: u8) -> IncarnationId {
    IncarnationId::from_bytes([who; 16])
}

fn user(who: u8) -> UserId {
    UserId::from_bytes([who; 16])
}

fn session_of(session: u8, user_: u8, who: u8) -> Session {
    Session {
        tenant: TenantId::from_bytes([user_ % 2; 16]),
        user: user(user_),
        session: SessionId::from_bytes([session; 16]),
        incarnation: gateway(who),
        device: None,
        started_at: Timestamp(0),
    }
}

fn claim(who: u8, partition: i32, generation: i64) -> GatewayClaim {
    GatewayClaim { incarnation: gateway(who), partition, generation, claim_offset: -1, acked_offset: 0 }
}

/// Anything in any order: the table must not depend on writers that behave.
fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let entry = prop_oneof![
        4 => (0u8..12, 0..USERS, 0..GATEWAYS).prop_map(|(s, u, g)| Entry::Began(session_of(s, u, g))),
        2 => (0u8..12).prop_map(|s| Entry::Ended(SessionId::from_bytes([s; 16]))),
        3 => (0..GATEWAYS, 0i32..2, 0i64..3).prop_map(|(g, p, n)| Entry::Claimed(claim(g, p, n))),
        1 => (0..GATEWAYS).prop_map(|g| Entry::Released(gateway(g))),
    ];
    prop::collection::vec(entry, 0..80)
}

#[derive(Default)]
struct Naive {
    sessions: HashMap<SessionId, Session>,
    claims: HashMap<IncarnationId, Claim>,
}

impl Naive {
    fn fold(&mut self, offset: i64, entry: &Entry) {
        match entry {
            Entry::Began(session) => drop(self.sessions.insert(session.session, session.clone())),
            Entry::Ended(session) => drop(self.sessions.remove(session)),
            Entry::Claimed(record) => drop(self.claims.insert(record.incarnation, Claim::of(record, offset))),
            Entry::Released(incarnation) => drop(self.claims.remove(incarnation)),
        }
    }

    fn gateways_of(&self, user: UserId) -> BTreeSet<(IncarnationId, i32)> {
        let of = self.sessions.values().filter(|session| session.user == user);
        of.filter_map(|session| {
            let claim = self.claims.get(&session.incarnation)?;
            (holder(self.claims.values(), claim.partition)? == *claim).then_some((claim.incarnation, claim.partition))
        })
        .collect()
    }
}

proptest! {
    #[test]
    fn the_table_is_what_the_records_say(entries in entries()) {
        let (mut roster, mut naive) = (Roster::default(), Naive::default());
        for (offset, entry) in (0..).zip(entries) {
            naive.fold(offset, &entry);
            let before: BTreeSet<_> = (0..GATEWAYS).map(gateway).filter(|g| roster.holds(*g)).collect();
            let folded = roster.fold(offset, Timestamp(0), entry, Instant::now());
            for who in 0..USERS {
                let found = roster.gateways_of(user(who));
                let set: BTreeSet<_> = found.iter().map(|g| (g.incarnation, g.partition)).collect();
                prop_assert_eq!(set.len(), found.len(), "each gateway once");
                prop_assert_eq!(set, naive.gateways_of(user(who)));
            }
            for lost in before.into_iter().filter(|g| !roster.holds(*g)) {
                prop_assert!(folded.lost.contains(&lost), "whoever holds no more is told");
            }
            prop_assert_eq!(roster.len(), naive.sessions.len());
        }
        let by_gateway: BTreeMap<_, _> =
            (0..GATEWAYS).map(|g| (g, roster.sessions_of(gateway(g)).len())).collect();
        for (who, count) in by_gateway {
            prop_assert_eq!(count, naive.sessions.values().filter(|s| s.incarnation == gateway(who)).count());
        }
    }
}

#[test]
fn sessions_before_the_claim_count_when_it_comes() {
    let mut roster = Roster::default();
    let now = Instant::now();
    roster.fold(0, Timestamp(0), Entry::Began(session_of(1, 1, 1)), now);
    assert!(roster.gateways_of(user(1)).is_empty());
    roster.fold(1, Timestamp(0), Entry::Claimed(claim(1, 7, 1)), now);
    assert_eq!(roster.gateways_of(user(1)).to_vec(), [Gateway { incarnation: gateway(1), partition: 7 }]);
}

#[test]
fn an_overdue_gateway_is_sent_to_until_it_is_superseded() {
    let mut roster = Roster::default();
    let start = Instant::now();
    let patience = Duration::from_secs(10);
    roster.fold(0, Timestamp(0), Entry::Claimed(claim(1, 0, 1)), start);
    roster.fold(1, Timestamp(0), Entry::Began(session_of(1, 1, 1)), start);
    let later = start + patience;
    assert!(roster.is_overdue(gateway(1), patience, later));
    assert_eq!(roster.gateways_of(user(1)).len(), 1);
    let folded = roster.fold(2, Timestamp(0), Entry::Claimed(claim(2, 0, 2)), later);
    assert_eq!(folded.lost.to_vec(), [gateway(1)]);
    assert!(roster.gateways_of(user(1)).is_empty());
    assert_eq!(roster.superseded(0).len(), 1);
    assert_eq!(roster.sessions_of(gateway(1)).len(), 1);
}

#[test]
fn a_claim_that_comes_second_is_told_so_at_once() {
    let mut roster = Roster::default();
    let now = Instant::now();
    assert!(roster.fold(0, Timestamp(0), Entry::Claimed(claim(1, 0, 1)), now).lost.is_empty());
    let folded = roster.fold(1, Timestamp(0), Entry::Claimed(claim(2, 0, 1)), now);
    assert_eq!(folded.lost.to_vec(), [gateway(2)]);
    assert!(roster.holds(gateway(1)));
    assert_eq!(roster.generation(0), 1);
}
