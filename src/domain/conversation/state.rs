//! What must be known of a conversation to decide.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::command::Input;
use super::event::{Invite, Settings};
use super::known::Known;
use super::report::Reports;
use crate::domain::decision::Done;
use crate::domain::policy::{self, Action, Blocked, ConversationKind, History, JoinRule, Reported, Role, Standing};
use crate::domain::{ConversationId, InviteId, Rejection, TenantId, Timestamp, UserId};

/// A conversation's members and counters, and what is known of its messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Direct, group or channel.
    pub kind: ConversationKind,
    /// Present members.
    pub members: HashMap<UserId, Member>,
    /// The slot of the next member.
    pub next_slot: i64,
    /// The newest event of the timeline.
    pub last_position: i64,
    /// The newest message.
    pub last_seq: i64,
    /// The time of the newest event.
    pub last_at: Timestamp,
    /// What new members see of what was said before they came.
    pub history: History,
    /// How one becomes a member without being added.
    pub join: JoinRule,
    /// Whether only owners and admins write.
    pub frozen: bool,
    /// How long members wait between two messages, in milliseconds.
    pub slow_mode_ms: i64,
    /// Who may not come back, until when.
    pub bans: HashMap<UserId, Timestamp>,
    /// Who may only read, until when, members or not: leaving and coming back changes nothing.
    pub mutes: HashMap<UserId, Timestamp>,
    /// Invitations that were not revoked.
    pub invites: BTreeMap<InviteId, Invitation>,
    /// Who asks to be added.
    pub requests: BTreeSet<UserId>,
    /// Pinned messages.
    pub pins: BTreeSet<i64>,
    /// Single messages and sends.
    pub known: Known,
}

/// An invitation and how often it was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// As it was made.
    pub invite: Invite,
    /// How many came.
    pub uses: i64,
}

impl Invitation {
    /// Whether somebody may come with it at `at`.
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.invite.expires_at.is_none_or(|expires_at| expires_at > at)
            && self.invite.max_uses.is_none_or(|max_uses| self.uses < max_uses)
    }
}

/// A member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Standing.
    pub role: Role,
    /// Number in the roster.
    pub slot: i64,
    /// The newest message when it came.
    pub joined_seq: i64,
    /// The newest message read.
    pub read_seq: i64,
    /// The newest message that reached a device.
    pub delivered_seq: i64,
    /// Whether it writes with the other of a direct conversation no more.
    pub blocks: bool,
    /// When it sent its newest message.
    pub last_sent_at: Option<Timestamp>,
    /// How it sees the conversation.
    pub settings: Settings,
}

impl Member {
    /// One that has just come, and has nothing to read up to `read_seq`.
    pub fn new(role: Role, slot: i64, read_seq: i64) -> Self {
        let settings = Settings::default();
        Self {
            role,
            slot,
            joined_seq: read_seq,
            read_seq,
            delivered_seq: read_seq,
            blocks: false,
            last_sent_at: None,
            settings,
        }
    }
}

impl Conversation {
    /// How `user` stands to it at `at`.
    pub fn standing(&self, user: UserId, at: Timestamp) -> Standing {
        Standing {
            role: self.role(user),
            join: self.join,
            frozen: self.frozen,
            muted_until: self.mutes.get(&user).copied(),
            banned_until: self.bans.get(&user).copied(),
            blocked: self.blocked(user),
            at,
            ..Standing::new(self.kind, None)
        }
    }

    /// How who asks stands to it.
    pub fn standing_of(&self, input: &Input) -> Standing {
        Standing { moderator: input.moderator, ..self.standing(input.actor, input.at) }
    }

    /// The same to message `seq`, which the shell has looked up.
    pub fn standing_to(&self, input: &Input, seq: i64) -> Standing {
        let reported = self.known.reports.get(&seq).is_some_and(Reports::are_any);
        let reported = if reported { Reported::Itself } else { Reported::No };
        Standing { reported, ..self.standing_of(input) }
    }

    /// Whether `user` and the other of a direct conversation write with each other.
    fn blocked(&self, user: UserId) -> Option<Blocked> {
        if self.kind != ConversationKind::Direct {
            return None;
        }
        let mut blockers = self.members.iter().filter(|(_, member)| member.blocks).map(|(blocker, _)| *blocker);
        let blocks = self.members.get(&user).is_some_and(|member| member.blocks);
        Blocked::of(blocks, blockers.any(|blocker| blocker != user))
    }

    /// The role of `user`; none: no member.
    pub fn role(&self, user: UserId) -> Option<Role> {
        self.members.get(&user).map(|member| member.role)
    }

    /// Whether who asks may do `action` here.
    ///
    /// # Errors
    /// As [`policy::allow`].
    pub fn allow(&self, input: &Input, action: Action) -> Result<(), Rejection> {
        policy::allow(self.standing_of(input), action)
    }

    /// Whether who asks may do `action` to somebody with the role `target`.
    ///
    /// # Errors
    /// As [`policy::allow`].
    pub fn allow_to(&self, input: &Input, target: Option<Role>, action: Action) -> Result<(), Rejection> {
        policy::allow(self.standing_of(input).towards(target), action)
    }

    /// Whether `user` may see message `seq`: it is there, and was not sent before the user came where that is hidden.
    pub fn shows(&self, user: UserId, seq: i64) -> bool {
        let joined = self.members.get(&user).map_or(i64::MAX, |member| member.joined_seq);
        seq > self.history.hidden_up_to(joined) && seq <= self.last_seq
    }

    /// Whether who asks may name message `seq`: as [`Conversation::shows`], and any that is there if it asks as a moderator.
    pub fn shows_to(&self, input: &Input, seq: i64) -> bool {
        (input.moderator && (1..=self.last_seq).contains(&seq)) || self.shows(input.actor, seq)
    }

    /// The answer to a change that is in effect already.
    pub fn already(&self) -> Done {
        Done { position: self.last_position, seq: 0, at: self.last_at, duplicate: true }
    }
}
