//! What all sockets of a gateway may have waiting together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What all queues of a gateway hold together, in bytes.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    /// In bytes.
    pub(super) limit: usize,
}

impl Budget {
    /// Of at most `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), limit })
    }

    /// How many there are now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn change(&self, before: usize, after: usize) {
        if after >= before {
            self.used.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.used.fetch_sub(before - after, Ordering::Relaxed);
        }
    }
}
