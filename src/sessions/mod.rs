//! stub until cluster lands
use crate::domain::{IncarnationId, UserId};
#[derive(Clone, Copy, Debug)]
pub struct Gateway {
    pub incarnation: IncarnationId,
    pub partition: i32,
}
pub struct SessionTable;
impl SessionTable {
    pub fn gateways_of(&self, _: UserId) -> Vec<Gateway> {
        Vec::new()
    }
    pub fn live_gateways(&self) -> Vec<Gateway> {
        Vec::new()
    }
    pub fn offset(&self) -> i64 {
        0
    }
    pub async fn read_to_end_now(&self) -> anyhow::Result<()> {
        Ok(())
    }
    pub fn new_sessions(&self) -> tokio::sync::watch::Receiver<u64> {
        tokio::sync::watch::channel(0).1
    }
}
