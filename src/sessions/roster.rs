//! What the records of `sessions` amount to, without I/O.
//!
//! About 80 bytes a session before the maps' own overhead: gateways and tenants are numbers here.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::claims::{Claim, holder};
use super::entry::Entry;
use crate::codec::records::{GatewayClaim, Session};
use crate::domain::{IncarnationId, SessionId, TenantId, Timestamp, UserId};

/// A gateway incarnation and the partition of `deliveries` that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gateway {
    /// Who.
    pub incarnation: IncarnationId,
    /// Where it is sent to.
    pub partition: i32,
}

/// A user is seldom on more than two.
pub type Gateways = SmallVec<[Gateway; 2]>;

/// A session as the table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionOf {
    /// Which.
    pub session: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// The user's.
    pub tenant: TenantId,
}

/// A claim and how its gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its claim.
    pub claim: Claim,
    /// Deliveries before this offset are done with, as it said last.
    pub acked_offset: i64,
    /// When its last record was written, by the broker's clock. Not for deciding anything.
    pub renewed_at: Timestamp,
    /// When that was received, by our monotonic clock.
    pub heard: Instant,
}

impl Known {
    fn gateway(&self) -> Gateway {
        Gateway { incarnation: self.claim.incarnation, partition: self.claim.partition }
    }
}

/// An incarnation that some record names. Sessions may come before the claim: compaction leaves only the last renewal.
struct Seat {
    incarnation: IncarnationId,
    known: Option<Known>,
    holds: bool,
    sessions: u32,
}

#[derive(Clone, Copy)]
struct Place {
    user: UserId,
    seat: u32,
    tenant: u32,
}

#[derive(Clone, Copy)]
struct Count {
    seat: u32,
    sessions: u32,
}

/// What changed with a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// A session arrived at this gateway.
    pub arrived: Option<IncarnationId>,
    /// These hold nothing any more: superseded, or gone.
    pub lost: SmallVec<[IncarnationId; 1]>,
    /// A partition has another holder.
    pub holders: bool,
}

/// The table.
#[derive(Default)]
pub struct Roster {
    seats: Vec<Option<Seat>>,
    free: Vec<u32>,
    by_incarnation: HashMap<IncarnationId, u32>,
    sessions: HashMap<SessionId, Place>,
    users: HashMap<UserId, SmallVec<[Count; 2]>>,
    tenants: Vec<TenantId>,
    /// The highest of each partition, of the dead too.
    generations: HashMap<i32, i64>,
}

impl Roster {
    /// Takes in the record at `offset`, appended at `at` by the broker's clock and received `now`.
    pub fn fold(&mut self, offset: i64, at: Timestamp, entry: Entry, now: Instant) -> Folded {
        match entry {
            Entry::Began(session) => self.began(&session),
            Entry::Ended(session) => {
                self.ended(session);
                Folded::default()
            }
            Entry::Claimed(record) => self.claimed(&record, offset, at, now),
            Entry::Released(incarnation) => self.released(incarnation),
        }
    }

    fn began(&mut self, session: &Session) -> Folded {
        self.ended(session.session);
        let seat = self.seat(session.incarnation);
        let place = Place { user: session.user, seat, tenant: self.tenant(session.tenant) };
        self.sessions.insert(session.session, place);
        let counts = self.users.entry(session.user).or_default();
        match counts.iter_mut().find(|count| count.seat == seat) {
            Some(count) => count.sessions += 1,
            None => counts.push(Count { seat, sessions: 1 }),
        }
        if let Some(seat) = self.seat_mut(seat) {
            seat.sessions += 1;
        }
        Folded { arrived: Some(session.incarnation), ..Folded::default() }
    }

    fn ended(&mut self, session: SessionId) {
        let Some(place) = self.sessions.remove(&session) else { return };
        if let Some(counts) = self.users.get_mut(&place.user) {
            for count in counts.iter_mut().filter(|count| count.seat == place.seat) {
                count.sessions -= 1;
            }
            counts.retain(|count| count.sessions > 0);
            if counts.is_empty() {
                self.users.remove(&place.user);
            }
        }
        if let Some(seat) = self.seat_mut(place.seat) {
            seat.sessions -= 1;
        }
        self.forget_if_empty(place.seat);
    }

    fn claimed(&mut self, record: &GatewayClaim, offset: i64, at: Timestamp, now: Instant) -> Folded {
        let claim = Claim::of(record, offset);
        let highest = self.generations.entry(claim.partition).or_default();
        *highest = claim.generation.max(*highest);
        let number = self.seat(claim.incarnation);
        let known = Known { claim, acked_offset: record.acked_offset, renewed_at: at, heard: now };
        let before = self.seat_mut(number).and_then(|seat| seat.known.replace(known)).map(|before| before.claim);
        if before == Some(claim) {
            return Folded::default();
        }
        let mut folded = self.settle(claim.partition);
        // No gateway of ours moves, but the table must not go wrong if one does.
        if let Some(before) = before.filter(|before| before.partition != claim.partition) {
            let left = self.settle(before.partition);
            folded.lost.extend(left.lost);
            folded.holders |= left.holders;
        }
        if self.seat_mut(number).is_some_and(|seat| !seat.holds) && !folded.lost.contains(&claim.incarnation) {
            folded.lost.push(claim.incarnation);
        }
        folded
    }

    fn released(&mut self, incarnation: IncarnationId) -> Folded {
        let Some(number) = self.by_incarnation.get(&incarnation).copied() else { return Folded::default() };
        let Some(seat) = self.seat_mut(number) else { return Folded::default() };
        seat.holds = false;
        let known = seat.known.take();
        let mut folded = known.map(|known| self.settle(known.claim.partition)).unwrap_or_default();
        folded.lost.push(incarnation);
        folded.holders |= known.is_some();
        self.forget_if_empty(number);
        folded
    }

    /// Finds the holder of `partition` again.
    fn settle(&mut self, partition: i32) -> Folded {
        let claims: SmallVec<[Claim; 4]> =
            self.seats.iter().flatten().filter_map(|seat| Some(seat.known?.claim)).collect();
        let holder = holder(&claims, partition).map(|claim| claim.incarnation);
        let mut folded = Folded::default();
        for seat in self.seats.iter_mut().flatten() {
            if seat.known.is_none_or(|known| known.claim.partition != partition) {
                continue;
            }
            let holds = holder == Some(seat.incarnation);
            if seat.holds && !holds {
                folded.lost.push(seat.incarnation);
            }
            folded.holders |= seat.holds != holds;
            seat.holds = holds;
        }
        folded
    }

    fn seat(&mut self, incarnation: IncarnationId) -> u32 {
        if let Some(number) = self.by_incarnation.get(&incarnation) {
            return *number;
        }
        let seat = Some(Seat { incarnation, known: None, holds: false, sessions: 0 });
        let number = match self.free.pop() {
            Some(number) => {
                self.seats[number as usize] = seat;
                number
            }
            None => {
                self.seats.push(seat);
                (self.seats.len() - 1) as u32
            }
        };
        self.by_incarnation.insert(incarnation, number);
        number
    }

    fn seat_mut(&mut self, number: u32) -> Option<&mut Seat> {
        self.seats.get_mut(number as usize)?.as_mut()
    }

    fn seat_of(&self, incarnation: IncarnationId) -> Option<&Seat> {
        self.seats.get(*self.by_incarnation.get(&incarnation)? as usize)?.as_ref()
    }

    fn forget_if_empty(&mut self, number: u32) {
        let Some(slot) = self.seats.get_mut(number as usize) else { return };
        if let Some(seat) = slot.take_if(|seat| seat.known.is_none() && seat.sessions == 0) {
            self.by_incarnation.remove(&seat.incarnation);
            self.free.push(number);
        }
    }

    /// Tenants are few and stay.
    fn tenant(&mut self, tenant: TenantId) -> u32 {
        let at = self.tenants.iter().rposition(|known| *known == tenant).unwrap_or_else(|| {
            self.tenants.push(tenant);
            self.tenants.len() - 1
        });
        at as u32
    }

    /// The gateways that hold their partition and have sessions of `user`, each once.
    pub fn gateways_of(&self, user: UserId) -> Gateways {
        let Some(counts) = self.users.get(&user) else { return Gateways::new() };
        let seats = counts.iter().filter_map(|count| self.seats.get(count.seat as usize)?.as_ref());
        seats.filter(|seat| seat.holds).filter_map(|seat| seat.known.map(|known| known.gateway())).collect()
    }

    /// All gateways that hold their partition.
    pub fn holding(&self) -> impl Iterator<Item = &Known> {
        self.seats.iter().flatten().filter(|seat| seat.holds).filter_map(|seat| seat.known.as_ref())
    }

    /// Who holds `partition`.
    pub fn holder(&self, partition: i32) -> Option<&Known> {
        self.holding().find(|known| known.claim.partition == partition)
    }

    /// Whether `incarnation` holds a partition.
    pub fn holds(&self, incarnation: IncarnationId) -> bool {
        self.seat_of(incarnation).is_some_and(|seat| seat.holds)
    }

    /// Whether nothing was heard of `incarnation` for `patience`; also if it is not known.
    pub fn is_overdue(&self, incarnation: IncarnationId, patience: Duration, now: Instant) -> bool {
        let known = self.seat_of(incarnation).and_then(|seat| seat.known);
        known.is_none_or(|known| now.saturating_duration_since(known.heard) >= patience)
    }

    /// Those who claimed `partition`, hold it no more, and were not cleaned up after.
    pub fn superseded(&self, partition: i32) -> Vec<Known> {
        let beaten = self.seats.iter().flatten().filter(|seat| !seat.holds).filter_map(|seat| seat.known);
        beaten.filter(|known| known.claim.partition == partition).collect()
    }

    /// The highest generation that was seen for `partition`, 0 for none.
    pub fn generation(&self, partition: i32) -> i64 {
        self.generations.get(&partition).copied().unwrap_or_default()
    }

    /// The sessions of `incarnation`, which holds or not. Looks at all there are: for cleaning up.
    pub fn sessions_of(&self, incarnation: IncarnationId) -> Vec<SessionOf> {
        let Some(number) = self.by_incarnation.get(&incarnation) else { return Vec::new() };
        let places = self.sessions.iter().filter(|(_, place)| place.seat == *number);
        places
            .filter_map(|(session, place)| {
                let tenant = *self.tenants.get(place.tenant as usize)?;
                Some(SessionOf { session: *session, user: place.user, tenant })
            })
            .collect()
    }

    /// Incarnations that sessions name but that have no claim: what a gateway left that died while it was cleaned up after.
    pub fn orphans(&self) -> Vec<IncarnationId> {
        self.seats.iter().flatten().filter(|seat| seat.known.is_none()).map(|seat| seat.incarnation).collect()
    }

    /// How many sessions are known, of the dead too.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether no session is known.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}
