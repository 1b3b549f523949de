//! The indexer, with the keys of all users.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::gateway::check_root;
use super::{Health, Installation};
use crate::crypto::Keyring;
use crate::indexer::{self, Options};

/// Indexes until `shutdown`.
///
/// # Errors
/// If what it needs cannot be read, or its group cannot go on.
pub async fn run(installation: Installation, health: Arc<Health>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let master = installation.master()?;
    // With another root the hashes would be others than those that gateways ask for.
    check_root(&installation, &*master).await?;
    let term_key = master.term_key();
    // Keys are needed until the last batch is done.
    let keys_end = CancellationToken::new();
    let _keys_end = keys_end.clone().drop_guard();
    let keyring = Keyring::start(&installation.client, installation.codec, master, keys_end).await?;
    let options = Options {
        client: installation.client.clone(),
        codec: installation.codec,
        store: installation.store.clone(),
        keyring,
        term_key,
        batch_records: installation.config.indexer.batch_records,
        interval: installation.config.indexer.interval,
        session_timeout_ms: installation.session_timeout_ms(),
        stopped: Arc::clone(&health.index),
    };
    indexer::run(options, shutdown).await
}
