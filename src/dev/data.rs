//! The data directory: whose it is, who uses it now, and which children were left from before.
//!
//! ```text
//! DIR/tidings-dev.id      marks the directory as ours; holds a random id
//! DIR/tidings-dev.lock    held while the parts run; holds the pid
//! DIR/children            the last pid of each part, to wait for after a kill -9
//! DIR/kafka/              Kafka's records
//! DIR/postgres/           the cluster and its password (or see DIR/postgres.location)
//! DIR/*.log               what the parts wrote; the run before is in *.log.old
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::error::DevError;

const MARKER: &str = "tidings-dev.id";
const LOCK: &str = "tidings-dev.lock";
const CHILDREN: &str = "children";
/// Everything that is wiped by a fresh start; nothing else in the directory is touched.
const MADE_HERE: [&str; 18] = [
    "kafka-nodes",
    "postgres-standby.log",
    "kafka",
    "kafka.new",
    "kafka.log",
    "kafka.log.old",
    "kafka-crash.log",
    "kafka-format.log",
    "kafka-format.log.old",
    "kafka.ports",
    "kafka.properties",
    "kafka-format.properties",
    "kafka-log4j2.yaml",
    "postgres",
    "postgres.log",
    "postgres.log.old",
    "initdb.log",
    "initdb.log.old",
];
/// Children of a killed run are dead within milliseconds; Postgres' may write a little first.
const LEFTOVER_WAIT: Duration = Duration::from_secs(10);

/// A data directory that this process has to itself until this value is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
    id: String,
    /// Serializes changes of the `children` file.
    children: Mutex<()>,
    _lock: File,
}

/// Refuses to work as root on what is somebody else's: what root makes there, its owner could not use any more.
fn check_owner(root: &Path) -> Result<(), DevError> {
    use std::os::unix::fs::MetadataExt;
    let marker = root.join(MARKER);
    let owner = fs::metadata(&marker).map_or(0, |marker| marker.uid());
    if rustix::process::geteuid().is_root() && owner != 0 {
        let text =
            format!("{} belongs to the user with id {owner}; start as that user, or give another", root.display());
        return Err(DevError::Surroundings(text));
    }
    Ok(())
}

/// A process that cannot be mistaken for a later one with the same pid.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Recorded {
    name: String,
    pid: u32,
    /// Clock ticks since boot.
    started: u64,
}

impl DataDir {
    /// Makes or opens the directory and locks it.
    pub(crate) fn open(root: &Path) -> Result<Self, DevError> {
        fs::create_dir_all(root).map_err(DevError::io("create", root))?;
        let root = root.canonicalize().map_err(DevError::io("find", root))?;
        check_owner(&root)?;
        let marker = root.join(MARKER);
        if !marker.exists() && has_foreign_entries(&root)? {
            return Err(DevError::NotOurs { dir: root, marker: MARKER });
        }
        let lock = lock(&root)?;
        let id = match fs::read_to_string(&marker) {
            Ok(id) => id.trim().to_owned(),
            Err(_) => {
                let id = uuid::Uuid::now_v7().to_string();
                write_atomically(&marker, &id)?;
                id
            }
        };
        Ok(Self { root, id, children: Mutex::new(()), _lock: lock })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A random name for this directory, made with it.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn marker(&self) -> PathBuf {
        self.root.join(MARKER)
    }

    /// Removes the data and logs of the parts, and nothing else.
    pub(crate) fn wipe(&self) -> Result<(), DevError> {
        MADE_HERE.iter().try_for_each(|name| remove(&self.root.join(name)))
    }

    /// Notes the process that a part now is.
    pub(crate) fn record_child(&self, name: &str, pid: u32) -> Result<(), DevError> {
        let _guard = self.children.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut all = self.recorded();
        all.retain(|child| child.name != name);
        if let Some(started) = started(pid) {
            all.push(Recorded { name: name.to_owned(), pid, started });
        }
        let lines: Vec<String> = all.iter().map(|c| format!("{} {} {}\n", c.name, c.pid, c.started)).collect();
        write_atomically(&self.root.join(CHILDREN), &lines.concat())
    }

    /// Waits until the process that a part was before is gone, and kills it should it linger.
    pub(crate) async fn await_leftover(&self, name: &str) -> Result<(), DevError> {
        let Some(child) = self.recorded().into_iter().find(|child| child.name == name) else {
            return Ok(());
        };
        let deadline = Instant::now() + LEFTOVER_WAIT;
        let mut killed = false;
        while started(child.pid) == Some(child.started) {
            if Instant::now() > deadline {
                if killed {
                    let text = format!(
                        "{name} of an earlier run (pid {}) does not go away; end it and start again",
                        child.pid
                    );
                    return Err(DevError::Surroundings(text));
                }
                tracing::warn!(part = name, pid = child.pid, "killing a process left from an earlier run");
                if let Some(pid) = i32::try_from(child.pid).ok().and_then(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::KILL);
                }
                killed = true;
            }
            tokio::time::sleep(Duration::from_millis(if killed { 200 } else { 20 })).await;
        }
        Ok(())
    }

    fn recorded(&self) -> Vec<Recorded> {
        let text = fs::read_to_string(self.root.join(CHILDREN)).unwrap_or_default();
        text.lines().filter_map(Recorded::parse).collect()
    }
}

impl Recorded {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ');
        let name = fields.next()?.to_owned();
        Some(Self { name, pid: fields.next()?.parse().ok()?, started: fields.next()?.parse().ok()? })
    }
}

/// When a living process started, in clock ticks since boot; `None` for one that is gone or only waits to be reaped.
pub(crate) fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name, in brackets, may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    (!matches!(state, "Z" | "X")).then(|| fields.nth(18)?.parse().ok()).flatten()
}

fn has_foreign_entries(root: &Path) -> Result<bool, DevError> {
    let mut entries = fs::read_dir(root).map_err(DevError::io("read", root))?.flatten();
    Ok(entries.any(|entry| !entry.file_name().to_string_lossy().starts_with("tidings-dev.")))
}

fn lock(root: &Path) -> Result<File, DevError> {
    let path = root.join(LOCK);
    let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
    let mut file = opened.map_err(DevError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = fs::read_to_string(&path).ok().and_then(|pid| pid.trim().parse().ok());
            return Err(DevError::Busy { dir: root.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(DevError::io("lock", &path)(error)),
    }
    file.set_len(0).map_err(DevError::io("write", &path))?;
    writeln!(file, "{}", std::process::id()).map_err(DevError::io("write", &path))?;
    Ok(file)
}

/// Writes beside the file and renames, so that it is there whole or not at all.
pub(crate) fn write_atomically(path: &Path, text: &str) -> Result<(), DevError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    fs::write(&beside, text).map_err(DevError::io("write", &beside))?;
    fs::rename(&beside, path).map_err(DevError::io("rename", &beside))
}

/// Removes a file or a whole directory; one that is not there is fine. Links are not followed.
pub(crate) fn remove(path: &Path) -> Result<(), DevError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.map_err(DevError::io("remove", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_something_else_in_it_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("thesis.tex"), "years of work").expect("written");
        let error = DataDir::open(dir.path()).expect_err("not ours");
        assert!(matches!(error, DevError::NotOurs { .. }), "{error}");
        assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 1);
    }

    #[test]
    fn a_second_holder_is_refused_with_the_pid_of_the_first() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = DataDir::open(dir.path()).expect("free");
        let error = DataDir::open(dir.path()).expect_err("busy");
        assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
        let id = first.id().to_owned();
        drop(first);
        assert_eq!(DataDir::open(dir.path()).expect("free again").id(), id);
    }

    #[test]
    fn a_wipe_leaves_what_others_put_there() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data = DataDir::open(dir.path()).expect("free");
        fs::create_dir(data.path("kafka")).expect("made");
        fs::write(data.path("kafka").join("records"), "r").expect("written");
        fs::write(data.path("notes"), "n").expect("written");
        data.wipe().expect("wiped");
        assert!(!data.path("kafka").exists());
        assert!(data.path("notes").exists() && data.marker().exists());
    }

    #[tokio::test]
    async fn a_pid_that_is_another_process_now_is_not_waited_for() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data = DataDir::open(dir.path()).expect("free");
        let me = std::process::id();
        data.record_child("kafka", me).expect("recorded");
        assert_eq!(data.recorded()[0].pid, me);
        fs::write(data.path(CHILDREN), format!("kafka {me} 1\n")).expect("written");
        let waited = tokio::time::timeout(Duration::from_secs(5), data.await_leftover("kafka"));
        waited.await.expect("no wait").expect("gone");
    }
}
