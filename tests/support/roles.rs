//! Roles as processes of their own, to be stopped, frozen and killed from outside.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};

use super::person::PATIENCE;

/// A running role. Dropping it kills it; so does the death of the test.
pub struct Role {
    pub name: String,
    /// Host and port of its gateway, or of its operations endpoint.
    pub address: String,
    child: Child,
    env: Vec<(String, String)>,
    /// Where it writes what it has to say; none: with the test.
    log: Option<PathBuf>,
}

/// A port of loopback that nobody listens on now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

fn spawn(name: &str, env: &[(String, String)], address: &str, log: Option<&Path>) -> Child {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_tidings"), name]);
    if let Some(log) = log {
        let file = std::fs::File::options().create(true).append(true).open(log).expect("a log");
        command.stdout(file.try_clone().expect("a file")).stderr(file);
    }
    let envs = env.iter().cloned();
    command.envs(envs).env("TIDINGS_GATEWAY__LISTEN", address).stdin(Stdio::null()).kill_on_drop(true);
    command.spawn().expect("starts")
}

impl Role {
    pub async fn start(name: &str, env: &[(String, String)]) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        Self::start_at(name, env, address, None).await
    }

    /// As [`Role::start`], with what it says at the end of a file.
    pub async fn start_logged(name: &str, env: &[(String, String)], log: &Path) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        Self::start_at(name, env, address, Some(log.to_owned())).await
    }

    async fn start_at(name: &str, env: &[(String, String)], address: String, log: Option<PathBuf>) -> Self {
        let child = spawn(name, env, &address, log.as_deref());
        let mut role = Self { name: name.to_owned(), address, child, env: env.to_vec(), log };
        role.wait_ready().await;
        role
    }

    async fn wait_ready(&mut self) {
        let deadline = tokio::time::Instant::now() + PATIENCE * 2;
        let url = format!("http://{}/readyz", self.address);
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("{} ended at its start: {status}", self.name);
            }
            let answer = reqwest::Client::new().get(&url).send().await;
            if answer.is_ok_and(|response| response.status().is_success()) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{} is not ready", self.name);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("running")
    }

    /// What it has in memory, in kilobytes.
    pub fn resident_kb(&self) -> i64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("has memory");
        rss.trim().trim_end_matches("kB").trim().parse().expect("a number")
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// SIGKILL, and nothing more.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("kills");
    }

    /// SIGTERM; does not wait for the end.
    pub async fn ask_to_end(&self) {
        self.signal("-TERM").await;
    }

    /// SIGTERM, and how it ended.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.ask_to_end().await;
        self.end().await
    }

    /// How it ends.
    pub async fn end(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("ends in time").expect("a child")
    }

    /// The same again at the same address, after its end; does not wait until it is ready.
    pub fn revive(&mut self) {
        self.child = spawn(&self.name, &self.env, &self.address, self.log.as_deref());
    }

    async fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.pid().to_string()]).status().await.expect("kill runs");
        assert!(status.success(), "kill {signal}");
    }

    /// SIGSTOP: alive, and does nothing.
    pub async fn freeze(&self) {
        self.signal("-STOP").await;
    }

    /// SIGCONT: goes on as if nothing had been.
    pub async fn thaw(&self) {
        self.signal("-CONT").await;
    }

    /// SIGKILL, and the same again at the same address.
    pub async fn kill_and_restart(mut self) -> Self {
        self.child.kill().await.expect("kills");
        Self::start_at(&self.name, &self.env, self.address.clone(), self.log.clone()).await
    }

    /// SIGTERM, waits for the orderly end, and the same again at the same address.
    pub async fn restart(mut self) -> Self {
        self.signal("-TERM").await;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("ends in time").expect("a child");
        assert!(ended.success(), "{} ended with {ended}", self.name);
        Self::start_at(&self.name, &self.env, self.address.clone(), self.log.clone()).await
    }
}
