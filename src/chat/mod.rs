//! A chat in the terminal, and the same as lines of text for scripts. A client like any other: it knows the server
//! only through the wire contract.
//!
//! `model` is the state and says what to do (`effect`); `input` turns keys into what the user means; `view` draws;
//! `run` is the loop around them. `plain` is the line mode.

mod command;
mod conversation;
mod directory;
mod effect;
mod input;
mod model;
mod plain;
mod run;
mod said;
mod terminal;
mod text;
mod view;

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Context;
use tidings_client::{Config, Token};

use crate::chat::directory::Directory;

/// Chat in the terminal.
#[derive(Clone, clap::Args)]
pub struct Args {
    /// The server's address.
    #[arg(long, env = "TIDINGS_SERVER", default_value = "http://127.0.0.1:8080")]
    pub server: String,
    /// The access token; better given by the environment, where other users of the machine do not see it.
    #[arg(long, env = "TIDINGS_TOKEN", hide_env_values = true)]
    pub token: String,
    /// Open the direct conversation with this user (usr_…).
    #[arg(long, value_name = "USER", conflicts_with = "conversation")]
    pub with: Option<String>,
    /// Open this conversation (cnv_…).
    #[arg(long, value_name = "ID")]
    pub conversation: Option<String>,
    /// Trust the certificates in this PEM file too.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Line mode: earlier messages to print at the start (at most 200).
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub history: u32,
    /// Line mode: go on printing when the input has ended.
    #[arg(long)]
    pub stay: bool,
}

/// What to open first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    With(String),
    Conversation(String),
}

impl Args {
    fn opening(&self) -> Option<Opening> {
        let with = self.with.clone().map(Opening::With);
        with.or_else(|| self.conversation.clone().map(Opening::Conversation))
    }
}

/// Runs until the user leaves: on a terminal the full screen, else lines.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let mut config = Config::new(&args.server, Token::fixed(&args.token))?;
    let mut extra_roots = None;
    if let Some(file) = &args.ca_file {
        let pem = std::fs::read(file).with_context(|| format!("cannot read the certificates in {}", file.display()))?;
        config.endpoint = config.endpoint.with_roots_pem(&pem)?;
        extra_roots = Some(pem);
    }
    let directory = Directory::new(config.endpoint.clone(), &args.token, extra_roots.as_deref())?;
    if std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
        run::run(config, directory, args.opening()).await
    } else {
        plain::run(config, directory, &args).await
    }
}
