//! Roles as processes of their own, to be stopped, frozen and killed from outside.

use std::process::Stdio;
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
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

impl Role {
    pub async fn start(name: &str, env: &[(String, String)]) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        Self::start_at(name, env, address).await
    }

    async fn start_at(name: &str, env: &[(String, String)], address: String) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_tidings"), name]);
        command
            .envs(env.iter().cloned())
            .env("TIDINGS_GATEWAY__LISTEN", &address)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let child = command.spawn().expect("starts");
        let mut role = Self { name: name.to_owned(), address, child, env: env.to_vec() };
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

    fn pid(&self) -> u32 {
        self.child.id().expect("running")
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
        Self::start_at(&self.name, &self.env, self.address.clone()).await
    }

    /// SIGTERM, waits for the orderly end, and the same again at the same address.
    pub async fn restart(mut self) -> Self {
        self.signal("-TERM").await;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("ends in time").expect("a child");
        assert!(ended.success(), "{} ended with {ended}", self.name);
        Self::start_at(&self.name, &self.env, self.address.clone()).await
    }
}
