//! What may be committed: commands are done in the order of their offsets, however they were settled.

use std::collections::VecDeque;

use crate::log::journal::Head;

/// Commands that are settled and delivered, and what is committed.
#[derive(Debug)]
pub struct Progress {
    settled: VecDeque<(i64, Head)>,
    committed: (i64, Head),
}

impl Progress {
    /// Starts where the last owner committed: first command not done, and how far the journal was then.
    pub fn new(offset: i64, head: Head) -> Self {
        Self { settled: VecDeque::new(), committed: (offset, head) }
    }

    /// A command is settled and all that follows from it is durable. Called in the order of outcomes.
    pub fn settle(&mut self, command_offset: i64, head: Head) {
        self.settled.push_back((command_offset, head));
    }

    /// The commit that is possible while `undecided` is the first command not decided yet. An adopted record can settle a command
    /// after it (a zombie was ahead), which must not carry the commit past commands that nobody has answered.
    pub fn point(&mut self, undecided: i64) -> (i64, Head) {
        while let Some((offset, head)) = self.settled.front().copied() {
            if offset >= undecided {
                break;
            }
            self.settled.pop_front();
            self.committed = (self.committed.0.max(offset + 1), head);
        }
        self.committed
    }
}
