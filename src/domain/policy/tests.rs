use super::*;
use crate::domain::error::ErrorCode;
use crate::domain::user::Privacy;

const KINDS: &[ConversationKind] = ConversationKind::ALL;

fn may(kind: ConversationKind, role: Role, target: Role, action: Action) -> bool {
    allow(Standing::new(kind, Some(role)).towards(Some(target)), action).is_ok()
}

#[test]
fn nobody_outside_does_anything_but_join_what_is_open() {
    for kind in KINDS {
        // Resolving is no matter of membership.
        let others = [Action::Join, Action::JoinByInvite, Action::RequestToJoin, Action::Resolve];
        for action in Action::ALL.iter().filter(|action| !others.contains(action)) {
            let refused = allow(Standing::new(*kind, None), *action).map_err(|r| r.code);
            assert_eq!(refused, Err(ErrorCode::NotAMember), "{kind} {action}");
        }
        for join in JoinRule::ALL {
            let may = |action| allow(Standing { join: *join, ..Standing::new(*kind, None) }, action).is_ok();
            let many = *kind != ConversationKind::Direct;
            assert_eq!(may(Action::Join), *join == JoinRule::Open && many);
            assert_eq!(may(Action::RequestToJoin), *join == JoinRule::Request && many);
            assert_eq!(may(Action::JoinByInvite), many);
        }
    }
}

#[test]
fn removal_and_its_like_need_a_higher_role() {
    for action in [Action::RemoveMember, Action::Ban, Action::Mute, Action::DeleteOthers] {
        for role in Role::ALL {
            for target in Role::ALL {
                let allowed = may(ConversationKind::Group, *role, *target, action);
                assert_eq!(allowed, *role <= Role::Admin && role < target, "{role} does {action} to {target}");
                assert!(!may(ConversationKind::Direct, *role, *target, action));
            }
        }
    }
}

#[test]
fn nobody_lifts_anybody_above_or_beside_themselves_but_owners() {
    for role in Role::ALL {
        for (from, to) in Role::ALL.iter().flat_map(|from| Role::ALL.iter().map(move |to| (*from, *to))) {
            let standing = Standing::new(ConversationKind::Group, Some(*role)).towards(Some(from));
            let allowed = allow(Standing { wanted_role: Some(to), ..standing }, Action::SetRole).is_ok();
            let below = *role == Role::Admin && from > *role && to > *role;
            assert_eq!(allowed, *role == Role::Owner || below, "{role} makes a {from} a {to}");
        }
    }
}

#[test]
fn who_may_write_depends_on_kind_freeze_and_mutes() {
    for role in Role::ALL {
        let manages = *role <= Role::Admin;
        let group = Standing::new(ConversationKind::Group, Some(*role));
        let sends = |standing: Standing| allow(standing, Action::Send).is_ok();
        assert!(sends(group) && !may(ConversationKind::Group, *role, *role, Action::EditOthers));
        assert_eq!(sends(Standing { frozen: true, ..group }), manages);
        assert_eq!(sends(Standing { kind: ConversationKind::Channel, ..group }), manages, "few write");
        assert!(may(ConversationKind::Channel, *role, *role, Action::React), "many read, and react");
        let muted = Standing { muted_until: Some(Timestamp(7)), at: Timestamp(6), ..group };
        for action in [Action::Send, Action::EditOwn, Action::React] {
            assert!(allow(muted, action).is_err());
            assert!(allow(Standing { at: Timestamp(7), ..muted }, action).is_ok(), "it has ended");
        }
        assert!(allow(muted, Action::View).is_ok());
    }
}

#[test]
fn who_is_banned_comes_back_when_that_has_ended() {
    let banned = Standing { banned_until: Some(Timestamp(7)), ..Standing::new(ConversationKind::Channel, None) };
    let refused = allow(banned, Action::Join).map_err(|rejection| rejection.message);
    assert_eq!(refused, Err("you are banned from this conversation until 1970-01-01T00:00:00.007Z".into()));
    assert!(allow(Standing { at: Timestamp(7), ..banned }, Action::Join).is_ok());
    assert!(allow(banned, Action::JoinByInvite).is_err(), "a link does not help");
    let owner = Standing { role: Some(Role::Owner), ..banned };
    assert!(allow(owner, Action::AddMembers).is_err(), "nor is it added meanwhile");
    let forever = Standing { banned_until: Some(Timestamp::FOREVER), ..banned };
    let refused = allow(forever, Action::Join).map_err(|rejection| rejection.message);
    assert_eq!(refused, Err("you are banned from this conversation".into()));
}

#[test]
fn moderators_do_their_work_everywhere_and_nothing_else() {
    let roles = || std::iter::once(None).chain(Role::ALL.iter().copied().map(Some));
    let everywhere = [Action::DeleteOthers, Action::Ban, Action::Mute, Action::Freeze];
    for (kind, role) in KINDS.iter().flat_map(|kind| roles().map(move |role| (*kind, role))) {
        let member = Standing::new(kind, role).towards(Some(Role::Owner));
        let moderator = Standing { moderator: true, ..member };
        for action in Action::ALL {
            let allowed = |standing| allow(standing, *action).is_ok();
            let more = *action == Action::Resolve || (everywhere.contains(action) && kind != ConversationKind::Direct);
            assert_eq!(allowed(moderator), allowed(member) || more, "{role:?} does {action} in a {kind}");
            let reported = Standing { reported: Reported::Itself, ..moderator };
            let more = more || [Action::DeleteOthers, Action::SeeReported].contains(action);
            assert_eq!(allowed(reported), allowed(member) || more, "{role:?} does {action} in a {kind}, reported");
            let stranger = Standing { reported: Reported::Itself, ..member };
            assert_eq!(allowed(stranger), allowed(member), "a report gives others no right");
        }
        let near = allow(Standing { reported: Reported::Nearby, ..moderator }, Action::SeeReported).is_ok();
        assert_eq!(near, role.is_some() || kind != ConversationKind::Direct, "{kind}");
    }
    assert_eq!(moderates(false).map_err(|refused| refused.code), Err(ErrorCode::Forbidden));
}

fn privacies() -> impl Iterator<Item = Privacy> {
    let each =
        |presence: ShownTo| ShownTo::ALL.iter().map(move |last_seen| Privacy { presence, last_seen: *last_seen });
    ShownTo::ALL.iter().copied().flat_map(each)
}

fn relations() -> impl Iterator<Item = Relation> {
    let bit = |bits: u8, n: u8| bits & (1 << n) != 0;
    (0..8).map(move |bits| Relation { oneself: bit(bits, 0), contact: bit(bits, 1), blocked: bit(bits, 2) })
}

#[test]
fn who_sees_whether_somebody_is_there() {
    let (stranger, all) = (Relation::default(), Sight { status: true, last_seen: true });
    let none = Sight { status: false, last_seen: false };
    let contact = Relation { contact: true, ..stranger };
    let privacy = |presence, last_seen| Privacy { presence, last_seen };
    use ShownTo::{Contacts, Everyone, Nobody};
    assert_eq!(sight(Privacy::default(), stranger), all);
    assert_eq!(sight(privacy(Contacts, Everyone), stranger), none, "when it was last seen would tell when it went");
    assert_eq!(sight(privacy(Contacts, Everyone), contact), all);
    assert_eq!(sight(privacy(Contacts, Nobody), contact), Sight { status: true, last_seen: false });
    assert_eq!(sight(privacy(Everyone, Contacts), stranger), Sight { status: true, last_seen: false });
    assert_eq!(sight(privacy(Nobody, Everyone), contact), none);
}

#[test]
fn whatever_the_privacy_oneself_sees_all_and_who_is_blocked_nothing() {
    for (privacy, relation) in privacies().flat_map(|privacy| relations().map(move |relation| (privacy, relation))) {
        let seen = sight(privacy, relation);
        assert!(seen.status || !seen.last_seen, "{privacy:?} {relation:?}");
        if relation.oneself {
            assert_eq!(seen, Sight { status: true, last_seen: true }, "{privacy:?} {relation:?}");
        } else if relation.blocked {
            assert_eq!(seen, Sight { status: false, last_seen: false }, "{privacy:?} {relation:?}");
        } else if !relation.contact {
            let contact = sight(privacy, Relation { contact: true, ..relation });
            assert!(contact.status >= seen.status && contact.last_seen >= seen.last_seen, "a stranger sees more");
        }
    }
}

/// `docs/permissions.md` is what `allow` says. `UPDATE_DOCS=1 cargo test` writes it again.
#[test]
fn the_page_in_docs_is_the_policy() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/permissions.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (introduction, _) = page.split_once("<!-- tables -->").expect("the mark");
    let tables: String = KINDS.iter().map(|kind| table(*kind)).collect();
    let expected = format!("{introduction}<!-- tables -->\n{tables}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).expect("written");
    } else {
        assert!(page == expected, "docs/permissions.md is behind: run UPDATE_DOCS=1 cargo test the_page_in_docs");
    }
}

fn table(kind: ConversationKind) -> String {
    let mut out = format!(
        "\n## {kind}\n\n| action | owner | admin | member | guest | nobody | moderator |\n|---|---|---|---|---|---|---|\n"
    );
    for action in Action::ALL {
        out += &format!("| `{action}` |");
        let columns = Role::ALL.iter().map(|role| (Some(*role), false)).chain([(None, false), (None, true)]);
        for (role, moderator) in columns {
            out += &format!(" {} |", cell(Standing { moderator, ..Standing::new(kind, role) }, *action));
        }
        out += "\n";
    }
    out
}

/// Whether it may, whoever it is done to, or to whom.
fn cell(standing: Standing, action: Action) -> String {
    let may = |target, wanted_role, reported| {
        allow(Standing { target: Some(target), wanted_role: Some(wanted_role), reported, ..standing }, action).is_ok()
    };
    let to = |target: &Role| Role::ALL.iter().any(|wanted| may(*target, *wanted, Reported::No));
    let targets: Vec<_> = Role::ALL.iter().filter(|target| to(target)).map(|target| target.to_string()).collect();
    match targets.len() {
        0 if may(Role::Member, Role::Member, Reported::Itself) => "reported".to_owned(),
        0 => String::new(),
        all if all == Role::ALL.len() => "yes".to_owned(),
        _ => targets.join(", "),
    }
}
