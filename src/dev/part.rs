//! What Kafka and Postgres have in common: being started, watched, stopped, and brought back.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::watch;

use super::Surroundings;
use super::child::{Child, turn_log};
use super::error::{ChildExit, DevError};

/// Between choosing a free port and using it another process may take it.
const PORT_TRIES: u32 = 3;
/// How long a start is tried again while what is left of a killed run gets out of the way.
const TRANSIENT_FOR: Duration = Duration::from_secs(10);

/// A program that is one of the parts.
pub(crate) trait Part: Send + Sync + 'static {
    const STOP_SIGNAL: Signal;
    /// After this long it is killed.
    const STOP_WITHIN: Duration;

    fn around(&self) -> &Arc<Surroundings>;
    fn name(&self) -> &'static str;
    /// Where it writes what it has to say.
    fn log(&self) -> PathBuf;
    fn choose_ports(&mut self) -> Result<(), DevError>;
    fn spawn(&self) -> impl Future<Output = Result<Child, DevError>> + Send;
    /// Resolves when it answers, or with why it does not.
    fn ready(&self, child: &Child) -> impl Future<Output = Result<(), DevError>> + Send;

    /// Whether what ended its start passes, or is out of the way now, so that another try may do better.
    fn recovers_from(&self, _exit: &ChildExit) -> bool {
        false
    }
    /// Called after each end that was asked for.
    fn stopped(&self, _cleanly: bool) {}
    fn stopping_text(&self) -> &'static str {
        "stopping"
    }
}

/// A part with its process, if it has one now.
pub(crate) struct Running<P> {
    part: P,
    now: Mutex<Option<Launched>>,
    /// Starts and stops come one after the other.
    turn: tokio::sync::Mutex<()>,
    deaths: watch::Sender<Option<ChildExit>>,
}

#[derive(Clone)]
struct Launched {
    child: Arc<Child>,
    /// Set before we end it ourselves, so that its end is no news.
    expected: Arc<AtomicBool>,
}

impl<P: Part> Running<P> {
    /// Starts the part; its unexpected end is told to `deaths`.
    pub(crate) async fn start(mut part: P, deaths: watch::Sender<Option<ChildExit>>) -> Result<Self, DevError> {
        let mut tries = 1;
        let child = loop {
            match launch(&part).await {
                Err(error) if error.is_port_taken() && tries < PORT_TRIES => part.choose_ports()?,
                result => break result?,
            }
            tries += 1;
        };
        let running = Self { part, now: Mutex::new(None), turn: tokio::sync::Mutex::new(()), deaths };
        running.watch(child);
        Ok(running)
    }

    pub(crate) fn part(&self) -> &P {
        &self.part
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        let launched = self.launched()?;
        launched.child.ended().is_none().then(|| launched.child.pid())
    }

    /// Starts it again on the same ports; nothing happens if it runs.
    pub(crate) async fn start_again(&self) -> Result<(), DevError> {
        let _turn = self.turn.lock().await;
        if self.pid().is_some() {
            return Ok(());
        }
        let child = launch(&self.part).await?;
        self.deaths.send_if_modified(|death| death.take_if(|death| death.name == self.part.name()).is_some());
        self.watch(child);
        Ok(())
    }

    /// Ends it in its own way, or by force after its deadline.
    pub(crate) async fn stop(&self) {
        let _turn = self.turn.lock().await;
        let Some(launched) = self.take() else { return };
        let progress = &self.part.around().progress;
        progress.doing(self.part.name(), self.part.stopping_text());
        let on_its_own = launched.child.stop(P::STOP_SIGNAL, P::STOP_WITHIN).await;
        self.part.stopped(on_its_own);
        progress.done(self.part.name(), if on_its_own { "stopped" } else { "killed, it did not stop in time" });
    }

    /// `kill -9`.
    pub(crate) async fn kill(&self) {
        let _turn = self.turn.lock().await;
        let Some(launched) = self.take() else { return };
        launched.child.signal(Signal::KILL);
        launched.child.wait().await;
        self.part.stopped(false);
    }

    fn watch(&self, child: Child) {
        let launched = Launched { child: Arc::new(child), expected: Arc::default() };
        let (end, expected, deaths) = (launched.child.wait(), launched.expected.clone(), self.deaths.clone());
        tokio::spawn(async move {
            let exit = end.await;
            if !expected.load(Ordering::Acquire) {
                // The first death is the news; others follow from it.
                deaths.send_if_modified(|death| death.is_none() && death.replace(exit).is_none());
            }
        });
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Some(launched);
    }

    fn launched(&self) -> Option<Launched> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take(&self) -> Option<Launched> {
        let launched = self.now.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        launched.expected.store(true, Ordering::Release);
        Some(launched)
    }
}

/// Starts the process and waits until it answers.
async fn launch<P: Part>(part: &P) -> Result<Child, DevError> {
    let around = part.around();
    around.data.await_leftover(part.name()).await?;
    let started = Instant::now();
    loop {
        around.progress.doing(part.name(), "starting");
        turn_log(&part.log())?;
        let child = part.spawn().await?;
        around.data.record_child(part.name(), child.pid())?;
        match part.ready(&child).await {
            Ok(()) => {
                around.progress.done(part.name(), "ready");
                return Ok(child);
            }
            Err(DevError::Died(exit)) if part.recovers_from(&exit) && started.elapsed() < TRANSIENT_FOR => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(error),
        }
    }
}
