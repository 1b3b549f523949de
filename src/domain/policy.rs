//! Who may do what in a conversation. The only place where that is decided: `decide` asks here for
//! commands, the gateway for reads.

use super::error::{ErrorCode, Rejection};

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

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// See messages, events, members; be pushed to; move one's own pointers; type.
    View,
    /// Send a message.
    Send,
    /// React to messages.
    React,
    /// Change a message of one's own.
    EditOwn,
    /// Change the message of another.
    EditOthers,
    /// Remove a message of one's own for everyone.
    DeleteOwn,
    /// Remove the message of somebody with this role; none: who is no member any more.
    DeleteOthers(Option<Role>),
    /// Pin and unpin messages.
    Pin,
    /// Change name, topic, picture and rules.
    Update,
    /// Add others.
    AddMembers,
    /// Remove a member of this role.
    RemoveMember(Role),
    /// Give a member of this role that one.
    SetRole(Role, Role),
    /// Become a member oneself.
    Join,
    /// Stop being one.
    Leave,
}

/// Whether somebody with `role` (none: not a member) may do `action`.
///
/// # Errors
/// `not_a_member` or `forbidden`, with a message that says what is missing.
pub fn allow(kind: ConversationKind, role: Option<Role>, action: Action) -> Result<(), Rejection> {
    use ConversationKind::{Channel, Direct};
    let forbidden = |message: &str| Err(Rejection::new(ErrorCode::Forbidden, message));
    if action == Action::Join {
        return if kind == Channel || role.is_some() {
            Ok(())
        } else {
            forbidden("only channels can be joined; ask an owner or admin to be added")
        };
    }
    let Some(role) = role else {
        return Err(Rejection::new(ErrorCode::NotAMember, "you are not a member of this conversation"));
    };
    let manages = role <= Role::Admin;
    match action {
        Action::View | Action::Send | Action::React | Action::Join | Action::EditOwn | Action::DeleteOwn => Ok(()),
        Action::EditOthers => forbidden("only its author edits a message"),
        Action::DeleteOthers(_) if kind == Direct => forbidden("only its author removes a message"),
        Action::DeleteOthers(author) if manages && author.is_none_or(|author| role < author) => Ok(()),
        Action::DeleteOthers(_) => {
            forbidden("only owners and admins remove the messages of others, of those below their own role")
        }
        Action::Pin if kind == Direct || manages => Ok(()),
        Action::Pin => forbidden("only owners and admins pin messages"),
        Action::Update | Action::AddMembers | Action::RemoveMember(_) | Action::SetRole(..) | Action::Leave
            if kind == Direct =>
        {
            forbidden("a direct conversation has no name and no roles, and its members never change")
        }
        Action::Leave => Ok(()),
        Action::Update if manages => Ok(()),
        Action::Update => forbidden("only owners and admins change a conversation"),
        Action::AddMembers if manages => Ok(()),
        Action::AddMembers => forbidden("only owners and admins add members"),
        Action::RemoveMember(target) if role == Role::Owner && target != Role::Owner => Ok(()),
        Action::RemoveMember(target) if role == Role::Admin && target > Role::Admin => Ok(()),
        Action::RemoveMember(_) => {
            forbidden("only owners and admins remove members, and only those below their own role")
        }
        Action::SetRole(..) if role == Role::Owner => Ok(()),
        Action::SetRole(from, to) if role == Role::Admin && from > Role::Admin && to > Role::Admin => Ok(()),
        Action::SetRole(..) => {
            forbidden("only owners make owners and admins; admins change the roles of members and guests")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_outside_does_anything_but_join_a_channel() {
        for kind in ConversationKind::ALL {
            for action in [
                Action::View,
                Action::Send,
                Action::React,
                Action::EditOwn,
                Action::DeleteOwn,
                Action::DeleteOthers(None),
                Action::Pin,
                Action::Update,
                Action::AddMembers,
                Action::RemoveMember(Role::Member),
                Action::SetRole(Role::Member, Role::Guest),
                Action::Leave,
            ] {
                let refused = allow(*kind, None, action).map_err(|r| r.code);
                assert_eq!(refused, Err(ErrorCode::NotAMember), "{kind} {action:?}");
            }
            assert_eq!(allow(*kind, None, Action::Join).is_ok(), *kind == ConversationKind::Channel);
        }
    }

    #[test]
    fn removal_needs_a_higher_role() {
        for role in Role::ALL {
            for target in Role::ALL {
                let allowed = allow(ConversationKind::Group, Some(*role), Action::RemoveMember(*target)).is_ok();
                assert_eq!(allowed, *role <= Role::Admin && role < target, "{role} removes {target}");
            }
        }
    }
    #[test]
    fn nobody_lifts_anybody_above_or_beside_themselves_but_owners() {
        for role in Role::ALL {
            for (from, to) in Role::ALL.iter().flat_map(|from| Role::ALL.iter().map(move |to| (*from, *to))) {
                let allowed = allow(ConversationKind::Group, Some(*role), Action::SetRole(from, to)).is_ok();
                let below = *role == Role::Admin && from > *role && to > *role;
                assert_eq!(allowed, *role == Role::Owner || below, "{role} makes a {from} a {to}");
            }
        }
    }

    #[test]
    fn messages_of_others_are_removed_by_those_above_them_and_edited_by_nobody() {
        for role in Role::ALL {
            assert!(allow(ConversationKind::Group, Some(*role), Action::EditOthers).is_err());
            for author in Role::ALL {
                let delete = Action::DeleteOthers(Some(*author));
                let allowed = allow(ConversationKind::Channel, Some(*role), delete).is_ok();
                assert_eq!(allowed, *role <= Role::Admin && role < author, "{role} removes what a {author} said");
                assert!(allow(ConversationKind::Direct, Some(*role), delete).is_err());
            }
        }
    }
}
