//! The command line: an index of what the binary can do.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// An event-sourced messaging backend on Kafka and Postgres.
#[derive(Debug, Parser)]
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
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Hold sockets: authenticate, append commands, push what happens
    Gateway(Settings),
    /// Decide commands and number what follows
    Sequencer(Settings),
    /// Keep the views in Postgres
    Projector(Settings),
    /// Copy what counts to the public streams
    Publisher(Settings),
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
    /// Where the gateway listens
    #[arg(long)]
    pub listen: Option<std::net::SocketAddr>,
    /// Where data is kept between starts
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Wipe the data first
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
    /// Rebuild a projection from the public streams beside the live one, and switch
    Rebuild {
        /// groups, inbox, messages, timeline, users or last_seen
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// List commands that could not be decoded, with reason and place
    DeadLetters(Settings),
    /// Print the defaults of every setting, documented
    Config,
}
