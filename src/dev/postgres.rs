//! One private Postgres cluster, reached over loopback only.
//!
//! Postgres refuses to run as root, so as root it runs as `postgres` (or `nobody`), who must be able to reach the cluster. Where the
//! data directory is closed to that user, as everything below `/root` is, the cluster is kept in `/var/lib/tidings-dev/ID`, and
//! `DIR/postgres.location` says so.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::distr::{Alphanumeric, SampleString};
use rustix::process::Signal;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};

use super::Surroundings;
use super::child::{self, Child, ChildSpec, args, turn_log};
use super::data::{DataDir, remove, write_atomically};
use super::error::{ChildExit, DevError, log_tail};
use super::part::Part;
use super::ports::free_port;
use super::tools::User;

const NAME: &str = "Postgres";
/// The role, a superuser, and the database.
const TIDINGS: &str = "tidings";
/// Clusters of data directories that Postgres' user cannot reach.
const ELSEWHERE: &str = "/var/lib/tidings-dev";
const LOCATION: &str = "postgres.location";
/// A start takes 0.2 s; a long recovery after a crash is allowed for.
const READY_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// `invalid_password`, `invalid_authorization_specification`.
const REFUSED: [&str; 2] = ["28P01", "28000"];

pub(crate) struct Postgres {
    around: Arc<Surroundings>,
    user: Option<User>,
    bin: PathBuf,
    /// Holds `cluster/` and `password`.
    home: PathBuf,
    password: String,
    port: u16,
}

impl Postgres {
    /// Makes the cluster if there is none.
    pub(crate) async fn prepare(around: Arc<Surroundings>) -> Result<Self, DevError> {
        let user = User::for_postgres()?;
        let home = find_home(&around, user).await?;
        let bin = around.tools.postgres_for(&home.join("cluster"))?.to_owned();
        let mut postgres = Self { around, user, bin, home, password: String::new(), port: 0 };
        postgres.choose_ports()?;
        if !postgres.cluster().exists() {
            postgres.init().await?;
        }
        let file = postgres.password_file();
        postgres.password = fs::read_to_string(&file).map_err(DevError::io("read", &file))?.trim().to_owned();
        Ok(postgres)
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://{TIDINGS}:{}@{}:{}/{TIDINGS}", self.password, Ipv4Addr::LOCALHOST, self.port)
    }

    fn cluster(&self) -> PathBuf {
        self.home.join("cluster")
    }

    fn password_file(&self) -> PathBuf {
        self.home.join("password")
    }

    async fn init(&self) -> Result<(), DevError> {
        self.around.progress.doing(NAME, "making a cluster");
        // Made beside, then renamed: a start that is cut short leaves nothing half made.
        let beside = self.home.join("cluster.new");
        remove(&beside)?;
        self.write_new_password()?;
        let log = self.around.data.path("initdb.log");
        turn_log(&log)?;
        let mut arguments =
            args(["--username", TIDINGS, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]);
        arguments.extend(args(["--no-instructions", "--pwfile"]));
        arguments.extend([self.password_file().into(), "-D".into(), beside.clone().into()]);
        if !self.around.fsync {
            arguments.push("--no-sync".into());
        }
        child::run(&self.spec("initdb", "initdb", arguments, log, "KILL")).await?;
        fs::rename(&beside, self.cluster()).map_err(DevError::io("rename", &beside))
    }

    fn write_new_password(&self) -> Result<(), DevError> {
        let path = self.password_file();
        remove(&path)?;
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create_new(true).mode(0o600).open(&path).map_err(DevError::io("create", &path))?;
        let password = Alphanumeric.sample_string(&mut rand::rng(), 32);
        writeln!(file, "{password}").map_err(DevError::io("write", &path))?;
        own(&path, self.user)
    }

    fn spec(
        &self,
        name: &'static str,
        program: &str,
        args: Vec<std::ffi::OsString>,
        log: PathBuf,
        death_signal: &'static str,
    ) -> ChildSpec {
        let (setpriv, program) = (self.around.tools.setpriv.clone(), self.bin.join(program));
        ChildSpec { name, setpriv, program, args, envs: Vec::new(), user: self.user, log, death_signal }
    }

    fn settings(&self) -> Vec<String> {
        let mut settings = vec![
            format!("port={}", self.port),
            format!("listen_addresses={}", Ipv4Addr::LOCALHOST),
            "unix_socket_directories=".to_owned(),
            "max_connections=200".to_owned(),
            "shared_buffers=128MB".to_owned(),
            "jit=off".to_owned(),
            "timezone=UTC".to_owned(),
            "log_timezone=UTC".to_owned(),
            "logging_collector=off".to_owned(),
        ];
        if !self.around.fsync {
            settings.extend(["fsync=off", "full_page_writes=off", "synchronous_commit=off"].map(str::to_owned));
        }
        settings
    }

    fn connect_options(&self, database: &str) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(self.port);
        options.username(TIDINGS).password(&self.password).database(database).ssl_mode(PgSslMode::Disable)
    }

    /// A crashed postmaster leaves its pid file. If that pid is now some other program's, Postgres may take it for a postmaster.
    fn drop_misleading_pid_file(&self) -> Result<(), DevError> {
        let file = self.cluster().join("postmaster.pid");
        let text = fs::read_to_string(&file).unwrap_or_default();
        let pid: Option<u32> = text.lines().next().and_then(|pid| pid.trim().parse().ok());
        let Some((pid, works_in)) = pid.and_then(|pid| Some((pid, fs::read_link(format!("/proc/{pid}/cwd")).ok()?)))
        else {
            return Ok(());
        };
        if works_in == self.cluster() {
            let text = format!(
                "a Postgres that was started by other means (pid {pid}) runs on {}: stop it",
                works_in.display()
            );
            return Err(DevError::Surroundings(text));
        }
        remove(&file)
    }

    async fn await_ready(&self, child: &Child) -> Result<(), DevError> {
        let started = Instant::now();
        let mut cause = None;
        while started.elapsed() < READY_WITHIN {
            if let Some(exit) = child.ended() {
                return Err(DevError::Died(exit));
            }
            match self.connect_options("postgres").connect().await {
                Ok(connection) => return self.ensure_database(connection).await,
                Err(source) if is_refusal(&source) => return Err(DevError::Postgres { action: "let us in", source }),
                Err(error) => cause = Some(error.to_string()),
            }
            tokio::time::sleep(POLL).await;
        }
        let log = child.log().to_owned();
        Err(DevError::NotReady { name: NAME, after: READY_WITHIN, cause, tail: log_tail(&log), log })
    }

    async fn ensure_database(&self, mut connection: sqlx::PgConnection) -> Result<(), DevError> {
        let failed = |source| DevError::Postgres { action: "make the database", source };
        let exists = sqlx::query("SELECT FROM pg_database WHERE datname = $1").bind(TIDINGS);
        if exists.fetch_optional(&mut connection).await.map_err(failed)?.is_none() {
            sqlx::query("CREATE DATABASE tidings").execute(&mut connection).await.map_err(failed)?;
        }
        connection.close().await.map_err(failed)
    }
}

impl Part for Postgres {
    const NAME: &'static str = NAME;
    const LOG: &'static str = "postgres.log";
    /// A "fast" shutdown: clients are disconnected, everything is written.
    const STOP_SIGNAL: Signal = Signal::INT;
    const STOP_WITHIN: Duration = Duration::from_secs(30);

    fn around(&self) -> &Arc<Surroundings> {
        &self.around
    }

    fn choose_ports(&mut self) -> Result<(), DevError> {
        self.port = free_port()?;
        Ok(())
    }

    async fn spawn(&self) -> Result<Child, DevError> {
        self.drop_misleading_pid_file()?;
        let mut arguments = vec!["-D".into(), self.cluster().into()];
        arguments.extend(self.settings().into_iter().flat_map(|setting| ["-c".into(), setting.into()]));
        // QUIT is an "immediate" shutdown: the postmaster ends its children and then itself, at once.
        let log = self.around.data.path(Self::LOG);
        Child::spawn(&self.spec(NAME, "postgres", arguments, log, "QUIT")).await
    }

    async fn ready(&self, child: &Child) -> Result<(), DevError> {
        self.await_ready(child).await
    }

    /// Children of a killed postmaster hold its shared memory until they have noticed.
    fn is_transient(&self, exit: &ChildExit) -> bool {
        exit.tail.iter().any(|line| line.contains("shared memory block") && line.contains("still in use"))
    }
}

/// Removes the cluster, wherever it is.
pub(crate) fn wipe(data: &DataDir) -> Result<(), DevError> {
    remove(&Path::new(ELSEWHERE).join(data.id()))?;
    remove(&data.path(LOCATION))
}

/// The folder for the cluster, made and owned by the user that Postgres runs as.
async fn find_home(around: &Arc<Surroundings>, user: Option<User>) -> Result<PathBuf, DevError> {
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

fn own(path: &Path, user: Option<User>) -> Result<(), DevError> {
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
        Err(DevError::Died(exit)) if exit.tail.is_empty() => Ok(false),
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

fn is_refusal(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| REFUSED.contains(&code.as_ref()))
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
