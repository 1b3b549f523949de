//! One private Postgres cluster, reached over loopback only.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::distr::{Alphanumeric, SampleString};
use rustix::process::Signal;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};

use super::Surroundings;
use super::child::{self, Child, ChildSpec, args, turn_log};
use super::data::{remove, started};
use super::error::{ChildExit, DevError, log_end};
use super::home::{find_home, own};
use super::part::Part;
use super::ports::free_port;
use super::tools::User;

pub(crate) const NAME: &str = "Postgres";
/// The role, a superuser, and the database.
const TIDINGS: &str = "tidings";
/// A start takes 0.2 s; a long recovery after a crash is allowed for.
const READY_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// Postgres looks for its port within milliseconds of its start.
const STRANGER_SHOWS_WITHIN: Duration = Duration::from_secs(5);
/// A pid that no process can have: the system's limit is 4,194,304.
const NO_PID: i32 = i32::MAX - 1;
/// `invalid_password`, `invalid_authorization_specification`.
const REFUSED: [&str; 2] = ["28P01", "28000"];

pub(crate) struct Postgres {
    name: &'static str,
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
        let mut postgres = Self { name: NAME, around, user, bin, home, password: String::new(), port: 0 };
        postgres.choose_ports()?;
        if !postgres.cluster().exists() {
            postgres.init().await?;
        }
        let file = postgres.password_file();
        postgres.password = fs::read_to_string(&file).map_err(DevError::io("read", &file))?.trim().to_owned();
        Ok(postgres)
    }

    /// A copy of a running one that follows it, until [`Postgres::promote`].
    pub(crate) async fn prepare_standby(&self, name: &'static str) -> Result<Self, DevError> {
        self.around.progress.doing(name, "copying the cluster");
        let home = self.home.join(format!("standby-{}", uuid::Uuid::now_v7().simple()));
        fs::create_dir_all(&home).map_err(DevError::io("create", &home))?;
        own(&home, self.user)?;
        let (around, user, bin, password) = (self.around.clone(), self.user, self.bin.clone(), self.password.clone());
        let standby = Self { name, around, user, bin, home, password, port: free_port()? };
        let (log, port) = (standby.log(), self.port.to_string());
        turn_log(&log)?;
        let mut arguments = args(["-h", "127.0.0.1", "-p", &port, "-U", TIDINGS, "-R", "-X", "stream", "-c", "fast"]);
        arguments.extend(args(["--no-sync", "-D"]));
        arguments.push(standby.cluster().into());
        let mut spec = standby.spec("pg_basebackup", "pg_basebackup", arguments, log, "KILL");
        spec.envs.push(("PGPASSWORD", self.password.clone().into()));
        child::run(&spec).await?;
        Ok(standby)
    }

    /// Makes a standby a primary.
    pub(crate) async fn promote(&self) -> Result<(), DevError> {
        let failed = |cause| DevError::Postgres { action: "become the primary", cause };
        let mut connection = self.connect_options("postgres").connect().await.map_err(failed)?;
        sqlx::query("SELECT pg_promote(true, 60)").execute(&mut connection).await.map_err(failed)?;
        connection.close().await.map_err(failed)
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
            // What is committed still outlives a kill: it is written, though not to the disk.
            settings.extend(["fsync=off", "full_page_writes=off"].map(str::to_owned));
        }
        settings
    }

    fn connect_options(&self, database: &str) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(self.port);
        options.username(TIDINGS).password(&self.password).database(database).ssl_mode(PgSslMode::Disable)
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
                Err(cause) if is_refusal(&cause) => {
                    // Or another Postgres, which has taken the port meanwhile: then ours is about to end.
                    let ended = tokio::time::timeout(STRANGER_SHOWS_WITHIN, child.wait()).await;
                    return Err(ended.map_or(DevError::Postgres { action: "let us in", cause }, DevError::Died));
                }
                Err(error) => cause = Some(error.to_string()),
            }
            tokio::time::sleep(POLL).await;
        }
        let log = child.log().to_owned();
        Err(DevError::NotReady { name: self.name, after: READY_WITHIN, cause, said: log_end(&log), log })
    }

    async fn ensure_database(&self, mut connection: sqlx::PgConnection) -> Result<(), DevError> {
        let failed = |cause| DevError::Postgres { action: "make the database", cause };
        let exists = sqlx::query("SELECT FROM pg_database WHERE datname = $1").bind(TIDINGS);
        if exists.fetch_optional(&mut connection).await.map_err(failed)?.is_none() {
            sqlx::query("CREATE DATABASE tidings").execute(&mut connection).await.map_err(failed)?;
        }
        connection.close().await.map_err(failed)
    }
}

impl Part for Postgres {
    /// A "fast" shutdown: clients are disconnected, everything is written.
    const STOP_SIGNAL: Signal = Signal::INT;
    const STOP_WITHIN: Duration = Duration::from_secs(30);

    fn around(&self) -> &Arc<Surroundings> {
        &self.around
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn log(&self) -> PathBuf {
        self.around.data.path(if self.name == NAME { "postgres.log" } else { "postgres-standby.log" })
    }

    fn choose_ports(&mut self) -> Result<(), DevError> {
        self.port = free_port()?;
        Ok(())
    }

    async fn spawn(&self) -> Result<Child, DevError> {
        clear_pid_file(&self.cluster())?;
        let mut arguments = vec!["-D".into(), self.cluster().into()];
        arguments.extend(self.settings().into_iter().flat_map(|setting| ["-c".into(), setting.into()]));
        // QUIT is an "immediate" shutdown: the postmaster ends its children and then itself, at once.
        Child::spawn(&self.spec(self.name, "postgres", arguments, self.log(), "QUIT")).await
    }

    async fn ready(&self, child: &Child) -> Result<(), DevError> {
        self.await_ready(child).await
    }

    /// Children of a killed postmaster hold its shared memory until they have noticed.
    fn recovers_from(&self, exit: &ChildExit) -> bool {
        exit.said.lines.iter().any(|line| line.contains("shared memory block") && line.contains("still in use"))
    }
}

/// A crashed postmaster leaves its pid file. Postgres refuses to start while that pid exists, be it as another program by now, or as
/// a dead process that its parent has not reaped (in a container the first process may never do so).
fn clear_pid_file(cluster: &Path) -> Result<(), DevError> {
    let file = cluster.join("postmaster.pid");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let Some((Ok(pid), rest)) = text.split_once('\n').map(|(pid, rest)| (pid.trim().parse::<u32>(), rest)) else {
        return Ok(());
    };
    let process = Path::new("/proc").join(pid.to_string());
    let is_other = match fs::read_link(process.join("cwd")) {
        Ok(works_in) if works_in == cluster => {
            let text = format!("a Postgres that was started by other means (pid {pid}) runs on {}", cluster.display());
            return Err(DevError::Surroundings(format!("{text}: stop it")));
        }
        Ok(_) => true,
        Err(_) => process.exists() && started(pid).is_none(),
    };
    if !is_other {
        return Ok(());
    }
    // The other lines stay: by them Postgres sees whether children of the dead one still use its memory.
    fs::write(&file, format!("{NO_PID}\n{rest}")).map_err(DevError::io("write", &file))
}

fn is_refusal(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| REFUSED.contains(&code.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_that_names_a_stranger_or_a_dead_process_misleads_nobody() {
        let cluster = tempfile::tempdir().expect("a temporary directory");
        let file = cluster.path().join("postmaster.pid");
        let left_by = |pid: u32| fs::write(&file, format!("{pid}\n/data\n17\n")).expect("written");
        let after = || {
            clear_pid_file(cluster.path()).expect("nobody runs there");
            fs::read_to_string(&file).expect("it is still there")
        };
        let cleared = format!("{NO_PID}\n/data\n17\n");
        left_by(std::process::id());
        assert_eq!(after(), cleared);

        let mut dead = std::process::Command::new("true").spawn().expect("it runs");
        while started(dead.id()).is_some() {
            std::thread::yield_now();
        }
        left_by(dead.id());
        assert_eq!(after(), cleared);
        dead.wait().expect("reaped");
    }

    #[test]
    fn a_postgres_of_someone_else_on_the_cluster_is_reported() {
        let cluster = tempfile::tempdir().expect("a temporary directory");
        let mut other = std::process::Command::new("sleep");
        let mut other = other.arg("60").current_dir(cluster.path()).spawn().expect("it runs");
        fs::write(cluster.path().join("postmaster.pid"), format!("{}\n", other.id())).expect("written");
        let error = clear_pid_file(cluster.path()).expect_err("it runs there");
        other.kill().and_then(|()| other.wait()).expect("ended");
        assert!(error.to_string().contains(&format!("pid {}", other.id())), "{error}");
    }
}
