//! What journeys stand on: a private Kafka and Postgres, the real binary, and people.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod person;
pub mod roles;
mod rows;
pub mod spec;
pub mod stream;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tidings::dev::{Parts, PartsOptions};
use tokio::sync::OnceCell;

#[allow(unused_imports, reason = "each test binary uses its part")]
pub use person::{Account, PATIENCE, Person, message};
pub use roles::Role;
#[allow(unused_imports, reason = "each test binary uses its part")]
pub use rows::rows;
#[allow(unused_imports, reason = "each test binary uses its part")]
pub use stream::Listener;

/// Of a process.
pub const POSTGRES_URL: &str = "TIDINGS_POSTGRES__URL";

/// A running installation.
pub struct Stack {
    /// Of the gateway: host and port.
    pub address: String,
    /// Of the tenant.
    pub key: String,
    other_key: String,
    /// For processes of its own.
    pub env: Vec<(String, String)>,
    pub parts: Parts,
    pub role: Option<Role>,
    client: reqwest::Client,
    _data: tempfile::TempDir,
}

/// Shared stacks live on a runtime of their own: each test's runtime ends with the test.
fn runtime() -> &'static tokio::runtime::Handle {
    static RUNTIME: OnceLock<tokio::runtime::Handle> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            sender.send(runtime.handle().clone()).expect("the test waits");
            runtime.block_on(std::future::pending::<()>());
        });
        receiver.recv().expect("started")
    })
}

impl Stack {
    /// One for all tests of a binary, with all roles in one process. Its processes end with the test process.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Stack> = OnceCell::const_new();
        SHARED
            .get_or_init(|| async {
                runtime()
                    .spawn(async {
                        let mut stack = Self::start().await;
                        stack.role = Some(stack.role("all").await);
                        stack.address = stack.role.as_ref().expect("started").address.clone();
                        stack
                    })
                    .await
                    .expect("the stack starts")
            })
            .await
    }

    /// Kafka and Postgres, topics and tables, two tenants; no role yet.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// As [`Stack::start`], with other parts.
    pub async fn start_with(change: impl FnOnce(&mut PartsOptions)) -> Self {
        let mut stack = Self::bare(change).await;
        stack.run(&["admin", "setup"]).await;
        stack.key = stack.run(&["admin", "create-tenant", "first"]).await;
        stack.other_key = stack.run(&["admin", "create-tenant", "second"]).await;
        stack
    }

    /// Kafka and Postgres with nothing in them, to be what `other` is: it has its keys.
    pub async fn empty_like(other: &Self) -> Self {
        let mut stack = Self::bare(|_| {}).await;
        (stack.key, stack.other_key) = (other.key.clone(), other.other_key.clone());
        for (name, value) in &mut stack.env {
            if name.starts_with("TIDINGS_CRYPTO__") {
                value.clone_from(&other.env.iter().find(|(there, _)| there == name).expect("a key").1);
            }
        }
        stack
    }

    async fn bare(change: impl FnOnce(&mut PartsOptions)) -> Self {
        // Only the first provider installed counts; all are the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Postgres runs as another user than root.
        let data =
            tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempdir().expect("a directory");
        let mut options = PartsOptions::new(data.path().join("parts"));
        options.fsync = false;
        change(&mut options);
        let (replicas, in_sync) = if options.kafka_nodes > 1 { ("3", "2") } else { ("1", "1") };
        let parts = Parts::start(options).await.unwrap_or_else(|error| panic!("{error}"));
        let keys = Keys::make(data.path());
        let env = vec![
            ("TIDINGS_KAFKA__BROKERS".to_owned(), parts.kafka().to_owned()),
            ("TIDINGS_KAFKA__PARTITIONS".to_owned(), "4".to_owned()),
            ("TIDINGS_KAFKA__DELIVERY_PARTITIONS".to_owned(), "8".to_owned()),
            ("TIDINGS_KAFKA__REPLICATION_FACTOR".to_owned(), replicas.to_owned()),
            ("TIDINGS_KAFKA__MIN_INSYNC_REPLICAS".to_owned(), in_sync.to_owned()),
            (POSTGRES_URL.to_owned(), parts.postgres_url().to_owned()),
            ("TIDINGS_CRYPTO__MASTER_KEYS_FILE".to_owned(), keys.master),
            ("TIDINGS_CRYPTO__TOKEN_KEY_FILE".to_owned(), keys.token),
            ("TIDINGS_LOG__LEVEL".to_owned(), std::env::var("TIDINGS_TEST_LOG").unwrap_or_else(|_| "warn".to_owned())),
        ];
        Self {
            address: String::new(),
            key: String::new(),
            other_key: String::new(),
            env,
            parts,
            role: None,
            // Each test has a runtime of its own, and a kept connection would die with the one that made it.
            client: reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client"),
            _data: data,
        }
    }

    /// Runs the binary to its end; its standard output, or panic with what it said.
    pub async fn run(&self, args: &[&str]) -> String {
        let output = self.output(args).await;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "tidings {args:?} failed: {out}{err}");
        out.trim().to_owned()
    }

    /// Runs the binary to its end, which is a failure; what it said.
    pub async fn fails(&self, args: &[&str]) -> String {
        let output = self.output(args).await;
        assert!(!output.status.success(), "tidings {args:?} did not fail");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    async fn output(&self, args: &[&str]) -> std::process::Output {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tidings"));
        command.args(args).envs(self.env.iter().cloned()).env_remove("TIDINGS_API_KEY").kill_on_drop(true);
        tokio::time::timeout(person::PATIENCE * 4, command.output()).await.expect("ends in time").expect("runs")
    }

    /// A client of its Kafka, quick to see an end.
    pub fn kafka(&self) -> rdkafka::ClientConfig {
        let mut client = rdkafka::ClientConfig::new();
        client.set("bootstrap.servers", self.parts.kafka()).set("log_level", "0").set("fetch.wait.max.ms", "20");
        client
    }

    /// Where processes find the database.
    pub fn postgres_url(&self) -> &str {
        self.env.iter().rev().find(|(name, _)| name == POSTGRES_URL).map_or("", |(_, url)| url)
    }

    /// Starts a role of its own process and waits until it is ready.
    pub async fn role(&self, name: &str) -> Role {
        Role::start(name, &self.env).await
    }

    /// A new user with a token.
    pub async fn account(&self, name: &str) -> Account {
        self.account_of(&self.key, name, json!({})).await
    }

    /// Several.
    pub async fn accounts(&self, name: &str, count: usize) -> Vec<Account> {
        let each = (0..count).map(|n| async move { self.account(&format!("{name} {n}")).await });
        futures_util::future::join_all(each).await
    }

    /// A user of the other tenant.
    pub async fn other_tenant_account(&self, name: &str) -> Account {
        self.account_of(&self.other_key, name, json!({})).await
    }

    /// Makes a user of either tenant a moderator of it, or takes that back.
    pub async fn moderates(&self, account: &Account, moderator: bool) {
        let url = format!("http://{}/v1/users/{}", self.address, account.external_id);
        let body = json!({ "moderator": moderator });
        let (status, answer) = self.send_until_heard(self.client.put(url).bearer_auth(&account.key).json(&body)).await;
        assert_eq!((status, &answer["user"]), (200, &json!(account.user)));
    }

    /// A user whose token has ended.
    pub async fn expired_account(&self, name: &str) -> Account {
        let account = self.account_of(&self.key, name, json!({ "ttl_ms": 1_000 })).await;
        loop {
            let (status, _) = self.get("/v1/inbox", &account.token).await;
            if status == 401 {
                return account;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    async fn account_of(&self, key: &str, name: &str, token: Value) -> Account {
        let external_id = uuid::Uuid::now_v7().to_string();
        let url = format!("http://{}/v1/users/{external_id}", self.address);
        let (status, user) =
            self.send_until_heard(self.client.put(url).bearer_auth(key).json(&json!({ "name": name }))).await;
        assert_eq!(status, 200, "{user}");
        let user = user["user"].as_str().expect("a user").to_owned();
        let url = format!("http://{}/v1/users/{user}/tokens", self.address);
        let (status, token) = self.send_until_heard(self.client.post(url).bearer_auth(key).json(&token)).await;
        assert_eq!(status, 200, "{token}");
        let token = token["access_token"].as_str().expect("a token").to_owned();
        Account { user, token, external_id, key: key.to_owned() }
    }

    /// A command over HTTP: status and body.
    pub async fn post(&self, account: &Account, kind: &str, data: Value) -> (u16, Value) {
        let url = format!("http://{}/v1/commands/{kind}", self.address);
        self.send(self.client.post(url).bearer_auth(&account.token).json(&data)).await
    }

    /// A request of the tenant's backend: status and body.
    pub async fn post_as_backend(&self, path: &str, data: Value) -> (u16, Value) {
        let url = format!("http://{}{path}", self.address);
        self.send(self.client.post(url).bearer_auth(&self.key).json(&data)).await
    }

    /// What its processes are given, by the name of the variable.
    pub fn setting(&self, name: &str) -> &str {
        let found = self.env.iter().find(|(other, _)| other == name);
        &found.expect("is set").1
    }

    /// A read over HTTP: status and body.
    pub async fn get(&self, path: &str, token: &str) -> (u16, Value) {
        self.send(self.client.get(format!("http://{}{path}", self.address)).bearer_auth(token)).await
    }

    /// Any request: status and body.
    pub async fn request(&self, method: &str, path: &str, bearer: Option<&str>, body: Option<&Value>) -> (u16, Value) {
        let method = method.to_ascii_uppercase().parse().expect("a method");
        let mut request = self.client.request(method, format!("http://{}{path}", self.address));
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(request).await
    }

    /// A text over HTTP.
    pub async fn get_text(&self, path: &str) -> String {
        let response = self.client.get(format!("http://{}{path}", self.address)).send().await.expect("answers");
        response.text().await.expect("text")
    }

    /// As [`Stack::send`], again while it says that it may work later.
    async fn send_until_heard(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let deadline = tokio::time::Instant::now() + person::PATIENCE;
        loop {
            let (status, answer) = self.send(request.try_clone().expect("no stream")).await;
            if answer["retryable"] != true || tokio::time::Instant::now() > deadline {
                return (status, answer);
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let request = request.build().expect("a request");
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let mut response = self.client.execute(request).await.expect("answers");
        let status = response.status().as_u16();
        let content_type = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let body = if content_type == stream::MEDIA_TYPE {
            // It has no end: what comes first is enough.
            let first = response.chunk().await.expect("a body").unwrap_or_default();
            String::from_utf8(first.to_vec()).expect("UTF-8")
        } else {
            response.text().await.expect("a body")
        };
        let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
        spec::check_response(method.as_str(), &path, status, &content_type, &body);
        (status, body)
    }
}

/// Of an installation, as files.
pub struct Keys {
    pub master: String,
    pub token: String,
}

impl Keys {
    pub fn make(directory: &Path) -> Self {
        let (master, token) = (directory.join("master.keys"), directory.join("token.pem"));
        std::fs::write(&master, tidings::crypto::generate_line("test").expect("random").as_bytes()).expect("writes");
        std::fs::write(&token, tidings::gateway::auth::tokens::generate_pem().expect("random").as_bytes())
            .expect("writes");
        Self { master: master.display().to_string(), token: token.display().to_string() }
    }
}
