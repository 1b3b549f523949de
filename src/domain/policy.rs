//! Who may do what in a conversation. The only place where that is decided: `decide` asks here for
//! commands, the gateway for reads.

mod allow;
mod sight;

use super::Timestamp;

pub use allow::{allow, may_ask, moderates};
pub use sight::{Relation, ShownTo, Sight, sight};

crate::string_enum! {
    /// What sort of conversation it is; it never changes.
    pub enum ConversationKind {
        /// Exactly two people, for ever.
        Direct => "direct",
        /// By invitation of its owners and admins.
        Group => "group",
        /// Anybody of the tenant may join.
        Channel => "channel",
    }
}

crate::string_enum! {
    /// A member's standing. The order is that of rank, highest first.
    pub enum Role {
        /// May do everything.
        Owner => "owner",
        /// Manages members below its own rank.
        Admin => "admin",
        /// Sends and reads.
        Member => "member",
        /// Sends and reads, and calls nobody but by name.
        Guest => "guest",
    }
}

crate::string_enum! {
    /// What members see of what was said before they came.
    pub enum History {
        /// Everything.
        All => "all",
        /// Nothing.
        SinceJoin => "since_join",
    }
}

crate::string_enum! {
    /// How one becomes a member without being added.
    pub enum JoinRule {
        /// Anybody of the tenant may.
        Open => "open",
        /// Anybody of the tenant may ask to be added.
        Request => "request",
        /// Nobody may.
        Closed => "closed",
    }
}

/// How a message stands to what members have reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reported {
    /// Nothing near it waits for a moderator.
    #[default]
    No,
    /// Something near it does.
    Nearby,
    /// It was reported itself.
    Itself,
}

/// How many messages before and after one are near it.
pub const NEARBY: i64 = 20;

impl JoinRule {
    /// Where nobody has said otherwise.
    pub const fn of(kind: ConversationKind) -> Self {
        match kind {
            ConversationKind::Channel => Self::Open,
            ConversationKind::Direct | ConversationKind::Group => Self::Closed,
        }
    }
}

crate::string_enum! {
    /// What somebody wants to do. Removing, banning, silencing and giving a role depend on who it is done to: [`Standing::target`].
    pub enum Action {
        /// See messages, events, members; be pushed to; move one's own pointers; type.
        View => "view",
        /// Send a message.
        Send => "send",
        /// Mention everybody in a message: `all` or `here`.
        MentionAll => "mention_all",
        /// React to messages.
        React => "react",
        /// Change a message of one's own.
        EditOwn => "edit_own",
        /// Change the message of another.
        EditOthers => "edit_others",
        /// Remove a message of one's own for everyone.
        DeleteOwn => "delete_own",
        /// Remove the message of another.
        DeleteOthers => "delete_others",
        /// Pin and unpin messages.
        Pin => "pin",
        /// Change name, topic, picture and rules.
        Update => "update",
        /// Add others.
        AddMembers => "add_members",
        /// Remove a member.
        RemoveMember => "remove_member",
        /// Remove somebody and keep it out.
        Ban => "ban",
        /// Let a member only read.
        Mute => "mute",
        /// Give a member [`Standing::wanted_role`].
        SetRole => "set_role",
        /// Become a member oneself.
        Join => "join",
        /// Become one with the link of an invitation.
        JoinByInvite => "join_by_invite",
        /// Ask to be added.
        RequestToJoin => "request_to_join",
        /// Stop being one.
        Leave => "leave",
        /// Change only whether the conversation is frozen.
        Freeze => "freeze",
        /// Tell the tenant's moderators of a message.
        Report => "report",
        /// See a message that was reported, or is near one that was: [`Standing::reported`].
        SeeReported => "see_reported",
        /// Say what came of the reports of a message.
        Resolve => "resolve",
    }
}

impl History {
    /// The newest of what is numbered that a member does not see, `joined` being the newest when it came.
    pub const fn hidden_up_to(self, joined: i64) -> i64 {
        match self {
            Self::All => 0,
            Self::SinceJoin => joined,
        }
    }
}

/// Why two do not write with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// Oneself has blocked the other.
    ByOneself,
    /// The other has.
    ByOther,
}

impl Blocked {
    /// Of somebody who has blocked the other, or is blocked by it. Who blocks is told so, and not whether the other does.
    pub const fn of(blocks: bool, is_blocked: bool) -> Option<Self> {
        match (blocks, is_blocked) {
            (true, _) => Some(Self::ByOneself),
            (false, true) => Some(Self::ByOther),
            (false, false) => None,
        }
    }
}

/// All that decides whether somebody may do something in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Direct, group or channel.
    pub kind: ConversationKind,
    /// None: not a member.
    pub role: Option<Role>,
    /// How one becomes a member.
    pub join: JoinRule,
    /// Whether only owners and admins may change anything.
    pub frozen: bool,
    /// Until when one may only read.
    pub muted_until: Option<Timestamp>,
    /// Until when one may not come back.
    pub banned_until: Option<Timestamp>,
    /// Whether the two of a direct conversation write with each other.
    pub blocked: Option<Blocked>,
    /// Whether one moderates all conversations of the tenant, a member or not.
    pub moderator: bool,
    /// How the message that it is about stands to what was reported. Counts for moderators only.
    pub reported: Reported,
    /// Now.
    pub at: Timestamp,
    /// The role of who it is done to, or who sent the message; none: no member.
    pub target: Option<Role>,
    /// The role that it would get.
    pub wanted_role: Option<Role>,
}

impl Standing {
    /// Of somebody with `role` in a conversation without any rules of its own.
    pub const fn new(kind: ConversationKind, role: Option<Role>) -> Self {
        Self {
            kind,
            role,
            join: JoinRule::of(kind),
            frozen: false,
            muted_until: None,
            banned_until: None,
            blocked: None,
            moderator: false,
            reported: Reported::No,
            at: Timestamp(0),
            target: None,
            wanted_role: None,
        }
    }

    /// The same towards somebody with `target`.
    pub const fn towards(self, target: Option<Role>) -> Self {
        Self { target, ..self }
    }
}

#[cfg(test)]
mod tests;
