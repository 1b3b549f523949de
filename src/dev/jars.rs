//! Kafka's jars: fetched once by Maven into a cache that all runs share.
//!
//! ```text
//! CACHE/tidings/kafka-VERSION/libs/          the jars
//! CACHE/tidings/kafka-VERSION/classes-*.jsa  loaded classes of one Java, for quicker starts (optional)
//! CACHE/tidings/kafka-VERSION.lock           held while they are fetched
//! ```

use std::fs::{self, File, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::child::{Child, ChildSpec, turn_log};
use super::data::remove;
use super::error::DevError;
use super::progress::Progress;
use super::tools::Tools;

/// The version that `dev/kafka/pom.xml` names; a test keeps them the same.
/// Not 4.3: see `docs/decisions/009-kafka-4.2.md`.
pub const KAFKA_VERSION: &str = "4.2.2";
const GOAL: &str = "dependency:copy-dependencies";
const POM: &str = include_str!("../../dev/kafka/pom.xml");

/// The jars in the cache.
#[derive(Debug, Clone)]
pub(crate) struct Jars {
    folder: PathBuf,
}

impl Jars {
    /// Where the jars are or will be.
    pub(crate) fn locate() -> Result<Self, DevError> {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
        let cache = cache.ok_or_else(|| {
            DevError::Surroundings(
                "neither XDG_CACHE_HOME nor HOME names a directory: set one, Kafka's jars are kept there".to_owned(),
            )
        })?;
        Ok(Self { folder: cache.join("tidings").join(format!("kafka-{KAFKA_VERSION}")) })
    }

    /// The folder appears whole or not at all, so its presence is enough.
    pub(crate) fn are_cached(&self) -> bool {
        self.folder.join("libs").is_dir()
    }

    /// Fetches the jars unless they are there, waiting for another process that does so already.
    pub(crate) async fn fetch(&self, tools: &Tools, progress: &dyn Progress) -> Result<(), DevError> {
        if self.are_cached() {
            return Ok(());
        }
        let parent = self.folder.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent).map_err(DevError::io("create", parent))?;
        let _lock = self.lock(progress).await?;
        if self.are_cached() {
            return Ok(());
        }
        let maven = tools.maven.as_deref().ok_or_else(|| {
            DevError::Surroundings(
                "Kafka's jars are gone from the cache, and mvn is not there to fetch them".to_owned(),
            )
        })?;
        let partial = self.folder.with_file_name(format!("kafka-{KAFKA_VERSION}.partial"));
        remove(&partial)?;
        fs::create_dir_all(&partial).map_err(DevError::io("create", &partial))?;
        let pom = partial.join("pom.xml");
        fs::write(&pom, POM).map_err(DevError::io("write", &pom))?;
        self.run_maven(tools, maven, &partial, progress).await?;
        remove(&self.folder)?;
        fs::rename(&partial, &self.folder).map_err(DevError::io("rename", &partial))
    }

    async fn lock(&self, progress: &dyn Progress) -> Result<File, DevError> {
        let path = self.folder.with_file_name(format!("kafka-{KAFKA_VERSION}.lock"));
        let file = File::create(&path).map_err(DevError::io("create", &path))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(DevError::io("lock", &path)(error)),
                Err(TryLockError::WouldBlock) => {
                    progress.doing("Kafka", "waiting for another process that downloads it")
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn run_maven(
        &self,
        tools: &Tools,
        maven: &Path,
        folder: &Path,
        progress: &dyn Progress,
    ) -> Result<(), DevError> {
        // Beside the folder, so that it is still there when the folder is tried again.
        let log = self.folder.with_file_name("maven.log");
        turn_log(&log)?;
        let spec = ChildSpec {
            name: "mvn",
            setpriv: tools.setpriv.clone(),
            program: maven.to_owned(),
            // -C: a jar whose checksum is wrong is refused.
            args: vec!["-B".into(), "-C".into(), "-f".into(), folder.join("pom.xml").into(), GOAL.into()],
            envs: Vec::new(),
            user: None,
            log: log.clone(),
            death_signal: "KILL",
        };
        progress.doing("Kafka", "downloading it, once (about 45 MB)");
        let child = Child::spawn(&spec).await?;
        let exit = loop {
            tokio::select! {
                exit = child.wait() => break exit,
                () = tokio::time::sleep(Duration::from_millis(200)) => {
                    if let Some(files) = downloaded(&log) {
                        progress.doing("Kafka", &files);
                    }
                }
            }
        };
        if exit.status.is_some_and(|status| status.success()) { Ok(()) } else { Err(DevError::Died(exit)) }
    }

    /// The class path, always in the same order: the class archive is tied to it.
    pub(crate) fn class_path(&self) -> Result<String, DevError> {
        let libs = self.folder.join("libs");
        let entries = fs::read_dir(&libs).map_err(DevError::io("read", &libs))?;
        let mut jars: Vec<String> =
            entries.flatten().map(|entry| entry.path().to_string_lossy().into_owned()).collect();
        jars.sort_unstable();
        Ok(jars.join(":"))
    }

    /// The class archive for this Java, there or not. Java itself ignores one that does not fit.
    pub(crate) fn class_archive(&self, java: &Path) -> PathBuf {
        let mut hash = DefaultHasher::new();
        if let Ok(java) = java.canonicalize() {
            java.hash(&mut hash);
            // The programs of a Java that was upgraded in place have another age.
            java.metadata().ok().and_then(|meta| meta.modified().ok()).hash(&mut hash);
        }
        self.folder.join(format!("classes-{:016x}.jsa", hash.finish()))
    }

    /// Puts a finished archive in its place and drops those of other Javas. Failing is no harm: starts are slower, that is all.
    pub(crate) fn keep_archive(&self, written: &Path, archive: &Path) {
        if !written.is_file() || fs::rename(written, archive).is_err() {
            let _ = fs::remove_file(written);
            return;
        }
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|end| end == "jsa") && path != archive {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// What Maven has fetched so far, from the lines of its log.
fn downloaded(log: &Path) -> Option<String> {
    let text = fs::read_to_string(log).ok()?;
    let fetched: Vec<&str> = text.lines().filter(|line| line.contains("Downloaded from")).collect();
    let latest = fetched.last()?.split_whitespace().find(|word| word.contains("://"))?.rsplit('/').next()?;
    Some(format!("downloading it, once: {} files, {latest}", fetched.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pom_names_the_version_of_the_cache() {
        let dependency = POM.split("<artifactId>kafka_2.13</artifactId>").nth(1).expect("Kafka is in the pom");
        assert!(dependency.trim_start().starts_with(&format!("<version>{KAFKA_VERSION}</version>")));
    }

    #[test]
    fn progress_counts_the_files_and_names_the_latest() {
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let line = "[INFO] Downloaded from central: https://repo.example/org/a/1/a-1.jar (18 kB at 108 kB/s)\n";
        fs::write(log.path(), format!("[INFO] Scanning\n{line}{}", line.replace("a-1", "b-2"))).expect("written");
        assert_eq!(downloaded(log.path()).as_deref(), Some("downloading it, once: 2 files, b-2.jar"));
    }
}
