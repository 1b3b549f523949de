//! That somebody types is passed on at most every [`PAUSE`] for a conversation: clients say it with every key.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::{ConversationId, UserId};

/// Between two times that it is passed on.
const PAUSE: Duration = Duration::from_secs(3);
/// Without a word for this long somebody has stopped. Clients are told with each push: two of them may be lost or late.
pub const EXPIRES: Duration = Duration::from_secs(8);
/// More than this are looked through for old ones, and again only when they have doubled: all may be new.
const KEPT: usize = 1_000;

/// Who was last said to type where, and when.
#[derive(Default)]
pub struct Typing(Mutex<Said>);

#[derive(Default)]
struct Said {
    at: HashMap<(UserId, ConversationId), Instant>,
    kept: usize,
}

impl Typing {
    /// Whether it is to be passed on that `user` types, or does no more.
    pub fn passes(&self, user: UserId, conversation: ConversationId, active: bool) -> bool {
        let now = Instant::now();
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !active {
            // Whoever begins anew is shown at once.
            said.at.remove(&(user, conversation));
            return true;
        }
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= PAUSE;
        if said.at.len() > said.kept.max(KEPT) {
            said.at.retain(|_, at| !is_old(at));
            said.kept = said.at.len() * 2;
        }
        let passes = said.at.get(&(user, conversation)).is_none_or(is_old);
        if passes {
            said.at.insert((user, conversation), now);
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn typing_is_passed_on_once_in_a_while() {
        let typing = Typing::default();
        let (ada, eve, here) = (UserId::generate(), UserId::generate(), ConversationId::generate());
        assert!(typing.passes(ada, here, true));
        assert!(!typing.passes(ada, here, true));
        assert!(typing.passes(eve, here, true) && typing.passes(ada, ConversationId::generate(), true));
        tokio::time::advance(PAUSE / 2).await;
        assert!(!typing.passes(ada, here, true));
        tokio::time::advance(PAUSE / 2).await;
        assert!(typing.passes(ada, here, true), "or others would take it to have stopped");
        assert!(!typing.passes(ada, here, true));
        assert!(typing.passes(ada, here, false) && typing.passes(ada, here, true), "it stopped and began again");
    }

    #[tokio::test(start_paused = true)]
    async fn who_stopped_long_ago_is_forgotten() {
        let typing = Typing::default();
        for _ in 0..=KEPT {
            typing.passes(UserId::generate(), ConversationId::generate(), true);
        }
        tokio::time::advance(PAUSE).await;
        typing.passes(UserId::generate(), ConversationId::generate(), true);
        assert_eq!(typing.0.lock().expect("not poisoned").at.len(), 1);
    }
}
