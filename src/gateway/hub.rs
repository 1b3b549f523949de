//! Which users have sockets here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use dashmap::DashMap;
use tokio_util::sync::CancellationToken;

use super::closing::Closing;
use super::outbox::{Outbox, Worth};
use crate::domain::{SessionId, TenantId, Timestamp, UserId};

/// A socket that said `hello`, as others see it.
#[derive(Debug)]
pub struct Socket {
    /// Whose user it is.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// This connection.
    pub session: SessionId,
    /// What is to be written.
    pub outbox: Outbox,
    /// When its token ends, in milliseconds since 1970.
    expires_at: AtomicI64,
}

impl Socket {
    /// One with an empty outbox.
    pub fn new(tenant: TenantId, user: UserId, session: SessionId, outbox: Outbox, expires_at: Timestamp) -> Self {
        Self { tenant, user, session, outbox, expires_at: AtomicI64::new(expires_at.0) }
    }

    /// When its token ends.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp(self.expires_at.load(Ordering::Relaxed))
    }

    /// After `auth.refresh`.
    pub fn set_expires_at(&self, at: Timestamp) {
        self.expires_at.store(at.0, Ordering::Relaxed);
    }
}

/// All sockets of this gateway that said `hello`.
#[derive(Debug, Default)]
pub struct Hub {
    users: DashMap<UserId, Vec<Arc<Socket>>>,
    sockets: AtomicUsize,
    draining: AtomicBool,
}

impl Hub {
    /// From now on the socket gets what its user gets.
    pub fn add(&self, socket: Arc<Socket>) {
        self.users.entry(socket.user).or_default().push(socket);
        self.count(|sockets| sockets.fetch_add(1, Ordering::Relaxed) + 1);
    }

    /// The socket gets nothing any more.
    pub fn remove(&self, socket: &Arc<Socket>) {
        let mut removed = 0;
        self.users.remove_if_mut(&socket.user, |_, sockets| {
            let before = sockets.len();
            sockets.retain(|other| !Arc::ptr_eq(other, socket));
            removed = before - sockets.len();
            sockets.is_empty()
        });
        self.count(|sockets| sockets.fetch_sub(removed, Ordering::Relaxed) - removed);
    }

    fn count(&self, change: impl FnOnce(&AtomicUsize) -> usize) {
        let sockets = change(&self.sockets) as f64;
        metrics::gauge!("tidings_gateway_sockets").set(sockets);
        let left = if self.draining.load(Ordering::Relaxed) { sockets } else { 0.0 };
        metrics::gauge!("tidings_gateway_sockets_draining").set(left);
    }

    /// Tells of them, also while there are none.
    pub fn tell(&self) {
        self.count(|sockets| sockets.load(Ordering::Relaxed));
    }

    /// How many sockets there are.
    pub fn len(&self) -> usize {
        self.sockets.load(Ordering::Relaxed)
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes `frame` to the sockets of `user`, except the one of `except`. To how many.
    pub fn push(
        &self,
        tenant: TenantId,
        user: UserId,
        frame: &Utf8Bytes,
        worth: Worth,
        except: Option<SessionId>,
    ) -> usize {
        let Some(sockets) = self.users.get(&user) else { return 0 };
        let mut written = 0;
        for socket in sockets.iter().filter(|socket| Some(socket.session) != except && socket.tenant == tenant) {
            socket.outbox.push(frame.clone(), worth);
            written += 1;
        }
        written
    }

    /// Writes `frame` to one socket. Whether it is here.
    pub fn push_session(&self, user: UserId, session: SessionId, frame: &Utf8Bytes, worth: Worth) -> bool {
        let socket = self.session(user, session);
        if let Some(socket) = &socket {
            socket.outbox.push(frame.clone(), worth);
        }
        socket.is_some()
    }

    /// Whether `user` has a socket here.
    pub fn has(&self, user: UserId) -> bool {
        self.users.contains_key(&user)
    }

    /// The socket of `session`.
    pub fn session(&self, user: UserId, session: SessionId) -> Option<Arc<Socket>> {
        self.users.get(&user)?.iter().find(|socket| socket.session == session).cloned()
    }

    /// Whether all sockets are ending.
    #[cfg(test)]
    pub(crate) fn is_ending(&self) -> bool {
        self.all().iter().all(|socket| socket.outbox.is_ending())
    }

    /// The one socket of `user`.
    #[cfg(test)]
    pub(crate) fn only(&self, user: UserId) -> Arc<Socket> {
        let sockets = self.users.get(&user).map(|sockets| sockets.clone()).unwrap_or_default();
        assert_eq!(sockets.len(), 1);
        Arc::clone(&sockets[0])
    }

    /// Closes the sockets of `user`.
    pub fn close_user(&self, user: UserId, closing: Closing) {
        for socket in self.users.get(&user).iter().flat_map(|sockets| sockets.iter()) {
            socket.outbox.close(closing);
        }
    }

    /// Closes every socket now: deliveries may have been missed, so only a new connection closes the gap.
    pub fn close_all(&self, closing: Closing) {
        for socket in self.all() {
            socket.outbox.close(closing);
        }
    }

    /// Ends every socket, evenly over `time`, so that the other gateways are not hit by all at once; from `hurry` on, at once. Each is closed
    /// when what it asked is answered.
    pub async fn drain(&self, time: Duration, hurry: &CancellationToken) {
        const STEPS: u32 = 50;
        self.draining.store(true, Ordering::Relaxed);
        self.tell();
        let sockets = self.all();
        let step = time / STEPS;
        for chunk in sockets.chunks(sockets.len().div_ceil(STEPS as usize).max(1)) {
            for socket in chunk {
                socket.outbox.finish(Closing::Draining);
            }
            hurry.run_until_cancelled(tokio::time::sleep(step)).await;
        }
        // Who connected in between.
        for socket in self.all() {
            socket.outbox.finish(Closing::Draining);
        }
    }

    /// Not while holding a shard's lock: closing takes the lock of each outbox.
    fn all(&self) -> Vec<Arc<Socket>> {
        self.users.iter().flat_map(|sockets| sockets.value().clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::outbox::{Budget, Next};
    use super::*;

    fn socket(user: UserId) -> Arc<Socket> {
        let outbox = Outbox::new(1_000, Budget::new(usize::MAX));
        Arc::new(Socket::new(TenantId::default(), user, SessionId::generate(), outbox, Timestamp(0)))
    }

    #[test]
    fn a_push_reaches_all_sockets_of_the_user_but_the_one_it_came_from() {
        let hub = Hub::default();
        let (ada, eve) = (UserId::generate(), UserId::generate());
        let sockets = [socket(ada), socket(ada), socket(eve)];
        sockets.iter().for_each(|socket| hub.add(socket.clone()));
        let frame = Utf8Bytes::from("x");
        assert_eq!(hub.push(TenantId::default(), ada, &frame, Worth::Durable, Some(sockets[0].session)), 1);
        let next = |socket: &Socket| socket.outbox.next(100).now_or_never();
        assert_eq!(next(&sockets[0]), None);
        assert_eq!(next(&sockets[1]), Some(Next::Frames(vec![frame.clone()])));
        assert_eq!(next(&sockets[2]), None);
        assert_eq!(hub.push(TenantId::generate(), ada, &frame, Worth::Durable, None), 0);
    }

    #[test]
    fn a_removed_socket_leaves_nothing_behind() {
        let hub = Hub::default();
        let socket = socket(UserId::generate());
        hub.add(socket.clone());
        assert_eq!(hub.len(), 1);
        hub.remove(&socket);
        hub.remove(&socket);
        assert!(hub.is_empty());
        assert!(hub.users.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn draining_is_spread_over_its_time() {
        let hub = Arc::new(Hub::default());
        let sockets: Vec<_> = (0..100).map(|_| socket(UserId::generate())).collect();
        sockets.iter().for_each(|socket| hub.add(socket.clone()));
        let closed = || sockets.iter().filter(|socket| socket.outbox.closing().is_some()).count();
        let draining = tokio::spawn({
            let hub = hub.clone();
            async move { hub.drain(Duration::from_secs(10), &CancellationToken::new()).await }
        });
        tokio::time::sleep(Duration::from_millis(5_010)).await;
        assert!((45..=60).contains(&closed()), "{}", closed());
        draining.await.unwrap_or_default();
        assert_eq!(closed(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn who_hurries_waits_for_nothing_but_answers() {
        let hub = Hub::default();
        let (idle, asking) = (socket(UserId::generate()), socket(UserId::generate()));
        hub.add(idle.clone());
        hub.add(asking.clone());
        asking.outbox.owe();
        let hurry = CancellationToken::new();
        hurry.cancel();
        let began = tokio::time::Instant::now();
        hub.drain(Duration::from_secs(600), &hurry).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!((idle.outbox.closing(), asking.outbox.closing()), (Some(Closing::Draining), None));
        asking.outbox.paid();
        assert_eq!(asking.outbox.closing(), Some(Closing::Draining));
    }
}
