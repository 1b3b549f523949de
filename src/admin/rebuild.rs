//! `tidings admin rebuild NAME`: see [`crate::projector::rebuild`]. Of `all` in an empty database, they are made without a version beside:
//! there is no live one, and the journal from which projectors would make it may have been trimmed.

use std::time::Duration;

use anyhow::Context;

use super::progress::{bar, show};
use crate::assemble::Installation;
use crate::projector::catalog;
use crate::projector::rebuild::{Options, are_empty, fill, rebuild};

/// In place of a name.
const ALL: &str = "all";

/// How long the live views may stand still behind what is rebuilt.
const PATIENCE: Duration = Duration::from_secs(60);

/// Rebuilds the projection `name`, or all of them, showing progress.
///
/// # Errors
/// If there is none of that name, or something fails: the live version stays as it is, and the next try starts anew.
pub async fn run(installation: Installation, name: &str) -> anyhow::Result<()> {
    let Installation { client, codec, store, .. } = installation;
    let options = Options { client, codec, store, patience: PATIENCE };
    if name != ALL {
        return one(&options, name).await;
    }
    if are_empty(&options).await? {
        return empty(&options).await;
    }
    for projection in catalog::all() {
        one(&options, &projection.name).await?;
    }
    Ok(())
}

async fn empty(options: &Options) -> anyhow::Result<()> {
    let bar = bar("rebuilding all", "records")?;
    let filled = fill(options, &show(&bar)).await;
    bar.finish_and_clear();
    let filled = filled.context("empty the database before the next try")?;
    println!("all views are made anew from {filled} public records; projectors go on from there");
    Ok(())
}

async fn one(options: &Options, name: &str) -> anyhow::Result<()> {
    let bar = bar(format!("rebuilding {name}"), "records")?;
    let report = rebuild(options, name, show(&bar)).await?;
    bar.finish_and_clear();
    println!(
        "{name} is rebuilt from {} public records and {} of the journal, and live",
        report.replayed, report.followed
    );
    Ok(())
}
