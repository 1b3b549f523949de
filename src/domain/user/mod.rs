//! A user: the second aggregate, on the same machinery as conversations.
//!
//! Its first event registers it together with its first data key, so a user without a key does not exist.

use std::collections::BTreeSet;

use bytes::Bytes;
use schemars::JsonSchema;
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
    /// Whether it moderates all conversations of its tenant.
    pub moderator: bool,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// Whether a user moderates all conversations of its tenant. Body of the command and of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moderator {
    /// From now on, or not any more.
    pub moderator: bool,
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
    /// Moderate all conversations of the tenant, or not any more. Only the tenant's backend asks this.
    SetModerator(Moderator),
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
    /// It moderates all conversations of its tenant from now on, or not any more.
    ModeratorChanged(Moderator),
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
            Self::ModeratorChanged(_) => "user.moderator_changed",
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
        Command::SetModerator(moderator) => return decide_moderator(state, input, *moderator),
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

fn decide_moderator(state: Option<&User>, input: &Input, wanted: Moderator) -> Decision {
    let Some(user) = state.filter(|user| user.tenant == input.tenant) else { return Decision::Reject(not_found()) };
    if wanted.moderator == user.moderator {
        return Decision::Done(Done { position: user.last_position, seq: 0, at: user.last_at, duplicate: true });
    }
    let (at, position) = (input.at.max(user.last_at), user.last_position + 1);
    Decision::Record(Recorded { actor: input.user, at, position, event: Event::ModeratorChanged(wanted) })
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
        let blocked = BTreeSet::new();
        *state = Some(User { tenant, profile, blocked, privacy, moderator: false, last_position, last_at });
        return;
    }
    let Some(user) = state else { return };
    match &recorded.event {
        Event::Updated(profile) => user.profile.clone_from(profile),
        Event::Blocked(of) => drop(user.blocked.insert(of.user)),
        Event::Unblocked(of) => drop(user.blocked.remove(&of.user)),
        Event::PrivacyChanged(privacy) => user.privacy = *privacy,
        Event::ModeratorChanged(changed) => user.moderator = changed.moderator,
        Event::Registered { .. } | Event::Rewrapped(_) => return,
    }
    (user.last_position, user.last_at) = (recorded.position, recorded.at);
}

#[cfg(test)]
mod tests;
