//! The new version takes the place of the live one.

use std::time::Duration;

use anyhow::{Context, bail};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::{Instant, sleep, timeout};

use super::{Rebuild, distance, live, next_schema};
use crate::log::topics;
use crate::projector::apply;
use crate::projector::feed::Feed;
use crate::projector::item::Item;

/// How long the switch waits for a lock. Shorter than Postgres' `deadlock_timeout` of 1 s: nobody who is in the way and waits for the
/// switch is ended as the victim of a deadlock; the switch gives way and tries again.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout TO '700ms'; SET LOCAL synchronous_commit TO on";
const LOCK_TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_millis(300);
/// SQLSTATE `lock_not_available`.
const LOCK_NOT_AVAILABLE: &str = "55P03";

enum Tried {
    Done,
    /// A lock was not to be had.
    Busy,
    /// The live views are behind what is rebuilt, by so many records.
    Behind(i64),
}

/// Catches up exactly with the live version, and takes its place.
pub(super) async fn switch<P: FnMut(u64, u64)>(rebuild: &mut Rebuild<'_, P>, feeds: &mut [Feed]) -> anyhow::Result<()> {
    let (mut busy, mut least, mut moved) = (0, i64::MAX, Instant::now());
    loop {
        let mut rest = Vec::new();
        match attempt(rebuild, feeds, &mut rest).await? {
            Tried::Done => return Ok(()),
            Tried::Busy => {
                busy += 1;
                if busy > LOCK_TRIES {
                    bail!("the views are never free for a switch; end transactions that stay open, then rebuild again");
                }
            }
            Tried::Behind(by) => {
                if by < least {
                    (least, moved) = (by, Instant::now());
                }
                if moved.elapsed() > rebuild.options.patience {
                    bail!(
                        "the live views are {by} records behind the public streams and stand still; is a projector running?"
                    );
                }
            }
        }
        // What was read for it was rolled back with it. The live views only go on, so this is not past them.
        rebuild.apply(&rest).await?;
        sleep(PAUSE).await;
        rebuild.catch_up(feeds).await?;
    }
}

async fn attempt<P: FnMut(u64, u64)>(
    rebuild: &mut Rebuild<'_, P>,
    feeds: &mut [Feed],
    rest: &mut Vec<Item>,
) -> anyhow::Result<Tried> {
    let (source, projection, patience) = (rebuild.source(), rebuild.projection, rebuild.options.patience);
    let mut transaction = rebuild.connection.begin().await?;
    sqlx::raw_sql(LOCK_TIMEOUT).execute(&mut *transaction).await?;
    // Projectors write their checkpoint first, so from here on they wait, and hold nothing. The table and not its rows: a partition whose
    // first record is being applied has none yet.
    if !lock(&mut transaction, "LOCK TABLE checkpoints IN SHARE ROW EXCLUSIVE MODE").await? {
        return Ok(Tried::Busy);
    }
    let live = live(&mut transaction, source, feeds.len()).await?;
    let ahead: i64 = feeds.iter().zip(&live).map(|(feed, to)| (feed.head().next_offset - to).max(0)).sum();
    // Of `presence`, which has no index, only the newest record of a key counts, and who takes it early has lost nothing.
    if ahead > 0 && source != topics::PRESENCE {
        return Ok(Tried::Behind(ahead));
    }
    for (feed, to) in feeds.iter_mut().zip(live) {
        while distance(feed, to) > 0 {
            let room = usize::try_from(distance(feed, to)).unwrap_or(1);
            let items = timeout(patience, feed.next(room)).await;
            rest.extend(items.with_context(|| format!("`{source}` gives nothing more"))??);
        }
    }
    apply::apply(&mut transaction, &[projection], rest).await?;
    // Waits for the snapshots that are open, see `migrations/0002_views.sql`.
    if !lock(&mut transaction, "LOCK TABLE view_switch IN ACCESS EXCLUSIVE MODE").await? {
        return Ok(Tried::Busy);
    }
    // That the old tables are dropped makes every open connection plan anew what named them, and by name it finds the new ones: pooled
    // connections with prepared statements need no restart.
    let (name, next) = (&projection.name, next_schema(projection));
    if !lock(&mut transaction, &format!("DROP SCHEMA IF EXISTS {name} CASCADE")).await? {
        return Ok(Tried::Busy);
    }
    let rename = format!("ALTER SCHEMA {next} RENAME TO {name}");
    sqlx::raw_sql(AssertSqlSafe(rename)).execute(&mut *transaction).await?;
    transaction.commit().await?;
    rebuild.report.followed += rest.len() as u64;
    let read = u64::try_from(rest.len()).unwrap_or_default();
    rebuild.advanced(read);
    Ok(Tried::Done)
}

/// Runs what needs locks. False if they were not to be had in time.
async fn lock(connection: &mut PgConnection, sql: &str) -> Result<bool, sqlx::Error> {
    match sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(LOCK_NOT_AVAILABLE) => Ok(false),
        Err(error) => Err(error),
    }
}
