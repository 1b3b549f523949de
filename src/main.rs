//! The `tidings` program: an index of what it can do, see [`tidings::cli`].

use std::time::Duration;

use clap::Parser;
use tidings::cli::{self, Cli};

/// What blocks a thread (a Kafka client that waits for its broker) must not hold up the end.
const LINGER: Duration = Duration::from_secs(1);

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return std::process::ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(cli::run(cli));
    runtime.shutdown_timeout(LINGER);
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
