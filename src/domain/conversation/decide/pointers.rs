//! Read and delivered pointers, of conversations and of threads: they only rise, and what was read was delivered.

use super::{Outcome, already, bad_request, beside, check_seq, not_found};
use crate::domain::Rejection;
use crate::domain::conversation::command::{Input, MarkRead};
use crate::domain::conversation::event::{Event, InThread, Read};
use crate::domain::conversation::state::{Conversation, Member};
use crate::domain::policy::Action;

fn member(conversation: &Conversation, input: &Input, seq: i64) -> Result<Member, Rejection> {
    conversation.allow(input, Action::View)?;
    check_seq(conversation, input, "seq", seq)?;
    conversation.members.get(&input.actor).copied().ok_or_else(not_found)
}

pub fn read(conversation: &Conversation, input: &Input, read: &MarkRead) -> Outcome {
    let member = member(conversation, input, read.seq)?;
    if read.seq <= member.read_seq {
        return already(conversation);
    }
    let pointers = Read { read_seq: read.seq, delivered_seq: read.seq.max(member.delivered_seq) };
    beside(conversation, input, Event::Read(pointers))
}

pub fn delivered(conversation: &Conversation, input: &Input, delivered: &MarkRead) -> Outcome {
    let member = member(conversation, input, delivered.seq)?;
    if delivered.seq <= member.delivered_seq {
        return already(conversation);
    }
    beside(conversation, input, Event::Delivered(Read { read_seq: member.read_seq, delivered_seq: delivered.seq }))
}

pub fn read_thread(conversation: &Conversation, input: &Input, read: InThread) -> Outcome {
    conversation.allow(input, Action::View)?;
    check_seq(conversation, input, "thread", read.thread)?;
    let thread = conversation.known.threads.get(&read.thread);
    if !(1..=thread.map_or(0, |thread| thread.last)).contains(&read.thread_seq) {
        return Err(bad_request("thread_seq names no message of this thread"));
    }
    if thread.and_then(|thread| thread.readers.get(&input.actor)).is_some_and(|before| *before >= read.thread_seq) {
        return already(conversation);
    }
    beside(conversation, input, Event::ThreadRead(read))
}
