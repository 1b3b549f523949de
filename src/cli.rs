//! The command line: an index of what the binary can do.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::admin::backup;
use crate::assemble::{self, Installation, Roles, Stop};
use crate::config::{Config, Format};
use crate::gateway::listener;

/// An event-sourced messaging backend on Kafka and Postgres.
#[derive(Parser)]
#[command(name = "tidings", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where settings come from, beside the defaults and the environment (`TIDINGS_SECTION__FIELD`).
#[derive(Debug, Clone, Default, Args)]
pub struct Settings {
    /// Configuration file (TOML); see docs/configuration.md
    #[arg(long, env = "TIDINGS_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// One setting, such as `gateway.listen=0.0.0.0:8080`; may be repeated
    #[arg(long = "set", value_name = "SECTION.FIELD=VALUE", value_parser = setting, global = true)]
    pub set: Vec<(String, String)>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected SECTION.FIELD=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What the binary can do.
#[derive(Subcommand)]
pub enum Command {
    /// Hold sockets: authenticate, append commands, push what happens
    Gateway(Settings),
    /// Decide commands and number what follows
    Sequencer(Settings),
    /// Keep the views in Postgres
    Projector(Settings),
    /// Copy what counts to the public streams
    Publisher(Settings),
    /// Ask for what is due, such as that messages are removed whose time is over
    Scheduler(Settings),
    /// Make what is said searchable
    Indexer(Settings),
    /// All roles in one process
    All(Settings),
    /// Start everything here, with a private Kafka and Postgres, until Ctrl-C
    Dev(DevArgs),
    /// Set up and look after an installation
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Chat in the terminal
    Chat(crate::chat::Args),
    /// Exit 0 if a server answers at URL, such as http://127.0.0.1:8080/readyz
    Healthcheck {
        /// What to ask
        url: String,
    },
}

/// Flags of `tidings dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// Where the gateway listens [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<std::net::SocketAddr>,
    /// Where data is kept between starts [default: .tidings]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Wipe what Kafka and Postgres hold first; the keys, and with them the ids of users, are kept
    #[arg(long)]
    pub fresh: bool,
    /// Everything else
    #[command(flatten)]
    pub settings: Settings,
}

/// What `tidings admin` can do.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Create topics, tables and the schemas' ids; may be run again
    Setup(Settings),
    /// Create a tenant and print its API key, which is shown only now (TIDINGS_API_KEY: use this key)
    CreateTenant {
        /// For people
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Rebuild a projection from the public streams beside the live one, and switch; or all of a database that is new
    Rebuild {
        /// Its name, a folder of `projections/`: entrances, groups, inbox, last_seen, messages, pins, polls, reactions, reports, restrictions, threads,
        /// timeline or users; or all
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Back up what cannot be made again: what was written since the last backup
    Backup {
        /// Where to: `s3://bucket/prefix` or a folder [default: backup.destination]
        #[arg(long, value_name = "ADDRESS")]
        to: Option<String>,
        /// Everything, and not only what was written since the last backup
        #[arg(long)]
        full: bool,
        /// Go on until stopped, with a backup each interval, such as 2h [default: backup.interval_ms]
        #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "")]
        every: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// List the backups
    Backups {
        /// Where they are [default: backup.destination]
        #[arg(long, value_name = "ADDRESS")]
        from: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Bring a backup back into an empty Kafka and an empty database, in a higher epoch
    Restore {
        /// Where it is [default: backup.destination]
        #[arg(long, value_name = "ADDRESS")]
        from: Option<String>,
        /// Where the data keys are [default: backup.keys_destination]
        #[arg(long, value_name = "ADDRESS")]
        keys_from: Option<String>,
        /// The number of the backup [default: the newest]
        #[arg(long, value_name = "NUMBER")]
        at: Option<u64>,
        /// Only read it and check that it is whole; needs neither Kafka nor Postgres
        #[arg(long)]
        check: bool,
        /// Only tenants and API keys, into a new database beside a Kafka that is whole
        #[arg(long, conflicts_with = "check")]
        tenants: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Have every data key wrapped by the first of `crypto.master_keys`, while everybody works; see docs/security.md
    RotateMasterKey {
        /// Only count
        #[arg(long)]
        check: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Compare the unread and mention counts of everybody's inbox with a full recount of the public streams
    Audit(Settings),
    /// List commands that could not be decoded, with reason and place
    DeadLetters(Settings),
    /// Print the defaults of every setting, documented
    Config,
}

/// Does it.
///
/// # Errors
/// What went wrong, to be shown to the person who asked.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    // Both TLS stacks in the tree (rustls for us, and in the HTTP client) use this provider. It fails only if one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli.command {
        Command::Gateway(settings) => roles(&settings, Roles { gateway: true, ..Roles::NONE }).await,
        Command::Sequencer(settings) => roles(&settings, Roles { sequencer: true, ..Roles::NONE }).await,
        Command::Projector(settings) => roles(&settings, Roles { projector: true, ..Roles::NONE }).await,
        Command::Publisher(settings) => roles(&settings, Roles { publisher: true, ..Roles::NONE }).await,
        Command::Scheduler(settings) => roles(&settings, Roles { scheduler: true, ..Roles::NONE }).await,
        Command::Indexer(settings) => roles(&settings, Roles { indexer: true, ..Roles::NONE }).await,
        Command::All(settings) => roles(&settings, Roles::ALL).await,
        Command::Dev(args) => crate::admin::dev::run(args).await,
        Command::Admin(command) => admin(command).await,
        Command::Chat(args) => crate::chat::run(args).await,
        Command::Healthcheck { url } => healthcheck(&url).await,
    }
}

impl Settings {
    /// The configuration that these settings make, with the log started as it says.
    ///
    /// # Errors
    /// If the configuration is refused.
    pub fn load(&self) -> anyhow::Result<Config> {
        let config = Config::load(self.config.as_deref(), &self.set)?;
        start_log(&config)?;
        Ok(config)
    }
}

fn start_log(config: &Config) -> anyhow::Result<()> {
    // These say with every retry what we say once, where it is handled.
    let mut filter = config.log.filter()?;
    // And this one writes whole frames, which are what people say and their tokens: no level may show them.
    for quiet in ["rdkafka=off", "librdkafka=off", "sqlx_core::pool=off", "tungstenite=off"] {
        filter = filter.add_directive(quiet.parse()?);
    }
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.log.format {
        Format::Text => builder.init(),
        Format::Json => builder.json().init(),
    }
    Ok(())
}

async fn roles(settings: &Settings, roles: Roles) -> anyhow::Result<()> {
    let stop = stop();
    let config = settings.load()?;
    let listener = listener::bind(config.gateway.listen).await?;
    let Some(installation) = stop.begin.run_until_cancelled(Installation::await_open(config)).await else {
        return Ok(());
    };
    let installation = installation?;
    assemble::run(installation, roles, listener, assemble::metrics()?, Arc::default(), stop).await
}

/// Cancelled when somebody wants this process to end in order: Ctrl-C, SIGTERM, or a terminal that is closed. Heard from the first call on.
pub fn interrupted() -> CancellationToken {
    stop().begin
}

/// The same, and what follows when somebody wants it a second time.
pub fn stop() -> Stop {
    use tokio::signal::unix::{SignalKind, signal};
    static STOP: OnceLock<Stop> = OnceLock::new();
    let listen = || {
        let stop = Stop::default();
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            match signal(kind) {
                Ok(mut signals) => {
                    let stop = stop.clone();
                    tokio::spawn(async move {
                        while signals.recv().await.is_some() {
                            again(&stop);
                        }
                    });
                }
                Err(error) => tracing::warn!(%error, ?kind, "cannot hear a signal"),
            }
        }
        stop
    };
    STOP.get_or_init(listen).clone()
}

/// Somebody wants this process to end.
fn again(stop: &Stop) {
    if stop.begin.is_cancelled() {
        tracing::info!("stopping without waiting for load balancers, and closing all sockets at once");
        stop.hurry.cancel();
    } else {
        tracing::info!("stopping");
        stop.begin.cancel();
    }
}

async fn admin(command: AdminCommand) -> anyhow::Result<()> {
    match command {
        AdminCommand::Setup(settings) => Installation::open(settings.load()?).await?.setup().await,
        AdminCommand::CreateTenant { name, settings } => {
            let installation = Installation::open(settings.load()?).await?;
            let key = crate::admin::tenants::create(&installation.store, &name, std::env::var("TIDINGS_API_KEY").ok())
                .await?;
            println!("{key}");
            Ok(())
        }
        AdminCommand::Rebuild { name, settings } => {
            crate::admin::rebuild::run(Installation::open(settings.load()?).await?, &name).await
        }
        AdminCommand::Backup { to, full, every, settings } => {
            let stop = interrupted();
            let config = settings.load()?;
            let every = every.map(|text| interval(&text, config.backup.interval)).transpose()?;
            let Some(installation) = stop.run_until_cancelled(Installation::open(config)).await else { return Ok(()) };
            backup::backup(installation?, backup::Backup { to, full, every }, stop).await
        }
        AdminCommand::Backups { from, settings } => backup::list(&settings.load()?, from.as_deref()).await,
        AdminCommand::Restore { from, keys_from, at, check, tenants, settings } => {
            let (config, from) = (settings.load()?, backup::From { place: from, keys: keys_from, at });
            match (check, tenants) {
                (true, _) => backup::check(&config, &from).await,
                (_, true) => backup::restore_tenants(config, &from).await,
                _ => backup::restore(config, &from).await,
            }
        }
        AdminCommand::RotateMasterKey { check, settings } => {
            crate::admin::rotate::run(Installation::open(settings.load()?).await?, check).await
        }
        AdminCommand::Audit(settings) => crate::admin::audit::run(Installation::open(settings.load()?).await?).await,
        AdminCommand::DeadLetters(settings) => {
            let config = settings.load()?;
            crate::admin::dead_letters::list(&config.kafka.client(), assemble::codec(&config).await?).await
        }
        AdminCommand::Config => {
            print!("{}", crate::config::DEFAULTS);
            Ok(())
        }
    }
}

/// `2h` or `90s`; empty: the one that is configured.
fn interval(text: &str, configured: Duration) -> anyhow::Result<Duration> {
    if text.is_empty() {
        return Ok(configured);
    }
    let every =
        humantime::parse_duration(text).with_context(|| format!("--every {text}: allowed are times such as 2h"))?;
    anyhow::ensure!(every >= Duration::from_secs(1), "--every {text}: allowed is 1s and longer");
    Ok(every)
}

async fn healthcheck(url: &str) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
    let response = client.get(url).send().await?;
    anyhow::ensure!(response.status().is_success(), "{url} answers {}", response.status());
    Ok(())
}
