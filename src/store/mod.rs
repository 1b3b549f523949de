//! Postgres: connecting, migrations, and the queries of sequencers and gateways. Views only; see `projections/`.

mod due;
mod entrances;
mod history;
mod installation;
mod load;
mod people;
mod reads;
mod reports;
mod restores;
mod rows;
mod search;
mod tenancy;
mod threads;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgPool};

use crate::domain::EventId;
use crate::log::journal::Head;
use crate::projector::catalog::{self, Installed};

pub use due::Due;
pub use entrances::{ChannelRow, InviteRow};
pub use load::{LoadedConversations, LoadedUsers};
pub use people::{PointersRow, ReceiptsRow};
pub use reads::{Changes, StoreError};
pub use reports::{ReportedRow, ReportsCursor, ResolutionRow, SaidRow};
pub use restores::Unfinished;
pub use rows::{
    EditRow, EventRow, InboxCursor, InboxPage, InboxRow, InboxStart, LocatedRow, MembershipRow, MessageRow,
    ReactionRow, Sealed, VotesRow,
};
pub use search::{PlaceRow, TermsHit, WantedTerms};
pub use tenancy::{ApiKeyRow, Tenancy, TenantRow};
pub use threads::{ThreadRange, ThreadRow};

/// The version of the views that is read.
pub const LIVE: &str = "live";

/// SQLSTATE classes of what passes: connections, rollbacks (deadlocks), a standby that is being promoted, resources, locks, shutdowns,
/// the system. Source: PostgreSQL's Appendix A.
const PASSING: [&str; 7] = ["08", "40", "25", "53", "55", "57", "58"];

/// Whether waiting helps: Postgres is away, starting, or has no connection left.
pub fn passes(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| PASSING.iter().any(|class| code.starts_with(class)))
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// For a connection, a new one or one that is found to live.
const ACQUIRE: std::time::Duration = std::time::Duration::from_secs(5);

/// A connection that was idle for less is taken for alive, and not asked first, which would be a round trip for each transaction.
const FRESH: std::time::Duration = std::time::Duration::from_secs(1);

/// A pool of connections that see the live views.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// Connects.
    ///
    /// # Errors
    /// If Postgres cannot be reached or refuses.
    pub async fn connect(options: PgConnectOptions, max_connections: u32) -> Result<Self, sqlx::Error> {
        // `public` first: that is where migrations make what they name, their own list included. Behind a view's schema they would, at the
        // second start, find no list, make everything again in that schema, and a rebuild of the view would drop it.
        let views = catalog::all().iter().map(|projection| projection.name.as_str());
        let names: Vec<_> = std::iter::once("public").chain(views).collect();
        // Plans that take longer to compile than to run are not for these queries.
        let options = options.options([("search_path", names.join(",").as_str()), ("jit", "off")]);
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > FRESH {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(options)
            .await?;
        Ok(Self { pool })
    }

    /// The connections.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Makes or updates what is not a projection, and the tables of projections that are not there yet. Several processes may at once.
    ///
    /// # Errors
    /// If a migration fails.
    pub async fn install(&self) -> anyhow::Result<()> {
        sqlx::migrate!().run(&self.pool).await?;
        for projection in catalog::all() {
            let name = &projection.name;
            let wanting = match projection.install(&self.pool, name).await? {
                Installed::Kept => false,
                Installed::Outdated => true,
                // New to an installation whose views are under way already.
                Installed::Made => self.begun(&projection.source).await?,
            };
            if wanting {
                tracing::error!(
                    projection = name,
                    "a view is not of this version; run `tidings admin rebuild {name}` before it is relied on"
                );
            }
        }
        Ok(())
    }

    /// Whether anything of a source has been applied.
    async fn begun(&self, source: &str) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM checkpoints WHERE source = $1 AND next_offset > 0)")
            .bind(source)
            .fetch_one(&self.pool)
            .await
    }

    /// How far a version of the views is in a partition of a source.
    ///
    /// # Errors
    /// If Postgres fails.
    pub async fn head(&self, version: &str, source: &str, partition: i32) -> Result<Head, StoreError> {
        let row = sqlx::query_as::<_, HeadRow>(
            "SELECT epoch, next_offset, head, head_offset, index, cause_offset FROM checkpoints
             WHERE version = $1 AND source = $2 AND partition = $3",
        );
        let row = row.bind(version).bind(source).bind(partition).fetch_optional(&self.pool).await?;
        row.map_or_else(|| Ok(Head::default()), |row| row.head())
    }
}

/// A row of `checkpoints`.
#[derive(sqlx::FromRow)]
pub(crate) struct HeadRow {
    epoch: i32,
    next_offset: i64,
    head: String,
    head_offset: i64,
    index: i64,
    cause_offset: i64,
}

impl HeadRow {
    pub fn head(&self) -> Result<Head, StoreError> {
        let id: EventId = self.head.parse().map_err(|_| StoreError::Damaged("checkpoints.head"))?;
        Ok(Head {
            epoch: self.epoch,
            next_offset: self.next_offset,
            id,
            offset: self.head_offset,
            index: self.index,
            cause_offset: self.cause_offset,
        })
    }
}
