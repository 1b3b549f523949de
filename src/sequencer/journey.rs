//! Which gateways an event goes to, with which recipients, and whom it reaches nowhere.
//!
//! A gateway is sent the ids of its recipients and not their slots: that would need the roster there, and every change of it, to save
//! little beside what the sockets cost (`docs/decisions/012-lists-to-gateways-slots-to-the-push-worker.md`).

use bytes::Bytes;
use roaring::RoaringBitmap;

use super::aggregate::Hearer;
use crate::domain::UserId;
use crate::sessions::{Gateway, Look, SessionTable};

/// With more members than this one notification is for all.
pub const CROWD: usize = 1_000;
/// Users looked up under one lock of the sessions.
const LOOKED_UP: usize = 4_096;
/// A delivery has at most so many recipients, 64 kB of them: a gateway does other things between two.
const MOST_RECIPIENTS: usize = 4_096;
const ID_BYTES: usize = size_of::<UserId>();

/// Where an event goes.
#[derive(Default)]
pub struct Journey {
    /// One a gateway.
    pub stops: Vec<Stop>,
    /// Whom it reaches nowhere.
    pub offline: Offline,
}

/// The recipients at one gateway.
pub struct Stop {
    pub gateway: Gateway,
    /// Silent for a while: it may live, so it is sent to, and may not, so its users are notified as well.
    overdue: bool,
    /// The bits of their ids.
    pub recipients: Vec<u8>,
}

/// Whom an event reaches nowhere that is surely alive.
#[derive(Default)]
pub struct Offline {
    /// These.
    pub each: Vec<UserId>,
    /// And of a crowd all but those with these slots.
    pub reached: Option<RoaringBitmap>,
}

impl Journey {
    /// Takes in who hears of the event: the members, and others who are none now.
    pub fn board(&mut self, sessions: &SessionTable, members: &[Hearer], others: &[UserId]) {
        let mut reached = (members.len() > CROWD).then(RoaringBitmap::new);
        for some in members.chunks(LOOKED_UP) {
            sessions.look(|look| {
                for member in some {
                    match (self.board_one(look, member.user), &mut reached) {
                        (true, Some(slots)) => drop(slots.insert(member.slot)),
                        (false, None) => self.offline.each.push(member.user),
                        (true, None) | (false, Some(_)) => {}
                    }
                }
            });
        }
        for some in others.chunks(LOOKED_UP) {
            sessions.look(|look| {
                for user in some {
                    if !self.board_one(look, *user) {
                        self.offline.each.push(*user);
                    }
                }
            });
        }
        self.offline.reached = reached;
    }

    /// Goes by a gateway where somebody waits for an answer.
    pub fn pass(&mut self, gateway: Gateway) {
        if !self.stops.iter().any(|stop| stop.gateway == gateway) {
            self.stops.push(Stop { gateway, overdue: false, recipients: Vec::new() });
        }
    }

    /// Whether `user` is anywhere that is surely alive.
    fn board_one(&mut self, look: &Look<'_>, user: UserId) -> bool {
        let mut reached = false;
        for gateway in look.gateways_of(user) {
            let index = self.stops.iter().position(|stop| stop.gateway == gateway).unwrap_or_else(|| {
                let overdue = look.is_overdue(gateway.incarnation);
                self.stops.push(Stop { gateway, overdue, recipients: Vec::new() });
                self.stops.len() - 1
            });
            self.stops[index].recipients.extend_from_slice(user.as_bytes());
            reached |= !self.stops[index].overdue;
        }
        reached
    }
}

impl Stop {
    /// The recipients, so many that a delivery may have them; at least one part, be it empty.
    pub fn parts(self) -> impl Iterator<Item = Bytes> {
        let all = Bytes::from(self.recipients);
        let part = MOST_RECIPIENTS * ID_BYTES;
        let starts = (0..all.len().max(1)).step_by(part);
        starts.map(move |start| all.slice(start..all.len().min(start + part)))
    }
}
