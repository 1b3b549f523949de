//! `tidings admin rebuild NAME`: see [`crate::projector::rebuild`].

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::assemble::Installation;
use crate::projector::rebuild::{Options, rebuild};

/// How long the live views may stand still behind what is rebuilt.
const PATIENCE: Duration = Duration::from_secs(60);

/// Rebuilds the projection `name`, showing progress.
///
/// # Errors
/// If there is none of that name, or something fails: the live version stays as it is, and the next try starts anew.
pub async fn run(installation: Installation, name: &str) -> anyhow::Result<()> {
    let Installation { client, codec, store, .. } = installation;
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} records {eta}")?;
    let bar = ProgressBar::new(0).with_style(style).with_message(format!("rebuilding {name}"));
    let options = Options { client, codec, store, patience: PATIENCE };
    let report = rebuild(&options, name, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .await?;
    bar.finish_and_clear();
    println!(
        "{name} is rebuilt from {} public records and {} of the journal, and live",
        report.replayed, report.followed
    );
    Ok(())
}
