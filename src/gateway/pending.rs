//! Commands that wait for their reply, which comes over `deliveries`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dashmap::DashMap;
use tokio::sync::oneshot;

use crate::codec::records::Reply;
use crate::domain::UserId;

struct Waiter {
    user: UserId,
    reply: oneshot::Sender<Reply>,
}

/// What waits, by the number that goes with the command. It holds at most what the callers' time-out lets in.
#[derive(Default)]
pub struct Pending {
    last: AtomicI64,
    waiting: DashMap<i64, Waiter>,
}

/// One that waits. Dropping it gives up.
pub struct Waiting {
    /// Goes with the command.
    pub reference: i64,
    reply: oneshot::Receiver<Reply>,
    pending: Arc<Pending>,
}

impl Pending {
    /// A new number to wait for, on behalf of `user`.
    pub fn register(self: &Arc<Self>, user: UserId) -> Waiting {
        let reference = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, reply) = oneshot::channel();
        self.waiting.insert(reference, Waiter { user, reply: sender });
        Waiting { reference, reply, pending: Arc::clone(self) }
    }

    /// Whose command has this number, if it still waits.
    pub fn user(&self, reference: i64) -> Option<UserId> {
        self.waiting.get(&reference).map(|waiter| waiter.user)
    }

    /// Hands `reply` to whoever waits for it; nobody may: it gave up, or has heard it before.
    pub fn complete(&self, reply: Reply) {
        if let Some((_, waiter)) = self.waiting.remove(&reply.reference) {
            // Gave up this moment.
            let _ = waiter.reply.send(reply);
        }
    }

    /// Tells all who wait that there will be no reply.
    pub fn give_up(&self) {
        self.waiting.clear();
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Waiting {
    /// The reply. None if there will be none.
    pub async fn reply(&mut self) -> Option<Reply> {
        (&mut self.reply).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.pending.waiting.remove(&self.reference);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::Timestamp;

    pub fn reply(reference: i64) -> Reply {
        Reply {
            reference,
            code: None,
            message: String::new(),
            aggregate: String::new(),
            position: 7,
            seq: 3,
            at: Timestamp(0),
            duplicate: false,
            retry_after_ms: None,
        }
    }

    #[tokio::test]
    async fn each_hears_its_own_reply() {
        let pending = Arc::new(Pending::default());
        let (mut first, mut second) = (pending.register(UserId::generate()), pending.register(UserId::generate()));
        pending.complete(reply(second.reference));
        pending.complete(reply(second.reference));
        pending.complete(reply(first.reference));
        pending.complete(reply(99));
        assert_eq!(second.reply().await.map(|reply| reply.reference), Some(second.reference));
        assert_eq!(first.reply().await.map(|reply| reply.reference), Some(first.reference));
    }

    #[test]
    fn who_gives_up_leaves_nothing_behind() {
        let pending = Arc::new(Pending::default());
        let waiting = pending.register(UserId::generate());
        assert_eq!(pending.len(), 1);
        drop(waiting);
        assert!(pending.is_empty());
    }
}
