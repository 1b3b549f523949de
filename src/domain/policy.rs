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

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// See messages, events, members; be pushed to; move one's own pointers; type.
    View,
    /// Send a message.
    Send,
    /// Add others.
    AddMembers,
    /// Remove a member of this role.
    RemoveMember(Role),
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
    match action {
        Action::View | Action::Send | Action::Join => Ok(()),
        Action::AddMembers | Action::RemoveMember(_) | Action::Leave if kind == Direct => {
            forbidden("the members of a direct conversation never change")
        }
        Action::Leave => Ok(()),
        Action::AddMembers if role <= Role::Admin => Ok(()),
        Action::AddMembers => forbidden("only owners and admins add members"),
        Action::RemoveMember(target) if role == Role::Owner && target != Role::Owner => Ok(()),
        Action::RemoveMember(target) if role == Role::Admin && target > Role::Admin => Ok(()),
        Action::RemoveMember(_) => {
            forbidden("only owners and admins remove members, and only those below their own role")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_outside_does_anything_but_join_a_channel() {
        for kind in ConversationKind::ALL {
            for action in
                [Action::View, Action::Send, Action::AddMembers, Action::RemoveMember(Role::Member), Action::Leave]
            {
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
}
