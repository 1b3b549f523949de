//! Who may do what in a conversation. The only place where that is decided: `decide` asks here for
//! commands, the gateway for reads.

use super::Timestamp;
use super::error::{ErrorCode, Rejection};
use super::user::Privacy;

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
        /// Sends and reads; reserved for restricted members.
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

crate::string_enum! {
    /// To whom a user shows something of itself.
    pub enum ShownTo {
        /// All of its tenant.
        Everyone => "everyone",
        /// With whom it has a direct conversation.
        Contacts => "contacts",
        /// Only itself.
        Nobody => "nobody",
    }
}

/// How somebody who looks at a user stands to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relation {
    /// It is the user.
    pub oneself: bool,
    /// The two have a direct conversation, in which both have been members.
    pub contact: bool,
    /// One of the two has blocked the other.
    pub blocked: bool,
}

/// What somebody sees of whether a user is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Whether it is online; without this it is shown as offline.
    pub status: bool,
    /// When it was last seen.
    pub last_seen: bool,
}

/// What `relation` sees of a user with `privacy`. Who does not see whether it is online does not see when it was last seen either: that
/// moves when the user goes.
pub const fn sight(privacy: Privacy, relation: Relation) -> Sight {
    let status = is_shown(privacy.presence, relation);
    Sight { status, last_seen: status && is_shown(privacy.last_seen, relation) }
}

const fn is_shown(to: ShownTo, relation: Relation) -> bool {
    let others = match to {
        ShownTo::Everyone => true,
        ShownTo::Contacts => relation.contact,
        ShownTo::Nobody => false,
    };
    relation.oneself || (others && !relation.blocked)
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

/// Whether somebody who stands so may do `action`.
///
/// # Errors
/// `not_a_member` or `forbidden`, with a message that says what is missing.
pub fn allow(standing: Standing, action: Action) -> Result<(), Rejection> {
    if action == Action::Resolve {
        return moderates(standing.moderator);
    }
    match as_member(standing, action) {
        Err(refused) if standing.moderator => as_moderator(standing, action, refused),
        decided => decided,
    }
}

/// Whether somebody sees what was reported in its tenant, and resolves it.
///
/// # Errors
/// `forbidden`.
pub fn moderates(moderator: bool) -> Result<(), Rejection> {
    if moderator { Ok(()) } else { forbidden("only the tenant's moderators see reports and resolve them") }
}

/// Whether somebody who stands so may ask what it may do, or what `others` may.
///
/// # Errors
/// `not_a_member` or `forbidden`.
pub fn may_ask(standing: Standing, others: bool) -> Result<(), Rejection> {
    let moderates = standing.moderator && (!others || standing.kind != ConversationKind::Direct);
    if !moderates {
        as_member(standing, Action::View)?;
    }
    if moderates || !others || standing.role.is_some_and(|role| role <= Role::Admin) {
        return Ok(());
    }
    forbidden("only owners, admins and the tenant's moderators ask what others may do")
}

/// What the tenant's moderators may that they may not as members. They stand above every role, and never speak, join or look around.
fn as_moderator(standing: Standing, action: Action, refused: Rejection) -> Result<(), Rejection> {
    let direct = standing.kind == ConversationKind::Direct;
    match (action, standing.reported) {
        (Action::SeeReported | Action::DeleteOthers, Reported::Itself) => Ok(()),
        (Action::SeeReported, Reported::Nearby) if !direct => Ok(()),
        (Action::SeeReported, _) => forbidden(
            "a moderator who is no member reads what was reported, and in groups and channels what is near it",
        ),
        (Action::DeleteOthers, _) if direct => {
            forbidden("in a direct conversation a moderator removes only what was reported")
        }
        (Action::DeleteOthers | Action::Ban | Action::Mute | Action::Freeze, _) if !direct => Ok(()),
        _ => Err(refused),
    }
}

fn as_member(standing: Standing, action: Action) -> Result<(), Rejection> {
    let Standing { kind, at, .. } = standing;
    if matches!(action, Action::Join | Action::JoinByInvite | Action::RequestToJoin) {
        return may_join(standing, action);
    }
    let Some(role) = standing.role else {
        return Err(Rejection::new(ErrorCode::NotAMember, "you are not a member of this conversation"));
    };
    let manages = role <= Role::Admin;
    let below = |target: Role| if role == Role::Owner { target != Role::Owner } else { role < target };
    match action {
        Action::View | Action::DeleteOwn | Action::Report | Action::SeeReported => Ok(()),
        Action::Resolve => moderates(standing.moderator),
        Action::Send | Action::EditOwn | Action::React => may_write(standing, manages, action),
        Action::EditOthers => forbidden("only its author edits a message"),
        Action::DeleteOthers if kind == ConversationKind::Direct => forbidden("only its author removes a message"),
        Action::DeleteOthers if manages && standing.target.is_none_or(below) => Ok(()),
        Action::DeleteOthers => {
            forbidden("only owners and admins remove the messages of others, of those below their own role")
        }
        Action::Pin if kind == ConversationKind::Direct || manages => Ok(()),
        Action::Pin => forbidden("only owners and admins pin messages"),
        _ if kind == ConversationKind::Direct => {
            forbidden("a direct conversation has no name, rules and roles, and its members never change")
        }
        Action::Leave | Action::Join | Action::JoinByInvite | Action::RequestToJoin => Ok(()),
        Action::Update | Action::Freeze if manages => Ok(()),
        Action::Update | Action::Freeze => forbidden("only owners and admins change a conversation"),
        Action::AddMembers if standing.banned_until.is_some_and(|until| until > at) => {
            forbidden("somebody who is banned cannot be added; lift the ban first")
        }
        Action::AddMembers if manages => Ok(()),
        Action::AddMembers => forbidden("only owners and admins add members"),
        Action::RemoveMember | Action::Ban | Action::Mute if manages && standing.target.is_none_or(below) => Ok(()),
        Action::RemoveMember | Action::Ban | Action::Mute => {
            forbidden("only owners and admins remove, ban and mute members, and only those below their own role")
        }
        Action::SetRole if role == Role::Owner => Ok(()),
        Action::SetRole if role == Role::Admin && standing.target.is_some_and(below) => {
            if standing.wanted_role.is_some_and(below) { Ok(()) } else { only_owners() }
        }
        Action::SetRole => only_owners(),
    }
}

fn forbidden(message: impl Into<String>) -> Result<(), Rejection> {
    Err(Rejection::new(ErrorCode::Forbidden, message))
}

fn only_owners() -> Result<(), Rejection> {
    forbidden("only owners make owners and admins; admins change the roles of members and guests")
}

fn may_join(standing: Standing, action: Action) -> Result<(), Rejection> {
    if standing.role.is_some() {
        return Ok(());
    }
    if let Some(until) = standing.banned_until.filter(|until| *until > standing.at) {
        return forbidden(format!("you are banned from this conversation{}", ending(until)));
    }
    let meant = match action {
        _ if standing.kind == ConversationKind::Direct => false,
        Action::JoinByInvite => true,
        Action::RequestToJoin => standing.join == JoinRule::Request,
        _ => standing.join == JoinRule::Open,
    };
    match standing.join {
        _ if meant => Ok(()),
        JoinRule::Request => forbidden("one asks to be added to this conversation; join it to ask"),
        _ => forbidden("this conversation cannot be joined; ask an owner or admin to be added"),
    }
}

fn may_write(standing: Standing, manages: bool, action: Action) -> Result<(), Rejection> {
    match standing.blocked {
        Some(Blocked::ByOneself) => {
            return Err(Rejection::new(ErrorCode::Blocked, "you have blocked this user; unblock it first"));
        }
        Some(Blocked::ByOther) => return Err(Rejection::new(ErrorCode::Blocked, "this user does not write with you")),
        None => {}
    }
    if let Some(until) = standing.muted_until.filter(|until| *until > standing.at) {
        return forbidden(format!("you may only read here{}", ending(until)));
    }
    if standing.frozen && !manages {
        return forbidden("the conversation is frozen: only owners and admins write");
    }
    if standing.kind == ConversationKind::Channel && action == Action::Send && !manages {
        return forbidden("only owners and admins send in a channel");
    }
    Ok(())
}

/// For people.
fn ending(until: Timestamp) -> String {
    if until == Timestamp::FOREVER { String::new() } else { format!(" until {until}") }
}

#[cfg(test)]
mod tests;
