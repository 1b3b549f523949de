//! The sequencer, for conversations and for users, on the views of Postgres.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{Health, Installation};
use crate::crypto::{MasterError, MasterKeys, make_key, rewrap_key};
use crate::domain::conversation::Lookup;
use crate::domain::{ConversationId, Timestamp, UserId, user};
use crate::log::journal::Head;
use crate::log::{Checkpoints, Ownership, Producer, Reader, topics};
use crate::sequencer::aggregate::{Aggregate, Command};
use crate::sequencer::conversations::Conversations;
use crate::sequencer::owner::OwnerLimits;
use crate::sequencer::partition::{Loaded, Options, Shared, Surroundings};
use crate::sequencer::routing::Router;
use crate::sequencer::users::Users;
use crate::sessions::SessionTable;
use crate::store::{LIVE, Store};

struct ConversationViews(Store);

#[async_trait]
impl Surroundings<Conversations> for ConversationViews {
    async fn load(
        &self,
        partition: i32,
        ids: &[ConversationId],
        lookups: &[(ConversationId, Lookup)],
        recent_since: Timestamp,
    ) -> anyhow::Result<Loaded<Conversations>> {
        let loaded = self.0.load_conversations(partition, ids, lookups, recent_since).await?;
        Ok(Loaded { head: loaded.head, states: loaded.conversations, found: loaded.found })
    }

    async fn view_head(&self, partition: i32) -> anyhow::Result<Head> {
        Ok(self.0.head(LIVE, topics::CONVERSATION_JOURNAL, partition).await?)
    }

    async fn prepare(&self, _: bool, _: &mut Command<Conversations>) -> anyhow::Result<()> {
        Ok(())
    }
}

struct UserViews(Store, Arc<dyn MasterKeys>);

#[async_trait]
impl Surroundings<Users> for UserViews {
    async fn load(
        &self,
        partition: i32,
        ids: &[UserId],
        _: &[(UserId, Infallible)],
        _: Timestamp,
    ) -> anyhow::Result<Loaded<Users>> {
        let loaded = self.0.load_users(partition, ids).await?;
        Ok(Loaded { head: loaded.head, states: loaded.users, found: HashMap::new() })
    }

    async fn view_head(&self, partition: i32) -> anyhow::Result<Head> {
        Ok(self.0.head(LIVE, topics::USER_JOURNAL, partition).await?)
    }

    async fn prepare(&self, exists: bool, command: &mut Command<Users>) -> anyhow::Result<()> {
        let (tenant, user) = (command.tenant, command.aggregate);
        match &command.input.command {
            user::Command::Put(_) if !exists => {
                command.input.fresh_key = Some(make_key(&*self.1, tenant, user, 1).await?);
            }
            user::Command::Put(_)
            | user::Command::Block(_)
            | user::Command::Unblock(_)
            | user::Command::SetPrivacy(_)
            | user::Command::SetModerator(_) => {}
            user::Command::Rewrap(key) => match rewrap_key(&*self.1, tenant, user, key).await {
                Ok(fresh) => command.input.fresh_key = Some(fresh),
                Err(error @ MasterError::Away(_)) => return Err(error.into()),
                // The command is refused; that it cannot be done must not stop the partition.
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "a data key cannot be wrapped anew");
                }
            },
        }
        Ok(())
    }
}

/// Runs both aggregates until `shutdown`.
///
/// # Errors
/// If Kafka cannot be reached, or a group cannot go on.
pub async fn run(installation: Installation, health: Arc<Health>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let sessions = SessionTable::start_with(
        &installation.client,
        installation.codec,
        installation.config.sessions.overdue,
        // It must outlive the owners, who route until they have finished.
        CancellationToken::new(),
    )
    .await?;
    let store = installation.store.clone();
    let views = UserViews(store.clone(), installation.master()?);
    let conversations = own::<Conversations>(
        &installation,
        Arc::clone(&sessions),
        Arc::new(ConversationViews(store)),
        true,
        shutdown.clone(),
    );
    let users = own::<Users>(&installation, sessions, Arc::new(views), false, shutdown);
    health.set_ready();
    tokio::try_join!(conversations, users).map(drop)
}

async fn own<A: Aggregate>(
    installation: &Installation,
    sessions: Arc<SessionTable>,
    surroundings: Arc<dyn Surroundings<A>>,
    signals: bool,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let (client, codec, config) = (&installation.client, installation.codec, &installation.config.sequencer);
    let mut linger = client.clone();
    linger.set("linger.ms", installation.config.kafka.linger.as_millis().to_string());
    let producer = Producer::new(&linger)?;
    let group = format!("sequencer-{}", A::COMMANDS);
    let (ownership, changes) = Ownership::join(client, &group, A::COMMANDS, installation.session_timeout_ms())?;
    let partitions = installation.partitions();
    let shared = Shared {
        codec,
        producer: producer.clone(),
        router: Router { codec, producer, sessions, partitions },
        surroundings,
        ownership,
        checkpoints: Checkpoints::new(client, codec),
        commands: Reader::new(client, A::COMMANDS)?,
        journal: Reader::new(client, A::JOURNAL)?,
        signals: if signals { Some(Reader::new(client, topics::CONVERSATION_SIGNALS)?) } else { None },
        options: Options {
            partitions,
            batch_commands: config.batch_commands,
            load_timeout: config.load_timeout,
            commit_interval: config.commit_interval,
            limits: OwnerLimits {
                tail_bytes: config.tail_limit_bytes,
                hot: config.hot_conversations,
                crowd: config.receipts_fanout_members,
            },
            typing_members: config.typing_fanout_members,
        },
    };
    crate::sequencer::run(Arc::new(shared), changes, shutdown).await
}
