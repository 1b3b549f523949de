//! Who is connected where.

use serde::{Deserialize, Serialize};

use crate::domain::{DeviceId, IncarnationId, SessionId, TenantId, Timestamp, UserId};

/// A socket that said `hello`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Whose it is.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// The key of the record.
    pub session: SessionId,
    /// Which gateway holds the socket.
    pub incarnation: IncarnationId,
    /// As the client names it.
    #[serde(default)]
    pub device: Option<DeviceId>,
    /// Of `hello`, by the gateway's clock.
    pub started_at: Timestamp,
}

/// A gateway incarnation and its claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GatewayClaim {
    /// The key of the record.
    pub incarnation: IncarnationId,
    /// The partition of `deliveries` that is claimed.
    pub partition: i32,
    /// One more than that of the claim it supersedes; the highest holds the partition.
    pub generation: i64,
    /// Offset of the incarnation's first record, -1 in that record itself; among equal generations the lowest holds.
    pub claim_offset: i64,
    /// Deliveries before this offset are done with.
    pub acked_offset: i64,
}

crate::string_enum! {
    /// What a session shows.
    pub enum PresenceStatus {
        /// There.
        Online => "online",
        /// There, but not looking.
        Away => "away",
        /// There, and shown to others as offline.
        Invisible => "invisible",
        /// Not there.
        Offline => "offline",
    }
}

/// Presence of a session, or when a user was last seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Presence {
    /// Whose it is.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// Absent in the record of when the user was last seen.
    #[serde(default)]
    pub session: Option<SessionId>,
    /// Which gateway says so.
    pub incarnation: IncarnationId,
    /// What is shown.
    pub status: PresenceStatus,
    /// Since when, by the gateway's clock.
    pub at: Timestamp,
}
