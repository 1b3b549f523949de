//! Child processes that cannot outlive this one.
//!
//! Each child asks the kernel to be killed when its parent dies (`setpriv --pdeathsig`), which holds even when this process gets
//! `kill -9`. The kernel means the parent *thread*, so all children are started by one thread that lives as long as the process.
//! Each child is the leader of its own process group: a Ctrl-C in the terminal reaches this process only, which then stops the
//! children in order.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, mpsc as std_mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child as Process, Command};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use super::error::{ChildExit, DevError, LogEnd, log_end};
use super::tools::User;

/// Between asking the kernel for a death signal and `exec` the parent could die unseen; then the child has another parent, and
/// must not start.
const EXEC_UNLESS_ORPHANED: &str = r#"[ "$PPID" = "$0" ] || exit 1; exec "$@""#;

/// What to run and how.
pub(crate) struct ChildSpec {
    /// The name that errors and logs use.
    pub name: &'static str,
    pub setpriv: PathBuf,
    pub program: PathBuf,
    pub args: Vec<OsString>,
    pub envs: Vec<(&'static str, OsString)>,
    /// The user to run as; `None` stays as we are.
    pub user: Option<User>,
    /// Standard output and standard error, appended.
    pub log: PathBuf,
    /// The signal the kernel sends when this process dies: `KILL`, or a kinder one for a program that obeys it at once.
    pub death_signal: &'static str,
}

impl ChildSpec {
    fn command(&self) -> Result<Command, DevError> {
        let open_log = || OpenOptions::new().create(true).append(true).open(&self.log);
        let output = open_log().map_err(DevError::io("open", &self.log))?;
        let errors = output.try_clone().map_err(DevError::io("open", &self.log))?;
        let mut command = Command::new(&self.setpriv);
        command.arg("--pdeathsig").arg(self.death_signal);
        if let Some(user) = &self.user {
            command.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid)).arg("--clear-groups");
        }
        command.args(["--", "/bin/sh", "-c", EXEC_UNLESS_ORPHANED]).arg(std::process::id().to_string());
        command.arg(&self.program).args(&self.args).envs(self.envs.iter().map(|(name, value)| (name, value)));
        // The directory we are in may be closed to the child's user, and must not be kept busy.
        command.current_dir("/").stdin(Stdio::null()).stdout(output).stderr(errors);
        command.process_group(0).kill_on_drop(true);
        Ok(command)
    }
}

type Start = Box<dyn FnOnce() + Send>;

/// Starts the command on the thread that lives as long as this process.
async fn spawn_on_lasting_thread(mut command: Command) -> io::Result<Process> {
    static STARTER: OnceLock<Mutex<std_mpsc::Sender<Start>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, starts) = std_mpsc::channel::<Start>();
        // Should the thread not start, its receiver is dropped, and every send below fails.
        let _ = std::thread::Builder::new().name("children".to_owned()).spawn(move || {
            for start in starts {
                start();
            }
        });
        Mutex::new(sender)
    });
    let (reply, started) = oneshot::channel();
    let runtime = Handle::current();
    let start: Start = Box::new(move || {
        let _entered = runtime.enter();
        // If nobody waits any more, the child is dropped and thereby killed.
        let _ = reply.send(command.spawn());
    });
    let sent = starter.lock().unwrap_or_else(std::sync::PoisonError::into_inner).send(start);
    sent.map_err(|_| io::Error::other("the thread that starts processes is gone"))?;
    started.await.map_err(|_| io::Error::other("the thread that starts processes is gone"))?
}

/// A running program. Dropping it kills the program.
pub(crate) struct Child {
    name: &'static str,
    pid: u32,
    log: PathBuf,
    signals: mpsc::UnboundedSender<Signal>,
    /// `Some` once the program has ended.
    exit: watch::Receiver<Option<ChildExit>>,
}

impl Child {
    pub(crate) async fn spawn(spec: &ChildSpec) -> Result<Self, DevError> {
        let command = spec.command()?;
        let mut process = spawn_on_lasting_thread(command).await.map_err(DevError::io("start", &spec.program))?;
        let pid = process.id().unwrap_or_default();
        let (signals, mut wanted) = mpsc::unbounded_channel();
        let (ended, exit) = watch::channel(None);
        let (name, log) = (spec.name, spec.log.clone());
        tokio::spawn(async move {
            let status = wait_and_signal(&mut process, pid, &mut wanted).await;
            let said = log_end(&log);
            ended.send_replace(Some(ChildExit { name, status, log, said }));
        });
        Ok(Self { name: spec.name, pid, log: spec.log.clone(), signals, exit })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// How the program ended, if it has.
    pub(crate) fn ended(&self) -> Option<ChildExit> {
        self.exit.borrow().clone()
    }

    /// Resolves when the program has ended. What it resolves with does not borrow the child.
    pub(crate) fn wait(&self) -> impl Future<Output = ChildExit> + Send + 'static {
        let mut exit = self.exit.clone();
        let unknown = ChildExit { name: self.name, status: None, log: self.log.clone(), said: LogEnd::default() };
        async move {
            // The sender goes without a word only when the runtime is being shut down.
            let ended = exit.wait_for(Option::is_some).await.map(|exit| exit.clone());
            ended.ok().flatten().unwrap_or(unknown)
        }
    }

    /// Sends a signal; nothing happens if the program has ended already.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = self.signals.send(signal);
    }

    /// Asks the program to end, and makes it end when the deadline has passed. True if it ended on its own.
    pub(crate) async fn stop(&self, ask: Signal, deadline: Duration) -> bool {
        self.signal(ask);
        if tokio::time::timeout(deadline, self.wait()).await.is_ok() {
            return true;
        }
        tracing::warn!(
            part = self.name,
            pid = self.pid,
            deadline_s = deadline.as_secs(),
            "did not stop in time, killed"
        );
        self.signal(Signal::KILL);
        self.wait().await;
        false
    }
}

/// One task both sends signals and reaps, so a signal never reaches a stranger with a reused pid.
async fn wait_and_signal(
    process: &mut Process,
    pid: u32,
    wanted: &mut mpsc::UnboundedReceiver<Signal>,
) -> Option<ExitStatus> {
    let target = i32::try_from(pid).ok().and_then(Pid::from_raw);
    loop {
        let signal = tokio::select! {
            status = process.wait() => return status.ok(),
            signal = wanted.recv() => signal,
        };
        match (signal, target) {
            (Some(signal), Some(target)) => {
                if let Err(error) = kill_process(target, signal) {
                    tracing::warn!(pid, %error, "cannot signal a child process");
                }
            }
            // The owner is gone: so must the program be.
            _ => {
                let _ = process.start_kill();
                return process.wait().await.ok();
            }
        }
    }
}

/// Runs a program to its end; an exit status other than 0 is an error with its last lines.
pub(crate) async fn run(spec: &ChildSpec) -> Result<(), DevError> {
    let child = Child::spawn(spec).await?;
    let exit = child.wait().await;
    match exit.status {
        Some(status) if status.success() => Ok(()),
        _ => Err(DevError::Died(exit)),
    }
}

/// Makes room for a new log, keeping the one before as `….old`.
pub(crate) fn turn_log(log: &Path) -> Result<(), DevError> {
    if log.exists() {
        let mut old = log.as_os_str().to_owned();
        old.push(".old");
        std::fs::rename(log, &old).map_err(DevError::io("rename", log))?;
    }
    File::create(log).map(drop).map_err(DevError::io("create", log))
}

pub(crate) fn args<const N: usize>(list: [&str; N]) -> Vec<OsString> {
    list.map(OsString::from).into()
}
