//! What a member changes for itself, and nobody else learns.

use super::{Outcome, already, bad_request, beside, check_seq, not_found};
use crate::domain::conversation::command::{Block, ChangeSettings, Draft, Input, OfMessage};
use crate::domain::conversation::event::{Event, Settings};
use crate::domain::conversation::state::Conversation;
use crate::domain::policy::{Action, ConversationKind};

pub fn settings(conversation: &Conversation, input: &Input, change: &ChangeSettings) -> Outcome {
    conversation.allow(input, Action::View)?;
    let before = conversation.members.get(&input.actor).ok_or_else(not_found)?.settings;
    let ChangeSettings { muted_until, unmuted, pinned, archived, notify } = *change;
    let after = Settings {
        muted_until: muted_until.or(before.muted_until.filter(|_| !unmuted)),
        pinned: pinned.unwrap_or(before.pinned),
        archived_seq: match archived {
            Some(true) => Some(conversation.last_seq),
            Some(false) => None,
            None => before.archived_seq,
        },
        notify: notify.unwrap_or(before.notify),
    };
    if after == before { already(conversation) } else { beside(conversation, input, Event::Settings(after)) }
}

pub fn hide(conversation: &Conversation, input: &Input, of: OfMessage) -> Outcome {
    conversation.allow(input, Action::View)?;
    check_seq(conversation, input, "seq", of.seq)?;
    beside(conversation, input, Event::Hidden(of))
}

pub fn draft(conversation: &Conversation, input: &Input, draft: &Draft) -> Outcome {
    conversation.allow(input, Action::View)?;
    beside(conversation, input, Event::Draft(draft.clone()))
}

pub fn block(conversation: &Conversation, input: &Input, block: Block) -> Outcome {
    conversation.allow(input, Action::View)?;
    let member = conversation.members.get(&input.actor).ok_or_else(not_found)?;
    if conversation.kind != ConversationKind::Direct {
        return Err(bad_request("only users are blocked; leave the conversation, or remove them"));
    }
    if member.blocks == block.blocked {
        already(conversation)
    } else {
        beside(conversation, input, Event::Block(block))
    }
}
