//! Who sees whether somebody is there.

use crate::domain::user::Privacy;

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
