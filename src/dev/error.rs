//! What can go wrong with the parts, said so that the reader knows what to do next.

use std::fmt::Write as _;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Lines of a log that an error carries with it.
const TAIL_LINES: usize = 15;
/// Bytes read from the end of a log to find those lines, and the cause, after which Java programs still say a lot.
const TAIL_BYTES: u64 = 256 * 1024;

/// Why the parts could not be started, stopped or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevError {
    /// Programs that the parts are made of are not installed; all of them are named at once.
    #[error("{}", missing_text(.0))]
    Missing(Vec<MissingTool>),
    /// Another process runs on the same data directory.
    #[error(
        "{} is in use by another `tidings dev` ({}): stop that one, or give this one a directory of its own",
        dir.display(), pid.map_or_else(|| "its pid is not known".to_owned(), |pid| format!("pid {pid}"))
    )]
    Busy {
        /// The data directory.
        dir: PathBuf,
        /// The process that holds it, when it could be read.
        pid: Option<u32>,
    },
    /// The directory holds something that was not made by `tidings dev`.
    #[error(
        "{} is not empty and was not made by `tidings dev` (no {marker} in it): nothing was changed there; give another directory",
        dir.display()
    )]
    NotOurs {
        /// The directory.
        dir: PathBuf,
        /// The file that marks a directory as ours.
        marker: &'static str,
    },
    /// A file operation failed.
    #[error("cannot {action} {}: {cause}{}", path.display(), disk_hint(cause))]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// The system's answer. Not a `source`: who prints the chain would say it twice.
        cause: io::Error,
    },
    /// A program ended although it should run on, or ended with an error.
    #[error("{0}")]
    Died(ChildExit),
    /// A program runs but does not answer.
    #[error("{name} did not get ready within {} s{}{}", after.as_secs(), cause_text(cause.as_deref()), end_text(log, said))]
    NotReady {
        /// The program.
        name: &'static str,
        /// How long it was waited for.
        after: Duration,
        /// The last refusal, if there was one.
        cause: Option<String>,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        said: LogEnd,
    },
    /// The Postgres cluster was made by a version that is not installed.
    #[error(
        "the Postgres data in {} was made by version {version}, which is not installed: \
         `apt-get install postgresql-{version}`, or start afresh, which loses the data",
        dir.display()
    )]
    OtherPostgres {
        /// The cluster.
        dir: PathBuf,
        /// The major version that made it.
        version: String,
    },
    /// Postgres answers, but not as expected.
    #[error("Postgres refused to {action}: {cause}{}", hint(&cause.to_string()).map(|hint| format!(": {hint}")).unwrap_or_default())]
    Postgres {
        /// What was asked of it, as a verb.
        action: &'static str,
        /// Its answer.
        cause: sqlx::Error,
    },
    /// Something in the surroundings is not as it must be.
    #[error("{0}")]
    Surroundings(String),
}

/// A program that was looked for and not found.
#[derive(Debug, Clone)]
pub struct MissingTool {
    /// The program's name.
    pub program: &'static str,
    /// What it is needed for.
    pub purpose: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
}

/// The end of a program, with what it said last.
#[derive(Debug, Clone)]
pub struct ChildExit {
    /// The program: `Kafka`, `Postgres`, or a helper such as `initdb`.
    pub name: &'static str,
    /// How it ended; `None` if the system would not say.
    pub status: Option<ExitStatus>,
    /// Where its output is kept.
    pub log: PathBuf,
    /// The end of that log.
    pub said: LogEnd,
}

/// The end of a log.
#[derive(Debug, Clone, Default)]
pub struct LogEnd {
    /// What went wrong and what to do, where the log shows a well-known cause.
    pub hint: Option<&'static str>,
    /// The last lines.
    pub lines: Vec<String>,
}

impl std::fmt::Display for ChildExit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.status {
            Some(status) => write!(f, "{} ended ({status})", self.name)?,
            None => write!(f, "{} ended", self.name)?,
        }
        let killed = self.status.is_some_and(|status| status.signal().is_some());
        if killed && self.said.hint.is_none() {
            // What it said before has nothing to do with it.
            return write!(f, "; its log is {}", self.log.display());
        }
        f.write_str(&end_text(&self.log, &self.said))
    }
}

impl DevError {
    /// For `map_err` on file operations: `.map_err(DevError::io("create", path))`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io { action, path: path.to_owned(), cause }
    }

    /// Whether the program ended because another process had taken its port meanwhile.
    pub(crate) fn is_port_taken(&self) -> bool {
        match self {
            Self::Died(exit) => exit.said.hint == Some(PORT_TAKEN),
            _ => false,
        }
    }
}

/// The end of a log; empty if it cannot be read.
pub(crate) fn log_end(log: &Path) -> LogEnd {
    fn read_end(log: &Path) -> io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        Ok(end)
    }
    let end = read_end(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&end);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let hint = lines.iter().rev().find_map(|line| hint(line));
    LogEnd {
        hint,
        lines: lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|line| (*line).to_owned()).collect(),
    }
}

fn missing_text(tools: &[MissingTool]) -> String {
    let mut text = "some programs that the parts need are not installed:".to_owned();
    let mut packages: Vec<&str> = Vec::new();
    for tool in tools {
        let _ = write!(text, "\n  {} ({})", tool.program, tool.purpose);
        if !packages.contains(&tool.package) {
            packages.push(tool.package);
        }
    }
    let _ = write!(text, "\non Debian or Ubuntu: apt-get install {}", packages.join(" "));
    text
}

fn cause_text(cause: Option<&str>) -> String {
    cause.map(|cause| format!(" ({cause})")).unwrap_or_default()
}

fn end_text(log: &Path, said: &LogEnd) -> String {
    let mut text = said.hint.map(|hint| format!(": {hint}")).unwrap_or_default();
    if said.lines.is_empty() {
        let _ = write!(text, "; it wrote nothing to {}", log.display());
        return text;
    }
    let _ = write!(text, "; the last lines of {}:", log.display());
    for line in &said.lines {
        let _ = write!(text, "\n  {line}");
    }
    text
}

const PORT_TAKEN: &str = "another process has taken its port: start again";

/// What a line of a log means for the one who reads it, where that is not plain.
fn hint(line: &str) -> Option<&'static str> {
    const HINTS: [(&str, &str); 6] = [
        ("No space left on device", "the disk is full: free some space and start again"),
        ("Address already in use", PORT_TAKEN),
        ("UnsupportedClassVersionError", "Java is too old: version 17 or later is needed"),
        ("insufficient memory for the Java", "there is not enough free memory"),
        (
            "Could not transfer artifact",
            "the download failed: look at the network or at Maven's settings, then start again",
        ),
        (
            "Could not resolve dependencies",
            "the download failed: look at the network or at Maven's settings, then start again",
        ),
    ];
    HINTS.iter().find(|(needle, _)| line.contains(needle)).map(|(_, hint)| *hint)
}

fn disk_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": free some space and start again",
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => ": give a directory that can be written",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => ": it is no directory, give another",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_its_package_once() {
        let tool = |program, package| MissingTool { program, purpose: "a reason", package };
        let error =
            DevError::Missing(vec![tool("initdb", "postgresql"), tool("postgres", "postgresql"), tool("mvn", "maven")]);
        let text = error.to_string();
        assert!(text.contains("initdb (a reason)"), "{text}");
        assert!(text.ends_with("apt-get install postgresql maven"), "{text}");
    }

    #[test]
    fn the_end_of_a_log_is_its_last_lines_and_the_cause_before_them() {
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let mut lines: Vec<String> = (0..5_000).map(|n| format!("line {n}")).collect();
        "write failed: No space left on device".clone_into(&mut lines[4_000]);
        std::fs::write(log.path(), lines.join("\n")).expect("written");
        let said = log_end(log.path());
        assert_eq!(said.lines.len(), TAIL_LINES);
        assert_eq!(said.lines[14], "line 4999");
        let text = ChildExit { name: "Kafka", status: None, log: log.path().to_owned(), said }.to_string();
        assert!(text.starts_with("Kafka ended: the disk is full"), "{text}");
    }

    #[test]
    fn the_end_of_no_log_is_empty() {
        assert!(log_end(Path::new("/nonexistent/log")).lines.is_empty());
    }
}
