//! From one state to the next.

use std::collections::HashMap;

use super::Recorded;
use super::event::{ConversationCreated, Event, MemberJoined, MemberLeft};
use super::state::{Conversation, Member, Sent};
use crate::domain::policy::Role;
use crate::domain::{ConversationId, TenantId};

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
    match &recorded.event {
        Event::Created(_) => {}
        Event::Sent(sent) => {
            conversation.last_seq = sent.seq;
            let told = Sent { seq: sent.seq, position: recorded.position, at: recorded.at };
            conversation.sent.insert((recorded.actor, sent.client_id), told);
            if let Some(member) = conversation.members.get_mut(&recorded.actor) {
                member.read_seq = sent.seq;
                member.delivered_seq = sent.seq;
            }
        }
        Event::Joined(joined) => join(conversation, joined),
        Event::Left(left) => leave(conversation, left),
        Event::Read(read) => {
            if let Some(member) = conversation.members.get_mut(&recorded.actor) {
                member.read_seq = read.read_seq;
                member.delivered_seq = read.delivered_seq;
            }
        }
    }
}

fn create(id: ConversationId, tenant: TenantId, created: &ConversationCreated, recorded: &Recorded) -> Conversation {
    let members = created
        .members
        .iter()
        .zip(0..)
        .map(|(member, slot)| (member.user, Member { role: member.role, slot, read_seq: 0, delivered_seq: 0 }))
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
        sent: HashMap::new(),
    }
}

fn join(conversation: &mut Conversation, joined: &MemberJoined) {
    for (user, slot) in joined.users.iter().zip(joined.first_slot..) {
        let member = Member { role: joined.role, slot, read_seq: joined.read_seq, delivered_seq: joined.read_seq };
        conversation.members.insert(*user, member);
    }
    conversation.next_slot = joined.first_slot + joined.users.len() as i64;
}

fn leave(conversation: &mut Conversation, left: &MemberLeft) {
    for user in &left.users {
        conversation.members.remove(user);
    }
    if let Some(member) = left.promoted.and_then(|user| conversation.members.get_mut(&user)) {
        member.role = Role::Owner;
    }
}
