//! A user: the second aggregate, on the same machinery as conversations.
//!
//! Its first event registers it together with its first data key, so a user without a key does not exist.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::decision;
use super::decision::Done;
use super::policy::ShownTo;
use super::{ErrorCode, Rejection, TenantId, Timestamp, UserId};

/// The most users that one can block.
pub const MAX_BLOCKED: usize = 10_000;
/// The most bytes an external id can have.
pub const MAX_EXTERNAL_ID_BYTES: usize = 256;
/// The most bytes a name can have.
pub const MAX_NAME_BYTES: usize = 256;

/// What must be known of a user to decide.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Whose it is.
    pub tenant: TenantId,
    /// As its owner sees it.
    pub profile: Profile,
    /// With whom it does not want to write.
    pub blocked: BTreeSet<UserId>,
    /// To whom it shows itself.
    pub privacy: Privacy,
    /// The newest event.
    pub last_position: i64,
    /// The time of the newest event.
    pub last_at: Timestamp,
}

/// What a tenant's backend says of a user. Body of the commands and of the events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The tenant's own name for the user.
    pub external_id: String,
    /// For people.
    #[serde(default)]
    pub name: Option<String>,
}

/// Body of commands and events that name another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfUser {
    /// Whom.
    pub user: UserId,
}

/// To whom a user shows itself. Body of the event: all of it, as it is from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privacy {
    /// Who sees whether it is online.
    pub presence: ShownTo,
    /// Who sees when it was last seen; nobody who does not see whether it is online.
    pub last_seen: ShownTo,
}

impl Default for Privacy {
    fn default() -> Self {
        Self { presence: ShownTo::Everyone, last_seen: ShownTo::Everyone }
    }
}

/// Body of the command: what is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangePrivacy {
    /// See [`Privacy::presence`].
    #[serde(default)]
    pub presence: Option<ShownTo>,
    /// See [`Privacy::last_seen`].
    #[serde(default)]
    pub last_seen: Option<ShownTo>,
}

impl Privacy {
    fn with(self, change: ChangePrivacy) -> Self {
        Self {
            presence: change.presence.unwrap_or(self.presence),
            last_seen: change.last_seen.unwrap_or(self.last_seen),
        }
    }
}

/// A data key, wrapped by a master key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// 1, 2, 3 … within the user.
    pub version: i32,
    /// Which master key wraps it.
    pub master: String,
    /// Nonce and sealed key.
    pub wrapped: Bytes,
}

/// A command with what surrounds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Whose user it is.
    pub tenant: TenantId,
    /// Which one; the key of the record.
    pub user: UserId,
    /// When the broker appended the command.
    pub at: Timestamp,
    /// Made, or wrapped anew, by the user's owner before it decides, as chance is not for `decide`.
    pub fresh_key: Option<WrappedKey>,
    /// What is asked.
    pub command: Command,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Create or update.
    Put(Profile),
    /// Wrap this data key of the user's under the newest master key.
    Rewrap(WrappedKey),
    /// Write with this user no more.
    Block(OfUser),
    /// And again.
    Unblock(OfUser),
    /// Show oneself to others than until now.
    SetPrivacy(ChangePrivacy),
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The first event of every user.
    Registered {
        /// Who it is.
        profile: Profile,
        /// What its content will be encrypted under.
        key: WrappedKey,
    },
    /// The whole new profile.
    Updated(Profile),
    /// The same data key, wrapped by another master key. Not of the user's timeline, and nobody's business but the keyrings'.
    Rewrapped(WrappedKey),
    /// It writes with this user no more.
    Blocked(OfUser),
    /// And again.
    Unblocked(OfUser),
    /// It shows itself to these from now on.
    PrivacyChanged(Privacy),
}

impl Event {
    /// The `type` on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Registered { .. } => "user.registered",
            Self::Updated(_) => "user.updated",
            Self::Rewrapped(_) => "user.key_rewrapped",
            Self::Blocked(_) => "user.blocked",
            Self::Unblocked(_) => "user.unblocked",
            Self::PrivacyChanged(_) => "user.privacy_changed",
        }
    }
}

/// An event of a user with its numbers.
pub type Recorded = decision::Recorded<Event>;
/// What was decided on a user.
pub type Decision = decision::Decision<Event>;

/// Decides `input` on `state` (none: no such user). Deterministic; no clock, no chance.
pub fn decide(state: Option<&User>, input: &Input) -> Decision {
    let profile = match &input.command {
        Command::Put(profile) => profile,
        Command::Rewrap(key) => return decide_rewrap(state, input, key),
        Command::Block(of) => return decide_block(state, input, *of, true),
        Command::Unblock(of) => return decide_block(state, input, *of, false),
        Command::SetPrivacy(change) => return decide_privacy(state, input, *change),
    };
    if let Err(rejection) = check(profile) {
        return Decision::Reject(rejection);
    }
    let record = |at, position, event| Decision::Record(Recorded { actor: input.user, at, position, event });
    match state {
        None => match &input.fresh_key {
            Some(key) => record(input.at, 1, Event::Registered { profile: profile.clone(), key: key.clone() }),
            None => Decision::Reject(Rejection::new(ErrorCode::Internal, "no data key was made for the new user")),
        },
        Some(user) if user.tenant != input.tenant => Decision::Reject(not_found()),
        Some(user) if user.profile == *profile => {
            Decision::Done(Done { position: user.last_position, seq: 0, at: user.last_at, duplicate: true })
        }
        Some(user) => record(input.at.max(user.last_at), user.last_position + 1, Event::Updated(profile.clone())),
    }
}

fn not_found() -> Rejection {
    Rejection::new(ErrorCode::NotFound, "there is no such user")
}

/// Only for a user who is there: the key of one who is not any more must not come back with it.
fn decide_rewrap(state: Option<&User>, input: &Input, key: &WrappedKey) -> Decision {
    let Some(user) = state.filter(|user| user.tenant == input.tenant) else { return Decision::Reject(not_found()) };
    let Some(fresh) = input.fresh_key.as_ref().filter(|fresh| fresh.version == key.version) else {
        return Decision::Reject(Rejection::new(
            ErrorCode::Conflict,
            "the data key does not unwrap under any master key here",
        ));
    };
    if fresh.master == key.master {
        return Decision::Done(Done { position: user.last_position, seq: 0, at: user.last_at, duplicate: true });
    }
    let (at, event) = (input.at.max(user.last_at), Event::Rewrapped(fresh.clone()));
    Decision::Record(Recorded { actor: input.user, at, position: 0, event })
}

fn decide_block(state: Option<&User>, input: &Input, of: OfUser, block: bool) -> Decision {
    let Some(user) = state.filter(|user| user.tenant == input.tenant) else { return Decision::Reject(not_found()) };
    if of.user == input.user {
        return Decision::Reject(Rejection::new(ErrorCode::BadRequest, "nobody blocks themselves"));
    }
    if user.blocked.contains(&of.user) == block {
        return Decision::Done(Done { position: user.last_position, seq: 0, at: user.last_at, duplicate: true });
    }
    if block && user.blocked.len() >= MAX_BLOCKED {
        let message = format!("at most {MAX_BLOCKED} users can be blocked; unblock some first");
        return Decision::Reject(Rejection::new(ErrorCode::Conflict, message));
    }
    let event = if block { Event::Blocked(of) } else { Event::Unblocked(of) };
    let (at, position) = (input.at.max(user.last_at), user.last_position + 1);
    Decision::Record(Recorded { actor: input.user, at, position, event })
}

fn decide_privacy(state: Option<&User>, input: &Input, change: ChangePrivacy) -> Decision {
    let Some(user) = state.filter(|user| user.tenant == input.tenant) else { return Decision::Reject(not_found()) };
    let privacy = user.privacy.with(change);
    if privacy == user.privacy {
        return Decision::Done(Done { position: user.last_position, seq: 0, at: user.last_at, duplicate: true });
    }
    let (at, position) = (input.at.max(user.last_at), user.last_position + 1);
    Decision::Record(Recorded { actor: input.user, at, position, event: Event::PrivacyChanged(privacy) })
}

fn check(profile: &Profile) -> Result<(), Rejection> {
    if profile.external_id.is_empty() || profile.external_id.len() > MAX_EXTERNAL_ID_BYTES {
        return Err(Rejection::new(
            ErrorCode::BadRequest,
            format!("external_id must have 1 to {MAX_EXTERNAL_ID_BYTES} bytes"),
        ));
    }
    if profile.name.as_ref().is_some_and(|name| name.len() > MAX_NAME_BYTES) {
        return Err(Rejection::new(ErrorCode::TooLarge, format!("name must have at most {MAX_NAME_BYTES} bytes")));
    }
    // Postgres keeps none in a text: a view that met one would stand still for ever.
    let has_nul = |text: &String| text.contains('\0');
    if has_nul(&profile.external_id) || profile.name.as_ref().is_some_and(has_nul) {
        return Err(Rejection::new(ErrorCode::BadRequest, "external_id and name must not contain NUL (U+0000)"));
    }
    Ok(())
}

/// Applies what `decide` recorded.
pub fn evolve(state: &mut Option<User>, tenant: TenantId, recorded: &Recorded) {
    if let Event::Registered { profile, .. } = &recorded.event {
        let (last_position, last_at) = (recorded.position, recorded.at);
        let (profile, privacy) = (profile.clone(), Privacy::default());
        *state = Some(User { tenant, profile, blocked: BTreeSet::new(), privacy, last_position, last_at });
        return;
    }
    let Some(user) = state else { return };
    match &recorded.event {
        Event::Updated(profile) => user.profile.clone_from(profile),
        Event::Blocked(of) => drop(user.blocked.insert(of.user)),
        Event::Unblocked(of) => drop(user.blocked.remove(&of.user)),
        Event::PrivacyChanged(privacy) => user.privacy = *privacy,
        Event::Registered { .. } | Event::Rewrapped(_) => return,
    }
    (user.last_position, user.last_at) = (recorded.position, recorded.at);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(name: &str) -> Input {
        Input {
            tenant: TenantId::from_bytes([1; 16]),
            user: UserId::from_bytes([2; 16]),
            at: Timestamp(5),
            fresh_key: Some(WrappedKey { version: 1, master: "m".into(), wrapped: Bytes::from_static(b"k") }),
            command: Command::Put(Profile { external_id: "x".into(), name: Some(name.into()) }),
        }
    }

    #[test]
    fn a_user_is_registered_with_a_key_then_updated_then_left_alone() {
        let mut state = None;
        for (name, expected) in [("Ada", Some("user.registered")), ("Ada", None), ("Ada L.", Some("user.updated"))] {
            let decision = decide(state.as_ref(), &input(name));
            match (&decision, expected) {
                (Decision::Record(recorded), Some(kind)) => {
                    assert_eq!(recorded.event.name(), kind);
                    evolve(&mut state, input(name).tenant, recorded);
                }
                (Decision::Done(done), None) => assert!(done.duplicate),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(state.map(|u| u.last_position), Some(2));
    }

    #[test]
    fn a_key_is_wrapped_anew_for_a_user_who_is_there_and_only_once() {
        let old = WrappedKey { version: 1, master: "old".into(), wrapped: Bytes::from_static(b"o") };
        let fresh = WrappedKey { version: 1, master: "m".into(), wrapped: Bytes::from_static(b"k") };
        let rewrap = |key: &WrappedKey| Input { command: Command::Rewrap(key.clone()), ..input("Ada") };
        let code = |decision| match decision {
            Decision::Reject(rejection) => Some(rejection.code),
            _ => None,
        };
        assert_eq!(code(decide(None, &rewrap(&old))), Some(ErrorCode::NotFound), "it would bring a lost key back");
        let mut state = None;
        if let Decision::Record(recorded) = decide(None, &input("Ada")) {
            evolve(&mut state, input("Ada").tenant, &recorded);
        }
        let Decision::Record(recorded) = decide(state.as_ref(), &rewrap(&old)) else { panic!("not recorded") };
        assert_eq!((recorded.position, &recorded.event), (0, &Event::Rewrapped(fresh.clone())));
        let before = state.clone();
        evolve(&mut state, input("Ada").tenant, &recorded);
        assert_eq!(state, before);
        assert!(matches!(decide(state.as_ref(), &rewrap(&fresh)), Decision::Done(done) if done.duplicate));
        for strange in [Input { fresh_key: None, ..rewrap(&old) }, rewrap(&WrappedKey { version: 2, ..old.clone() })] {
            assert_eq!(code(decide(state.as_ref(), &strange)), Some(ErrorCode::Conflict));
        }
        let elsewhere = Input { tenant: TenantId::from_bytes([9; 16]), ..rewrap(&old) };
        assert_eq!(code(decide(state.as_ref(), &elsewhere)), Some(ErrorCode::NotFound));
    }

    #[test]
    fn a_user_is_blocked_and_unblocked_once_each() {
        let mut state = None;
        let mut when = |command: Command| {
            let input = Input { command, ..input("Ada") };
            let decision = decide(state.as_ref(), &input);
            if let Decision::Record(recorded) = &decision {
                evolve(&mut state, input.tenant, recorded);
            }
            (decision, state.as_ref().map_or(0, |user| user.blocked.len()))
        };
        let other = OfUser { user: UserId::from_bytes([7; 16]) };
        assert!(matches!(when(Command::Block(other)).0, Decision::Reject(r) if r.code == ErrorCode::NotFound));
        when(input("Ada").command);
        assert_eq!(when(Command::Block(other)).1, 1);
        assert!(matches!(when(Command::Block(other)), (Decision::Done(done), 1) if done.duplicate));
        assert_eq!(when(input("Ada L.").command).1, 1, "another name changes nothing of it");
        assert_eq!(when(Command::Unblock(other)).1, 0);
        assert!(matches!(when(Command::Unblock(other)), (Decision::Done(done), 0) if done.duplicate));
        let oneself = Command::Block(OfUser { user: UserId::from_bytes([2; 16]) });
        assert!(matches!(when(oneself).0, Decision::Reject(r) if r.code == ErrorCode::BadRequest));
    }

    #[test]
    fn privacy_changes_by_what_is_named_and_once() {
        let mut state = None;
        let mut when = |command: Command| {
            let input = Input { command, ..input("Ada") };
            let decision = decide(state.as_ref(), &input);
            if let Decision::Record(recorded) = &decision {
                evolve(&mut state, input.tenant, recorded);
            }
            (decision, state.as_ref().map(|user| user.privacy))
        };
        let set = |presence, last_seen| Command::SetPrivacy(ChangePrivacy { presence, last_seen });
        let nobody = Some(ShownTo::Nobody);
        assert!(matches!(when(set(nobody, None)).0, Decision::Reject(r) if r.code == ErrorCode::NotFound));
        assert_eq!(when(input("Ada").command).1, Some(Privacy::default()));
        let hidden = Privacy { presence: ShownTo::Nobody, last_seen: ShownTo::Everyone };
        assert_eq!(when(set(nobody, None)).1, Some(hidden));
        for nothing_new in [set(nobody, None), set(None, None), set(nobody, Some(ShownTo::Everyone))] {
            assert!(matches!(when(nothing_new).0, Decision::Done(done) if done.duplicate));
        }
        let both = Privacy { last_seen: ShownTo::Contacts, ..hidden };
        assert_eq!(when(set(None, Some(ShownTo::Contacts))).1, Some(both));
        assert_eq!(when(input("Ada L.").command).1, Some(both), "another name changes nothing of it");
    }

    #[test]
    fn what_postgres_cannot_keep_is_refused() {
        let by_name = input("A\0da");
        let mut by_id = input("Ada");
        by_id.command = Command::Put(Profile { external_id: "\0".into(), name: None });
        for input in [by_name, by_id] {
            let decision = decide(None, &input);
            assert!(matches!(&decision, Decision::Reject(r) if r.code == ErrorCode::BadRequest), "{decision:?}");
        }
    }

    #[test]
    fn a_user_of_another_tenant_is_not_found() {
        let mut state = None;
        if let Decision::Record(recorded) = decide(None, &input("Ada")) {
            evolve(&mut state, TenantId::from_bytes([9; 16]), &recorded);
        }
        assert!(matches!(decide(state.as_ref(), &input("Eve")), Decision::Reject(r) if r.code == ErrorCode::NotFound));
    }
}
