//! Where the Postgres cluster is kept.
//!
//! Postgres refuses to run as root, so as root it runs as `postgres` (or `nobody`), who must be able to reach the cluster. Where the
//! data directory is closed to that user, as everything below `/root` is, the cluster is kept in `/var/lib/tidings-dev/ID`, and
//! `DIR/postgres.location` says so.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Surroundings;
use super::child::{self, ChildSpec, turn_log};
use super::data::{DataDir, remove, write_atomically};
use super::error::DevError;
use super::tools::User;

/// Clusters of data directories that Postgres' user cannot reach.
const ELSEWHERE: &str = "/var/lib/tidings-dev";
const LOCATION: &str = "postgres.location";

/// Removes the cluster, wherever it is.
pub(crate) fn wipe(data: &DataDir) -> Result<(), DevError> {
    remove(&Path::new(ELSEWHERE).join(data.id()))?;
    remove(&data.path(LOCATION))
}

/// The folder for the cluster, made and owned by the user that Postgres runs as.
pub(crate) async fn find_home(around: &Arc<Surroundings>, user: Option<User>) -> Result<PathBuf, DevError> {
    let here = around.data.path("postgres");
    let elsewhere = Path::new(ELSEWHERE).join(around.data.id());
    if user.is_some() && elsewhere.join("cluster").exists() {
        return Ok(elsewhere);
    }
    make_private(&here, user)?;
    let Some(user) = user else { return Ok(here) };
    if can_reach(around, user, &here).await? {
        return Ok(here);
    }
    if here.join("cluster").exists() {
        let text = format!("the user that Postgres runs as (uid {}) cannot reach {}", user.uid, here.display());
        return Err(DevError::Surroundings(format!(
            "{text}: open the directories above it with chmod o+x, or start afresh"
        )));
    }
    remove_forsaken(Path::new(ELSEWHERE));
    let above = Path::new(ELSEWHERE);
    fs::create_dir_all(above).map_err(DevError::io("create", above))?;
    fs::set_permissions(above, fs::Permissions::from_mode(0o755)).map_err(DevError::io("set the mode of", above))?;
    make_private(&elsewhere, Some(user))?;
    let origin = elsewhere.join("origin");
    write_atomically(&origin, &around.data.marker().to_string_lossy())?;
    write_atomically(&around.data.path(LOCATION), &format!("{}\n", elsewhere.display()))?;
    remove(&here)?;
    Ok(elsewhere)
}

fn make_private(folder: &Path, user: Option<User>) -> Result<(), DevError> {
    fs::create_dir_all(folder).map_err(DevError::io("create", folder))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(DevError::io("set the mode of", folder))?;
    own(folder, user)
}

pub(crate) fn own(path: &Path, user: Option<User>) -> Result<(), DevError> {
    let Some(user) = user else { return Ok(()) };
    chown(path, Some(user.uid), Some(user.gid)).map_err(DevError::io("change the owner of", path))
}

/// Asks the system itself, as that user: modes, access lists and mounts all count.
async fn can_reach(around: &Arc<Surroundings>, user: User, folder: &Path) -> Result<bool, DevError> {
    let log = around.data.path("initdb.log");
    turn_log(&log)?;
    let spec = ChildSpec {
        name: "sh",
        setpriv: around.tools.setpriv.clone(),
        program: "/bin/sh".into(),
        args: vec!["-c".into(), r#"cd "$0" 2>/dev/null"#.into(), folder.into()],
        envs: Vec::new(),
        user: Some(user),
        log,
        death_signal: "KILL",
    };
    match child::run(&spec).await {
        Ok(()) => Ok(true),
        // setpriv itself says why it failed, the shell says nothing.
        Err(DevError::Died(exit)) if exit.said.lines.is_empty() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Clusters whose data directory was deleted, or is another one by now.
fn remove_forsaken(elsewhere: &Path) {
    for entry in fs::read_dir(elsewhere).into_iter().flatten().flatten() {
        let Ok(origin) = fs::read_to_string(entry.path().join("origin")) else { continue };
        let id = fs::read_to_string(&origin).unwrap_or_default();
        if id.trim() != entry.file_name().to_string_lossy()
            && let Err(error) = remove(&entry.path())
        {
            tracing::warn!(%error, "cannot remove a forsaken cluster");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clusters_without_their_data_directory_are_forsaken() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let marker = dir.path().join("marker");
        fs::write(&marker, "kept\n").expect("written");
        let elsewhere = dir.path().join("elsewhere");
        for id in ["kept", "replaced", "unknown"] {
            fs::create_dir_all(elsewhere.join(id)).expect("made");
            if id != "unknown" {
                fs::write(elsewhere.join(id).join("origin"), marker.to_string_lossy().as_bytes()).expect("written");
            }
        }
        remove_forsaken(&elsewhere);
        let left = |id| elsewhere.join(id).exists();
        assert_eq!((left("kept"), left("replaced"), left("unknown")), (true, false, true));
    }
}
