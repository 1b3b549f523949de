//! [`CatchUp`] over the catching up of the present incarnation.

use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;

use super::Views;
use crate::codec::records::{Marks, Session};
use crate::domain::{SessionId, UserId};
use crate::gateway::catch_up::{self, CatchUpSink, Joined};
use crate::gateway::edge::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::ports::{CatchUp, Caught, ConversationRow};
use crate::gateway::session;

/// Each incarnation has its own; sockets of another are closed by then.
#[derive(Default)]
pub struct CatchingUp(ArcSwapOption<catch_up::CatchUp<Views>>);

impl CatchingUp {
    /// From now on `current` is asked. To be called before [`Edge::begin`].
    pub fn begin(&self, current: Arc<catch_up::CatchUp<Views>>) {
        self.0.store(Some(current));
    }
}

#[async_trait]
impl CatchUp for CatchingUp {
    async fn catch_up(&self, session: &Session, registered_at: i64, cursor: Option<&str>) -> Result<Caught, Failure> {
        let gone = || Failure::unavailable("this gateway has another place by now; connect again");
        let current = self.0.load_full().ok_or_else(gone)?;
        let joined = Joined {
            tenant: session.tenant,
            user: session.user,
            session: session.session,
            registered_at,
            cursor: cursor.map(str::to_owned),
        };
        current.catch_up(joined).await.map(Caught::from).ok_or_else(gone)
    }

    fn left(&self, session: &Session) {
        if let Some(current) = &*self.0.load() {
            current.unregister(session.session);
        }
    }

    fn marks(&self, marks: Marks) {
        if let Some(current) = &*self.0.load() {
            current.marks(&marks);
        }
    }
}

impl From<catch_up::Caught<ConversationRow>> for Caught {
    fn from(caught: catch_up::Caught<ConversationRow>) -> Self {
        Self { conversations: caught.rows, cursor: caught.cursor, reset: caught.reset }
    }
}

/// Writes to the sockets of an edge that is made after it.
#[derive(Default)]
pub struct Resender(OnceLock<Weak<Edge>>);

impl Resender {
    /// To be called once, before the first incarnation begins.
    pub fn serve(&self, edge: &Arc<Edge>) {
        // The first one stays.
        let _ = self.0.set(Arc::downgrade(edge));
    }
}

impl CatchUpSink<ConversationRow> for Resender {
    fn caught_up_again(&self, user: UserId, session: SessionId, caught: catch_up::Caught<ConversationRow>) {
        if let Some(edge) = self.0.get().and_then(Weak::upgrade) {
            session::tell_again(&edge, user, session, caught.into());
        }
    }
}
