//! stub until presence lands
use super::Installation;
use crate::codec::records::{PresenceStatus, Session};
use crate::domain::{TenantId, UserId};
use crate::gateway::Edge;
use crate::gateway::failure::Failure;
use crate::gateway::hub::Socket;
use crate::gateway::ports::{Presence, PresenceRow};
use crate::log::Producer;
use crate::sessions::SessionTable;
use async_trait::async_trait;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
pub struct Present;
impl Present {
    pub fn begin(&self, _: Arc<Edge>) {}
}
pub async fn start(
    _: &Installation,
    _: &Producer,
    _: &Arc<SessionTable>,
    _: CancellationToken,
) -> anyhow::Result<Arc<Present>> {
    Ok(Arc::new(Present))
}
#[async_trait]
impl Presence for Present {
    fn connected(&self, _: &Session) {}
    fn disconnected(&self, _: &Session) {}
    async fn set(&self, _: &Arc<Socket>, _: PresenceStatus) -> Result<(), Failure> {
        Ok(())
    }
    async fn watch(&self, _: &Arc<Socket>, users: &[UserId]) -> Result<Vec<PresenceRow>, Failure> {
        Ok(users.iter().map(|u| PresenceRow { user: *u, status: PresenceStatus::Offline, last_seen: None }).collect())
    }
    async fn unwatch(&self, s: &Arc<Socket>, users: &[UserId]) -> Result<Vec<PresenceRow>, Failure> {
        self.watch(s, users).await
    }
    async fn current(&self, _: TenantId, users: &[UserId]) -> Result<Vec<PresenceRow>, Failure> {
        Ok(users.iter().map(|u| PresenceRow { user: *u, status: PresenceStatus::Offline, last_seen: None }).collect())
    }
}
