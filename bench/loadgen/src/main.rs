//! One load generator for messaging servers. See README.md.

mod client;
mod driver;
mod payload;
mod procfs;
mod stats;
mod workload;
mod ws;

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use tokio::task::LocalSet;

use procfs::Tree;

#[derive(Parser)]
#[command(about = "Load generator for messaging servers", version)]
struct Cli {
    /// Protocol: centrifugo, tinode, xmpp (ejabberd) or xmpp-prosody.
    #[arg(long)]
    driver: String,
    /// Server address; loopback only.
    #[arg(long)]
    addr: SocketAddr,
    /// Free text that goes into the report.
    #[arg(long, default_value = "")]
    label: String,
    /// Source addresses (127.0.0.2 and up) to spread connections over.
    #[arg(long, default_value_t = 4)]
    sources: u8,
    /// Folder for account credentials kept between runs.
    #[arg(long, default_value = ".")]
    state: PathBuf,
    /// NAME=PID of a process tree to account CPU and memory for; may be repeated. What lies in two trees counts for the inner one.
    #[arg(long)]
    cpu: Vec<Tree>,
    /// Appends the report as one JSON line.
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Subcommand)]
enum Workload {
    /// Only make sure the accounts exist.
    Provision {
        #[arg(long)]
        count: usize,
    },
    /// W1: direct messages between pairs.
    Pairs(workload::Pairs),
    /// W2: fan-out to a group.
    Group(workload::Group),
    /// W3: idle connections.
    Idle(workload::Idle),
}

fn main() -> Result<()> {
    let mut cli = Cli::parse();
    Tree::part(&mut cli.cpu);
    ensure!(cli.addr.ip().is_loopback(), "only loopback servers may be loaded");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, execute(cli))
}

async fn execute(cli: Cli) -> Result<()> {
    let settings = driver::Settings { addr: cli.addr, sources: cli.sources, state: cli.state };
    let driver = driver::by_name(&cli.driver, settings)?;
    // Tells this run's messages from those of earlier runs.
    let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as u32;
    let (name, mut report) = match &cli.workload {
        Workload::Provision { count } => {
            driver.provision(*count).await?;
            ("provision", serde_json::Map::new())
        }
        Workload::Pairs(args) => ("pairs", workload::pairs(driver, args, &cli.cpu, run).await?),
        Workload::Group(args) => ("group", workload::group(driver, args, &cli.cpu, run).await?),
        Workload::Idle(args) => ("idle", workload::idle(driver, args, &cli.cpu, run).await?),
    };
    report.insert("workload".into(), json!(name));
    report.insert("driver".into(), json!(cli.driver));
    report.insert("label".into(), json!(cli.label));
    report.insert("run".into(), json!(run));
    let report = Value::Object(report);
    println!("{}", serde_json::to_string_pretty(&report)?);
    if let Some(path) = cli.json {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        writeln!(file, "{report}")?;
    }
    Ok(())
}
