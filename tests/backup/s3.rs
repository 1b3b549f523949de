//! The same over S3, against a server of its kind.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::support::person::PATIENCE;
use crate::support::{Person, Stack};
use crate::world::{Known, World};

const BACKUPS: &str = "s3://backups/of/us";
const KEYS: &str = "s3://keys";

/// A running server with two buckets.
pub struct Storage {
    data: TempDir,
    settings: Vec<(String, String)>,
    _server: Child,
}

/// Where `.ci/test` puts it, or wherever it is.
fn program() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let cached = cache.unwrap_or_default().join("tidings/tools/bin/versitygw");
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|path| path.join("versitygw")).find(|path| path.is_file());
    if cached.is_file() { Some(cached) } else { found }.unwrap_or_else(|| {
        panic!("versitygw, the S3 server of this test, is not here: run .ci/test, or go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
    })
}

impl Storage {
    pub async fn start() -> Self {
        let data = tempfile::tempdir().expect("a directory");
        for bucket in ["backups", "keys"] {
            std::fs::create_dir(data.path().join(bucket)).expect("made");
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port")
            .port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program());
        command.args(["--port", &address, "--region", "us-east-1", "posix"]).arg(data.path());
        command.env("ROOT_ACCESS_KEY", "test").env("ROOT_SECRET_KEY", "of a test").kill_on_drop(true);
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::net::TcpStream::connect(&address).await.is_err() {
            assert!(tokio::time::Instant::now() < deadline, "the S3 server does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let settings = [
            ("TIDINGS_BACKUP__DESTINATION", BACKUPS.to_owned()),
            ("TIDINGS_BACKUP__KEYS_DESTINATION", KEYS.to_owned()),
            ("TIDINGS_BACKUP__S3_ENDPOINT", format!("http://{address}")),
            ("TIDINGS_BACKUP__S3_ACCESS_KEY", "test".to_owned()),
            ("TIDINGS_BACKUP__S3_SECRET_KEY", "of a test".to_owned()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Self { data, settings, _server: server }
    }

    async fn tidings(&self, stack: &Stack, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        command.args(args).envs(stack.env.iter().cloned()).envs(self.settings.iter().cloned()).kill_on_drop(true);
        let output = command.output().await.expect("runs");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    }

    fn manifests(&self) -> usize {
        std::fs::read_dir(self.data.path().join("backups/of/us/manifests")).expect("a folder").count()
    }

    /// Two at once, of which one may give up; then what came since.
    pub async fn back_up(&self, source: &Stack, world: &mut World) {
        let both = tokio::join!(self.tidings(source, &["admin", "backup"]), self.tidings(source, &["admin", "backup"]));
        let made = [&both.0, &both.1].into_iter().filter(|made| made.is_ok()).count();
        for given_up in [&both.0, &both.1].into_iter().filter_map(|made| made.as_ref().err()) {
            assert!(given_up.contains("was made by somebody else meanwhile"), "{given_up}");
        }
        assert!(made >= 1, "{both:?}");
        assert_eq!(self.manifests(), made);
        world.go_on(source, "to the cloud").await;
        self.tidings(source, &["admin", "backup"]).await.expect("backs up");
        let checked = self.tidings(source, &["admin", "restore", "--check"]).await.expect("checks");
        assert!(checked.contains("are whole"), "{checked}");
        let keys = std::fs::read_dir(self.data.path().join("keys/all")).expect("a folder");
        let kept = keys.filter(|entry| has_files(&entry.as_ref().expect("an entry").path())).count();
        assert_eq!(kept, 1, "one copy of the keys");
    }

    pub async fn restore(&self, source: &Stack, known: &Known, world: &World) {
        let mut target = Stack::empty_like(source).await;
        let said = self.tidings(&target, &["admin", "restore"]).await.expect("restores");
        assert!(said.contains("the epoch is 1 now"), "{said}");
        let role = target.role("all").await;
        target.address = role.address.clone();
        assert_eq!(world.known(&target).await, *known);
        let (mut ada, _) = Person::online(&target.address, &world.people[0], Some(&world.cursor)).await;
        let (sending, answer) = &world.sent;
        assert_eq!(ada.ok("message.send", sending.clone()).await["seq"], answer["seq"]);
        ada.say(&world.direct, "from the cloud").await;
        ada.message("from the cloud").await;
    }
}

fn has_files(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.into_iter().any(|path| if path.is_dir() { has_files(&path) } else { true })
}
