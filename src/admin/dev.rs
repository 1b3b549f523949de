//! `tidings dev`: everything on this machine, in the foreground.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::assemble::{self, Health, Installation, Roles, Stop};
use crate::cli::{DevArgs, interrupted, stop};
use crate::config::Config;
use crate::crypto;
use crate::dev::{Parts, PartsOptions, Printer, Progress};
use crate::gateway::auth::tokens;
use crate::gateway::listener;

const TENANT: &str = "dev";
/// For sockets to be closed and commands to be answered; and where a part has died, so that nothing can be answered any more.
const STOP_WITHIN: Duration = Duration::from_secs(20);
const DIE_WITHIN: Duration = Duration::from_secs(3);
/// Longer than everything takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts everything, prints what a newcomer needs, and waits for Ctrl-C.
///
/// # Errors
/// What keeps it from starting, or what ended it.
pub async fn run(args: DevArgs) -> anyhow::Result<()> {
    let interrupted = interrupted();
    let mut settings = args.settings.clone();
    if let Some(listen) = args.listen {
        settings.set.push(("gateway.listen".into(), listen.to_string()));
    }
    if let Some(data) = &args.data {
        settings.set.push(("dev.data".into(), data.display().to_string()));
    }
    let first = Config::load(settings.config.as_deref(), &settings.set)?;
    if let Some(key) = given_key() {
        super::tenants::check(&key)?;
    }
    // Before anything is started: it is the most frequent reason not to.
    let listener = listener::bind(first.gateway.listen).await?;
    let address = listener.local_addr()?;
    let progress = Arc::new(Printer::new());
    let mut options = PartsOptions::new(first.dev.data.clone());
    options.fresh = args.fresh || first.dev.fresh;
    options.quick = first.dev.quick_kafka;
    options.progress = progress.clone();
    let stopping = CancellationToken::new();
    let Some(parts) = interrupted.run_until_cancelled(Parts::start(options)).await else { return Ok(()) };
    let parts = parts?;
    let result = serve(&first, &settings, &parts, listener, address, &*progress, stopping.clone()).await;
    stopping.cancel();
    parts.stop().await;
    result
}

async fn serve(
    first: &Config,
    settings: &crate::cli::Settings,
    parts: &Parts,
    listener: tokio::net::TcpListener,
    address: std::net::SocketAddr,
    progress: &dyn Progress,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    progress.doing("tidings", "making topics and tables");
    let keys = Keys::make(&first.dev.data)?;
    let settings = settled(first, settings, parts, &keys);
    let interrupted = interrupted();
    let preparing = async {
        let installation = Installation::open(settings.load()?).await?;
        installation.setup().await.context(
            "cannot make topics and tables; if settings were changed since the last start, `--fresh` starts anew",
        )?;
        let key = super::tenants::create(&installation.store, TENANT, Some(keys.api)).await?;
        anyhow::Ok((installation, key))
    };
    let Some(prepared) = interrupted.run_until_cancelled(preparing).await else { return Ok(()) };
    let (installation, key) = prepared?;
    progress.doing("tidings", "starting the roles");
    let health = Arc::new(Health::default());
    let stop = Stop { begin: stopping.clone(), hurry: stop().hurry };
    let roles = assemble::run(installation, Roles::ALL, listener, assemble::metrics()?, Arc::clone(&health), stop);
    let mut roles = tokio::spawn(roles);
    let begun = tokio::select! {
        people = people(address, &key, &health) => {
            let people = people?;
            progress.done("tidings", &format!("listens on http://{address}"));
            welcome(address, &key, &people)
        }
        ended = &mut roles => return ended?.and(Err(anyhow::anyhow!("the roles ended at their start"))),
        died = parts.child_died() => anyhow::bail!("{died}"),
        () = interrupted.cancelled() => Ok(()),
    };
    // Who cannot be told goes on no longer than who does not want to.
    let ended = match begun {
        Err(error) => Err(error),
        Ok(()) => tokio::select! {
            ended = &mut roles => return ended?.and(Err(anyhow::anyhow!("the roles ended by themselves"))),
            died = parts.child_died() => Err(anyhow::anyhow!("{died}")),
            () = interrupted.cancelled() => Ok(()),
        },
    };
    progress.doing("tidings", "closing sockets");
    stopping.cancel();
    // After a death what the roles say only follows from it.
    let patience = if ended.is_ok() { STOP_WITHIN } else { DIE_WITHIN };
    match tokio::time::timeout(patience, roles).await {
        Ok(stopped) => {
            progress.done("tidings", "stopped");
            ended.and(stopped?)
        }
        Err(_) => ended,
    }
}

/// The settings, with what only this start knows.
fn settled(first: &Config, settings: &crate::cli::Settings, parts: &Parts, keys: &Keys) -> crate::cli::Settings {
    let mut settings = settings.clone();
    for (name, value) in [
        ("kafka.brokers", parts.kafka().to_owned()),
        ("kafka.partitions", first.dev.partitions.to_string()),
        ("kafka.delivery_partitions", "8".to_owned()),
        ("postgres.url", parts.postgres_url().to_owned()),
        ("crypto.master_keys_file", keys.master.display().to_string()),
        ("crypto.token_key_file", keys.token.display().to_string()),
        // Nothing stands before it that would have to notice.
        ("gateway.drain_notice_ms", "0".to_owned()),
        ("log.level", "warn".to_owned()),
    ] {
        // What is said on the command line goes before.
        if !settings.set.iter().any(|(set, _)| set == name) {
            settings.set.push((name.to_owned(), value));
        }
    }
    settings
}

/// The API key that the user wants.
fn given_key() -> Option<String> {
    std::env::var("TIDINGS_API_KEY").ok().filter(|key| !key.is_empty())
}

/// The keys of this data directory, made at its first start.
struct Keys {
    master: PathBuf,
    token: PathBuf,
    api: String,
}

impl Keys {
    fn make(data: &Path) -> anyhow::Result<Self> {
        let data = data.canonicalize().with_context(|| format!("cannot find {}", data.display()))?;
        let (master, token, api) =
            (data.join("tidings-dev.master"), data.join("tidings-dev.token"), data.join("tidings-dev.key"));
        keep(&master, || Ok(crypto::generate_line("dev")?.to_string()))?;
        keep(&token, || Ok(tokens::generate_pem()?.to_string()))?;
        let api = match given_key() {
            Some(key) => key,
            None => keep(&api, super::tenants::generate_key)?,
        };
        Ok(Self { master, token, api })
    }
}

/// What the file holds, or what it is made with now. Only its owner can read it.
fn keep(path: &Path, make: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<String> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    if let Ok(kept) = std::fs::read_to_string(path) {
        return Ok(kept.trim().to_owned());
    }
    let text = make()?;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(text)
}

struct Person {
    name: &'static str,
    user: String,
    token: String,
}

/// Two users with tokens, made over HTTP as a tenant's backend would.
async fn people(address: std::net::SocketAddr, key: &str, health: &Health) -> anyhow::Result<Vec<Person>> {
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !health.is_ready() {
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "the gateway is not ready after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut people = Vec::new();
    for (external_id, name) in [("ada", "Ada"), ("bob", "Bob")] {
        let url = format!("http://{address}/v1/users/{external_id}");
        let user = loop {
            let answer: Value =
                client.put(&url).bearer_auth(key).json(&json!({ "name": name })).send().await?.json().await?;
            match answer["user"].as_str() {
                Some(user) => break user.to_owned(),
                // Partitions find their owners in these seconds.
                None if answer["retryable"] == true || answer["code"] == "unavailable" => {}
                None => anyhow::bail!("cannot make the user {external_id}: {answer}"),
            }
            anyhow::ensure!(
                tokio::time::Instant::now() < deadline,
                "cannot make the user {external_id} in {PATIENCE:?}"
            );
        };
        let url = format!("http://{address}/v1/users/{user}/tokens");
        let answer: Value = client.post(&url).bearer_auth(key).json(&json!({})).send().await?.json().await?;
        let token = answer["access_token"]
            .as_str()
            .with_context(|| format!("cannot make a token for {external_id}: {answer}"))?;
        people.push(Person { name, user, token: token.to_owned() });
    }
    Ok(people)
}

fn welcome(address: std::net::SocketAddr, key: &str, people: &[Person]) -> anyhow::Result<()> {
    use std::fmt::Write as _;
    use std::io::Write as _;
    let program = std::env::current_exe().map_or_else(|_| "tidings".to_owned(), |path| path.display().to_string());
    let mut text = format!("\nTidings is ready.\n\n  address   http://{address}\n  API key   {key}\n");
    for Person { name, user, token } in people {
        write!(text, "\n  {name}  {user}\n  {token}\n")?;
    }
    if let [ada, bob] = people {
        let line = |person: &Person, other: &Person| {
            format!("  {program} chat --server http://{address} --token {} --with {}\n", person.token, other.user)
        };
        write!(text, "\nOpen a chat, one line in each of two terminals:\n\n{}{}", line(ada, bob), line(bob, ada))?;
    }
    text.push_str("\nCtrl-C stops everything; the data is kept.\n");
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot print the address and the tokens")
}
