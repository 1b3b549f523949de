//! The users' wrapped data keys: apart from what they open, whole in every backup, and in one copy.

use super::destination::Destination;
use super::manifest::Manifest;

/// Under their own destination, or under this name in that of the backups.
pub const FOLDER: &str = "keys";

/// The folder of a backup's keys.
pub fn folder(number: u64) -> String {
    format!("all/{number:010}")
}

/// Removes every copy before that of `newest`: what was destroyed since must not be in any.
///
/// Not all others: another backup may be writing the next copy.
///
/// # Errors
/// If one cannot be removed. The next backup tries again.
pub async fn remove_older(keys: &Destination, newest: &Manifest) -> anyhow::Result<u64> {
    let mut removed = 0;
    for name in keys.list("all").await? {
        let number = name.split('/').nth(1).and_then(|number| number.parse::<u64>().ok());
        let is_named = newest.keys.iter().any(|object| object.name == name);
        // Of the same number: of a backup that was overtaken by this one.
        if number.is_some_and(|number| number <= newest.number) && !is_named {
            keys.delete(&name).await?;
            removed += 1;
        }
    }
    Ok(removed)
}
