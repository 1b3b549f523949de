//! Everything over TLS: Kafka with SASL, Postgres with its name checked, the gateway with a certificate that is renewed while it serves.

#[path = "support/mod.rs"]
mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use reqwest::tls::TlsInfo;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection, PgConnection};
use tidings::dev::{KafkaListener, Parts, PartsOptions};
use tidings_client::{Endpoint, Socket};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use support::person::PATIENCE;

const PASSWORD: &str = "only brokers know";
const POLL: Duration = Duration::from_millis(50);

/// An authority, and a directory for what it signs.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    files: PathBuf,
}

impl Authority {
    fn new(files: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("signs itself");
        let this = Self { issuer, files: files.join(name) };
        std::fs::create_dir(&this.files).expect("a directory");
        std::fs::write(this.root(), this.issuer.pem()).expect("written");
        this
    }

    fn root(&self) -> PathBuf {
        self.files.join("root.pem")
    }

    /// Signs a certificate for this machine: its DER, and the PEM files of it, of its key, and of both.
    fn sign(&self, name: &str) -> (Vec<u8>, [PathBuf; 3]) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
        let certificate = params.signed_by(&key, &self.issuer).expect("signs");
        let (pem, key) = (certificate.pem(), key.serialize_pem());
        let files = [("crt", pem.clone()), ("key", key.clone()), ("both", format!("{key}{pem}"))];
        let files = files.map(|(kind, text)| {
            let path = self.files.join(format!("{name}.{kind}"));
            std::fs::write(&path, text).expect("written");
            path
        });
        (certificate.der().to_vec(), files)
    }
}

fn listener(authority: &Authority) -> KafkaListener {
    let port = support::roles::free_port();
    let (_, [_, _, both]) = authority.sign("kafka");
    let at = "listener.name.secure";
    let module = "org.apache.kafka.common.security.plain.PlainLoginModule required";
    let properties = vec![
        format!("{at}.ssl.keystore.type=PEM"),
        format!("{at}.ssl.keystore.location={}", both.display()),
        format!("{at}.sasl.enabled.mechanisms=PLAIN"),
        format!("{at}.plain.sasl.jaas.config={module} user_tidings=\"{PASSWORD}\";"),
    ];
    KafkaListener { name: "SECURE".into(), protocol: "SASL_SSL".into(), port, advertised_port: None, properties }
}

/// From now on Postgres speaks TLS only.
async fn secure_postgres(parts: &Parts, authority: &Authority) {
    let options: PgConnectOptions = parts.postgres_url().parse().expect("an address");
    let mut connection =
        PgConnection::connect_with(&options.clone().ssl_mode(PgSslMode::Disable)).await.expect("connects");
    let directory: String =
        sqlx::query_scalar("SHOW data_directory").fetch_one(&mut connection).await.expect("a directory");
    let directory = Path::new(&directory);
    let owner = std::fs::metadata(directory).expect("is there");
    let (_, [certificate, key, _]) = authority.sign("postgres");
    for (file, setting) in [(certificate, "ssl_cert_file"), (key, "ssl_key_file")] {
        let path = directory.join(file.file_name().expect("a name"));
        std::fs::copy(file, &path).expect("copied");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("is ours");
        chown(&path, Some(owner.uid()), Some(owner.gid())).expect("is Postgres' now");
        let set = format!("ALTER SYSTEM SET {setting} = '{}'", path.display());
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut connection).await.expect("is set");
    }
    std::fs::write(directory.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 scram-sha-256\n").expect("written");
    sqlx::raw_sql("ALTER SYSTEM SET ssl = on").execute(&mut connection).await.expect("is set");
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut connection).await.expect("reloads");
    let switched = async {
        while PgConnection::connect_with(&options.clone().ssl_mode(PgSslMode::Require)).await.is_err()
            || PgConnection::connect_with(&options.clone().ssl_mode(PgSslMode::Disable)).await.is_ok()
        {
            sleep(POLL).await;
        }
    };
    timeout(PATIENCE, switched).await.expect("Postgres speaks TLS only");
}

struct World {
    settings: Vec<(&'static str, String)>,
}

impl World {
    fn command(&self, args: &[&str], changes: &[(&'static str, &str)]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_tidings")]).args(args);
        for (name, value) in &self.settings {
            let changed = changes.iter().find(|(changed, _)| changed == name).map_or(value.as_str(), |(_, to)| to);
            command.args(["--set", &format!("{name}={changed}")]);
        }
        command.env_remove("TIDINGS_API_KEY").stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn run(&self, args: &[&str], changes: &[(&'static str, &str)]) -> Output {
        let output = self.command(args, changes).output();
        timeout(PATIENCE, output).await.expect("ends in time").expect("runs")
    }

    /// Runs it with a wrong setting: what it says.
    async fn refused(&self, setting: &'static str, wrong: &str) -> String {
        let output = self.run(&["admin", "setup"], &[(setting, wrong)]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{setting} = {wrong} is accepted: {said}");
        assert!(!said.contains(PASSWORD), "a secret is told: {said}");
        said
    }
}

async fn ask(request: reqwest::RequestBuilder) -> Value {
    let response = request.send().await.expect("answers");
    assert!(response.status().is_success(), "{}", response.text().await.expect("text"));
    response.json().await.expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_speaks_tls_and_nobody_else_is_spoken_to() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let data = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempdir().expect("a directory");
    let (ours, strangers) = (Authority::new(data.path(), "ours"), Authority::new(data.path(), "strangers"));
    let mut options = PartsOptions::new(data.path().join("parts"));
    options.fsync = false;
    let kafka = listener(&ours);
    options.kafka_listeners = vec![kafka.clone()];
    let parts = Parts::start(options).await.unwrap_or_else(|error| panic!("{error}"));
    secure_postgres(&parts, &ours).await;

    let keys = support::Keys::make(data.path());
    let (mut certificate, [certificate_file, key_file, _]) = ours.sign("gateway");
    let gateway = format!("127.0.0.1:{}", support::roles::free_port());
    let shown = |path: &Path| path.display().to_string();
    let root = shown(&ours.root());
    let world = World {
        settings: vec![
            ("kafka.brokers", format!("127.0.0.1:{}", kafka.port)),
            ("kafka.security_protocol", "sasl_ssl".to_owned()),
            ("kafka.sasl_mechanism", "PLAIN".to_owned()),
            ("kafka.sasl_username", "tidings".to_owned()),
            ("kafka.sasl_password", PASSWORD.to_owned()),
            ("kafka.ssl_ca", root.clone()),
            ("kafka.partitions", "2".to_owned()),
            ("kafka.delivery_partitions", "2".to_owned()),
            ("postgres.url", parts.postgres_url().to_owned()),
            ("postgres.tls", "verify-full".to_owned()),
            ("postgres.tls_root", root.clone()),
            ("crypto.master_keys_file", keys.master),
            ("crypto.token_key_file", keys.token),
            ("gateway.listen", gateway.clone()),
            ("gateway.tls_certificate", shown(&certificate_file)),
            ("gateway.tls_key", shown(&key_file)),
            ("log.level", "warn".to_owned()),
        ],
    };

    let mut key = String::new();
    for args in [&["admin", "setup"][..], &["admin", "create-tenant", "first"]] {
        let output = world.run(args, &[]).await;
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        key = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    }

    let wrong = shown(&strangers.root());
    for (setting, value, word) in [
        ("kafka.ssl_ca", wrong.as_str(), "kafka"),
        ("kafka.sasl_password", "a guess", "kafka"),
        ("kafka.security_protocol", "plaintext", "kafka"),
        ("postgres.tls_root", wrong.as_str(), "postgres"),
        ("postgres.tls", "disable", "postgres"),
    ] {
        let said = world.refused(setting, value).await;
        assert!(said.to_lowercase().contains(word), "{setting} = {value}: {said}");
    }

    let mut all = world.command(&["all"], &[]).spawn().expect("starts");
    let roots = [reqwest::Certificate::from_pem(ours.issuer.pem().as_bytes()).expect("PEM")];
    // No connection is kept: each shows the certificate of its time.
    let client = reqwest::Client::builder().tls_certs_only(roots).tls_info(true).pool_max_idle_per_host(0);
    let client = client.build().expect("a client");
    let url = format!("https://{gateway}");
    let ready = async {
        while !client.get(format!("{url}/readyz")).send().await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(all.try_wait().expect("a child").is_none(), "it ended at its start");
            sleep(POLL).await;
        }
    };
    timeout(PATIENCE * 2, ready).await.expect("is ready");

    let user = ask(client.put(format!("{url}/v1/users/ada")).bearer_auth(&key).json(&json!({ "name": "Ada" }))).await;
    let tokens = format!("{url}/v1/users/{}/tokens", user["user"].as_str().expect("a user"));
    let token = ask(client.post(tokens).bearer_auth(&key).json(&json!({}))).await;
    let endpoint = Endpoint::new(&url).and_then(|endpoint| endpoint.with_roots_pem(ours.issuer.pem().as_bytes()));
    let mut socket = Socket::connect(&endpoint.expect("an address")).await.expect("connects");
    let hello = json!({ "id": "1", "type": "hello", "data": { "token": token["access_token"] } });
    socket.send_text(&hello.to_string()).await.expect("sends");
    let welcome = timeout(PATIENCE, socket.next_text()).await.expect("in time").expect("answers");
    assert!(welcome.contains("\"ok\""), "{welcome}");
    assert!(
        Socket::connect(&Endpoint::new(&url).expect("an address")).await.is_err(),
        "an unknown authority is trusted"
    );

    // A renewed certificate is shown to whoever comes, and who is there stays.
    for round in 0..2 {
        let renewed = ours.sign("gateway").0;
        assert_ne!(renewed, certificate);
        certificate = renewed;
        let seen = async {
            loop {
                let answer = client.get(format!("{url}/livez")).send().await;
                let shown = answer.ok().and_then(|answer| {
                    answer.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate).map(<[u8]>::to_vec)
                });
                if shown.as_ref() == Some(&certificate) {
                    break;
                }
                sleep(POLL).await;
            }
        };
        timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("renewal {round} is not seen"));
        socket.send_text(&json!({ "id": "2", "type": "ping", "data": {} }).to_string()).await.expect("sends");
        let pong = timeout(PATIENCE, async {
            loop {
                let text = socket.next_text().await.expect("the socket lives");
                if text.contains("\"id\":\"2\"") {
                    break text;
                }
            }
        });
        assert!(pong.await.expect("in time").contains("\"ok\""));
    }
    all.kill().await.expect("ends");
    parts.stop().await;
}
