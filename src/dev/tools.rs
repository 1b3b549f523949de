//! The programs that the parts are made of: where they are, and what to install when they are not.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::{DevError, MissingTool};

/// Where Debian keeps each version's Postgres programs, out of `PATH`.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";

/// What was found on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    pub setpriv: PathBuf,
    pub java: PathBuf,
    /// Needed only until the jars are in the cache.
    pub maven: Option<PathBuf>,
    /// Folders with `initdb` and `postgres`, the newest version first.
    pub postgres: Vec<PathBuf>,
}

/// A system user to run Postgres as, because it refuses to run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    pub uid: u32,
    pub gid: u32,
}

impl Tools {
    /// Looks for everything, and names all that is missing in one error.
    pub(crate) fn find(jars_cached: bool) -> Result<Self, DevError> {
        let java =
            std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java")).filter(|java| is_program(java));
        let java = java.or_else(|| in_path("java"));
        let setpriv = in_path("setpriv");
        let maven = in_path("mvn");
        let postgres = postgres_folders(Path::new(DEBIAN_POSTGRES));
        let mut missing = Vec::new();
        let mut miss = |program, purpose, package| missing.push(MissingTool { program, purpose, package });
        if java.is_none() {
            miss("java", "runs Kafka; version 17 or later", "default-jre-headless");
        }
        if maven.is_none() && !jars_cached {
            miss("mvn", "fetches Kafka, once", "maven");
        }
        if postgres.is_empty() {
            miss("initdb and postgres", "the database", "postgresql");
        }
        if setpriv.is_none() {
            miss("setpriv", "ends the parts when tidings ends", "util-linux");
        }
        match (setpriv, java) {
            (Some(setpriv), Some(java)) if missing.is_empty() => Ok(Self { setpriv, java, maven, postgres }),
            _ => Err(DevError::Missing(missing)),
        }
    }

    /// The Postgres programs for a cluster: of the version that made it, or the newest if there is none yet.
    pub(crate) fn postgres_for(&self, cluster: &Path) -> Result<&Path, DevError> {
        let made_by = std::fs::read_to_string(cluster.join("PG_VERSION")).ok();
        let Some(version) = made_by.as_deref().map(str::trim) else {
            return Ok(&self.postgres[0]);
        };
        let wanted = Path::new(DEBIAN_POSTGRES).join(version).join("bin");
        let elsewhere = |folder: &&PathBuf| !folder.starts_with(DEBIAN_POSTGRES);
        let found =
            self.postgres.iter().find(|folder| **folder == wanted).or_else(|| self.postgres.iter().find(elsewhere));
        found
            .map(PathBuf::as_path)
            .ok_or_else(|| DevError::OtherPostgres { dir: cluster.to_owned(), version: version.to_owned() })
    }
}

impl User {
    /// The user for Postgres: none when we are not root; else `postgres`, or `nobody` where that does not exist.
    pub(crate) fn for_postgres() -> Result<Option<Self>, DevError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = Path::new("/etc/passwd");
        let users = std::fs::read_to_string(users).map_err(DevError::io("read", users))?;
        let user = Self::named("postgres", &users).or_else(|| Self::named("nobody", &users));
        user.map(Some).ok_or_else(|| {
            DevError::Surroundings(
                "Postgres does not run as root, and /etc/passwd has no user `postgres` or `nobody`".to_owned(),
            )
        })
    }

    fn named(name: &str, users: &str) -> Option<Self> {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let is_it = fields.next() == Some(name);
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            is_it.then_some(Self { uid, gid })
        })
    }
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn postgres_folders(debian: &Path) -> Vec<PathBuf> {
    let version = |entry: &Path| entry.file_name().and_then(OsStr::to_str)?.parse::<u32>().ok();
    let entries = std::fs::read_dir(debian).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> =
        entries.filter_map(|entry| Some((version(&entry.path())?, entry.path().join("bin")))).collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    let from_path = in_path("postgres").and_then(|file| file.canonicalize().ok()?.parent().map(Path::to_owned));
    let mut folders: Vec<PathBuf> = versions.into_iter().map(|(_, folder)| folder).chain(from_path).collect();
    folders.retain(|folder| is_program(&folder.join("initdb")) && is_program(&folder.join("postgres")));
    folders.dedup();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_from_the_password_file() {
        let users = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104::/var/lib/postgresql:/bin/bash\nbroken\n";
        assert_eq!(User::named("postgres", users), Some(User { uid: 101, gid: 104 }));
        assert_eq!(User::named("nobody", users), None);
    }

    #[test]
    fn the_newest_postgres_comes_first_and_incomplete_ones_are_left_out() {
        let root = tempfile::tempdir().expect("a temporary directory");
        for version in ["9", "15", "17", "common"] {
            let bin = root.path().join(version).join("bin");
            std::fs::create_dir_all(&bin).expect("made");
            for program in ["initdb", "postgres"] {
                if version == "17" && program == "postgres" {
                    continue;
                }
                let file = bin.join(program);
                std::fs::write(&file, "").expect("written");
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("made executable");
            }
        }
        let folders = postgres_folders(root.path());
        assert_eq!(folders[0], root.path().join("15/bin"));
        assert_eq!(folders[1], root.path().join("9/bin"));
    }
}
