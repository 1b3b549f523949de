//! What the one who waits for the parts gets to see.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Hears how the start and the stop go on. `part` is a short name such as `Kafka`.
pub trait Progress: Send + Sync {
    /// The part is now doing this.
    fn doing(&self, part: &'static str, what: &str);
    /// The part is done with what it was doing, and this is how it stands.
    fn done(&self, part: &'static str, how: &str);
}

/// Says nothing: for tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn doing(&self, _part: &'static str, _what: &str) {}
    fn done(&self, _part: &'static str, _how: &str) {}
}

/// Writes to standard error: a line that moves for each part on a terminal, plain lines elsewhere.
pub struct Printer {
    terminal: Option<MultiProgress>,
    parts: Mutex<Vec<Row>>,
}

struct Row {
    part: &'static str,
    since: Instant,
    /// The last plain line, so that a download of many files is not a page of them.
    said: Option<Instant>,
    bar: Option<ProgressBar>,
}

/// Plain lines about one part come no more often than this.
const PLAIN_EVERY: Duration = Duration::from_secs(2);

impl Printer {
    /// A printer that suits standard error as it is now.
    #[must_use]
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self { terminal, parts: Mutex::new(Vec::new()) }
    }

    fn with_row<T>(&self, part: &'static str, act: impl FnOnce(&mut Row) -> T) -> T {
        let mut parts = self.parts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let index = parts.iter().position(|row| row.part == part).unwrap_or_else(|| {
            let bar = self.terminal.as_ref().map(|terminal| {
                let bar = terminal.add(ProgressBar::new_spinner().with_prefix(part));
                bar.set_style(spinner_style());
                bar.enable_steady_tick(Duration::from_millis(100));
                bar
            });
            parts.push(Row { part, since: Instant::now(), said: None, bar });
            parts.len() - 1
        });
        act(&mut parts[index])
    }
}

impl Default for Printer {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for Printer {
    fn doing(&self, part: &'static str, what: &str) {
        self.with_row(part, |row| match &row.bar {
            Some(bar) => bar.set_message(what.to_owned()),
            None if row.said.is_some_and(|said| said.elapsed() < PLAIN_EVERY) => {}
            None => {
                row.said = Some(Instant::now());
                eprintln!("{part}: {what}");
            }
        });
    }

    fn done(&self, part: &'static str, how: &str) {
        self.with_row(part, |row| {
            let line = format!("{how} ({:.1} s)", row.since.elapsed().as_secs_f64());
            match &row.bar {
                Some(bar) => {
                    bar.set_style(done_style());
                    bar.finish_with_message(line);
                }
                None => eprintln!("{part}: {line}"),
            }
        });
        // The next thing that this part does is a line of its own.
        let mut parts = self.parts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        parts.retain(|row| row.part != part);
    }
}

fn spinner_style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix:<9} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn done_style() -> ProgressStyle {
    ProgressStyle::with_template("✓ {prefix:<9} {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}
