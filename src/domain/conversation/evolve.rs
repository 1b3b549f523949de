//! From one state to the next.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Recorded;
use super::event::{ConversationCreated, Event, MemberJoined, MemberLeft, MemberRole};
use super::known::Known;
use super::state::{Conversation, Invitation, Member};
use crate::domain::policy::{History, JoinRule, Role};
use crate::domain::{ConversationId, TenantId, Timestamp};

/// Applies what `decide` recorded. An event for a conversation that does not exist creates it if it is the first, and is
/// otherwise without effect (a reader that starts in the middle loads the state first).
pub fn evolve(state: &mut Option<Conversation>, id: ConversationId, tenant: TenantId, recorded: &Recorded) {
    if let Event::Created(created) = &recorded.event {
        *state = Some(create(id, tenant, created, recorded));
        return;
    }
    let Some(conversation) = state else { return };
    if recorded.position > 0 {
        debug_assert_eq!(recorded.position, conversation.last_position + 1, "positions have no gap");
        conversation.last_position = recorded.position;
        conversation.last_at = recorded.at;
    }
    conversation.known.evolve(recorded);
    match &recorded.event {
        Event::Created(_)
        | Event::Edited(_)
        | Event::Located(_)
        | Event::Voted(_)
        | Event::PollClosed(_)
        | Event::ThreadRead(_)
        | Event::Reacted(_)
        | Event::Unreacted(_)
        | Event::Hidden(_)
        | Event::Draft(_)
        | Event::Reported(_)
        | Event::Resolved(_) => {}
        Event::Settings(settings) => {
            if let Some(member) = conversation.members.get_mut(&recorded.actor) {
                member.settings = *settings;
            }
        }
        Event::Sent(sent) => {
            conversation.last_seq = sent.seq;
            if let Some(member) = conversation.members.get_mut(&recorded.actor) {
                member.read_seq = sent.seq;
                member.delivered_seq = sent.seq;
                member.last_sent_at = Some(recorded.at);
            }
        }
        Event::Invited(invite) => {
            conversation.invites.insert(invite.invite, Invitation { invite: *invite, uses: 0 });
        }
        Event::InviteRevoked(of) => {
            conversation.invites.remove(&of.invite);
        }
        Event::Requested => drop(conversation.requests.insert(recorded.actor)),
        Event::Declined(declined) => conversation.requests.retain(|user| !declined.users.contains(user)),
        Event::Joined(joined) => join(conversation, joined),
        Event::Left(left) => leave(conversation, left),
        Event::Read(read) | Event::Delivered(read) => {
            if let Some(member) = conversation.members.get_mut(&recorded.actor) {
                member.read_seq = read.read_seq;
                member.delivered_seq = read.delivered_seq;
            }
        }
        Event::Deleted(deleted) => {
            for removed in &deleted.messages {
                conversation.pins.remove(&removed.seq);
            }
        }
        Event::Pinned(of) => drop(conversation.pins.insert(of.seq)),
        Event::Unpinned(of) => drop(conversation.pins.remove(&of.seq)),
        Event::Updated(update) => {
            conversation.history = update.history.unwrap_or(conversation.history);
            conversation.join = update.join.unwrap_or(conversation.join);
            conversation.frozen = update.frozen.unwrap_or(conversation.frozen);
            conversation.slow_mode_ms = update.slow_mode_ms.unwrap_or(conversation.slow_mode_ms);
        }
        Event::Block(block) => {
            if let Some(member) = conversation.members.get_mut(&recorded.actor) {
                member.blocks = block.blocked;
            }
        }
        Event::Unbanned(lifted) => conversation.bans.retain(|user, _| !lifted.users.contains(user)),
        Event::Unmuted(lifted) => conversation.mutes.retain(|user, _| !lifted.users.contains(user)),
        Event::Muted(muted) => {
            let until = Timestamp::end_of(muted.until);
            conversation.mutes.extend(muted.users.iter().map(|user| (*user, until)));
        }
        Event::Role(MemberRole { user, role }) => {
            if let Some(member) = conversation.members.get_mut(user) {
                member.role = *role;
            }
        }
    }
}

fn create(id: ConversationId, tenant: TenantId, created: &ConversationCreated, recorded: &Recorded) -> Conversation {
    let members = created
        .members
        .iter()
        .zip(0..)
        .map(|(member, slot)| (member.user, Member::new(member.role, slot, 0)))
        .collect();
    Conversation {
        id,
        tenant,
        kind: created.kind,
        members,
        next_slot: created.members.len() as i64,
        last_position: recorded.position,
        last_seq: 0,
        last_at: recorded.at,
        history: History::All,
        join: JoinRule::of(created.kind),
        frozen: false,
        slow_mode_ms: 0,
        invites: BTreeMap::new(),
        requests: BTreeSet::new(),
        bans: HashMap::new(),
        mutes: HashMap::new(),
        pins: BTreeSet::new(),
        known: Known::default(),
    }
}

fn join(conversation: &mut Conversation, joined: &MemberJoined) {
    for (user, slot) in joined.users.iter().zip(joined.first_slot..) {
        conversation.members.insert(*user, Member::new(joined.role, slot, joined.read_seq));
    }
    conversation.next_slot = joined.first_slot + joined.users.len() as i64;
    conversation.requests.retain(|user| !joined.users.contains(user));
    if let Some(invitation) = joined.invite.and_then(|invite| conversation.invites.get_mut(&invite)) {
        invitation.uses += joined.users.len() as i64;
    }
}

fn leave(conversation: &mut Conversation, left: &MemberLeft) {
    for user in &left.users {
        conversation.members.remove(user);
    }
    let until = Timestamp::end_of(left.until);
    conversation.bans.extend(left.banned.iter().map(|user| (*user, until)));
    conversation.requests.retain(|user| !left.banned.contains(user));
    if let Some(member) = left.promoted.and_then(|user| conversation.members.get_mut(&user)) {
        member.role = Role::Owner;
    }
}
