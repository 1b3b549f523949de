//! The number of the epoch that a restore begins. No two restores of one destination may begin the same: a cursor that a client was
//! given after the first would pass for one of the second.

use anyhow::{Context, bail};
use serde_json::json;

use crate::backup::Destination;

const FOLDER: &str = "restores";

/// Takes the next epoch after `newest`, which is that of the newest backup, and notes it beside the backups.
///
/// # Errors
/// If it cannot be noted.
pub async fn claim(destination: &Destination, newest: i32, backup: u64) -> anyhow::Result<i32> {
    let names = destination.list(FOLDER).await?;
    let number = |name: &String| name.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".json")?.parse().ok();
    let claimed = names.iter().filter_map(number).max().unwrap_or(0);
    let first = newest.max(claimed) + 1;
    for epoch in first..=first.saturating_add(100) {
        let at = time::OffsetDateTime::now_utc().format(&time::format_description::well_known::Rfc3339)?;
        let note = json!({ "epoch": epoch, "backup": backup, "began_at": at }).to_string();
        let noted = destination.put_new(&format!("{FOLDER}/{epoch:010}.json"), note.into()).await;
        let noted = noted.context(
            "a restore notes the epoch that it begins beside the backups, so that no other begins the same, and cannot write there",
        )?;
        if noted {
            return Ok(epoch);
        }
    }
    bail!("other restores from {destination} begin at the same time")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::Access;

    #[tokio::test]
    async fn no_two_restores_begin_the_same_epoch() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = crate::config::Config::load(None, &[]).expect("defaults").backup;
        let path = folder.path().to_str().expect("a path");
        let destination = Destination::open(path, &settings, Access::Write).expect("opens");
        let (one, other) = tokio::join!(claim(&destination, 0, 7), claim(&destination, 0, 7));
        let mut both = [one.expect("claims"), other.expect("claims")];
        both.sort_unstable();
        assert_eq!(both, [1, 2]);
        assert_eq!(claim(&destination, 1, 8).await.expect("claims"), 3, "the second began none that is backed up");
        assert_eq!(claim(&destination, 5, 9).await.expect("claims"), 6);
    }
}
