//! `tidings dev` as a newcomer has it: it starts, says what one needs, chats, stops, comes back, and leaves nothing behind.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

/// A running `tidings dev`.
struct Dev {
    child: Child,
    output: PathBuf,
}

impl Dev {
    fn start(data: &Path) -> Self {
        let output = data.with_extension("output");
        let file = std::fs::File::create(&output).expect("a file");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_tidings"), "dev", "--listen", "127.0.0.1:0"]);
        command.arg("--data").arg(data).env_remove("TIDINGS_API_KEY").stdin(Stdio::null());
        let child = command.stdout(file.try_clone().expect("a handle")).stderr(file).spawn().expect("starts");
        Self { child, output }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.output).expect("text")
    }

    /// Waits until it has said `text`.
    fn until(&mut self, text: &str) -> &mut Self {
        let began = Instant::now();
        while !self.said().contains(text) {
            assert!(self.child.try_wait().expect("a child").is_none(), "it ended: {}", self.said());
            assert!(began.elapsed() < PATIENCE, "no {text:?} in {}", self.said());
            std::thread::sleep(POLL);
        }
        self
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("it runs");
    }

    /// Kafka and Postgres.
    fn children(&self) -> Vec<u32> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let children =
            |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let all: Vec<_> = tasks.map(|task| children(task.expect("a task"))).collect();
        all.iter().flat_map(|pids| pids.split_whitespace()).map(|pid| pid.parse().expect("a pid")).collect()
    }

    /// Waits for its end, and for that of `children`.
    fn ended(mut self, children: &[u32]) -> (ExitStatus, String) {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end: {}", self.said());
            std::thread::sleep(POLL);
        };
        for child in children {
            while runs(*child) {
                assert!(began.elapsed() < PATIENCE, "process {child} is left");
                std::thread::sleep(POLL);
            }
        }
        (status, self.said())
    }

    /// Address, and the (user, token) of the two people.
    fn welcome(&self) -> (String, Vec<(String, String)>) {
        let said = self.said();
        let lines: Vec<_> = said.lines().map(str::trim).collect();
        let address = lines.iter().find_map(|line| line.strip_prefix("address")).expect("an address").trim().to_owned();
        let person = |(n, line): (usize, &&str)| {
            let user = line.split_whitespace().last().filter(|word| word.starts_with("usr_"))?;
            line.starts_with(['A', 'B']).then(|| (user.to_owned(), lines[n + 1].to_owned()))
        };
        (address, lines.iter().enumerate().filter_map(person).collect())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Its children end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the process is there, and no corpse.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Line mode: says `lines` and returns what it printed.
fn chat(address: &str, token: &str, with: &str, lines: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidings"))
        .args(["chat", "--server", address, "--with", with])
        .env("TIDINGS_TOKEN", token)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("takes lines");
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn it_starts_chats_stops_comes_back_and_leaves_nothing_behind() {
    // Postgres runs as another user than root.
    let directory =
        tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempdir().expect("a directory");
    let data = directory.path().join("my data");

    // In the middle of a start.
    let mut dev = Dev::start(&data);
    dev.until("making topics");
    let children = dev.children();
    dev.signal(Signal::INT);
    let (status, said) = dev.ended(&children);
    assert!(status.success() && !said.contains("is ready"), "{status}: {said}");

    let mut dev = Dev::start(&data);
    dev.until("Ctrl-C stops everything");
    let (address, people) = dev.welcome();
    let [(ada, adas), (bob, bobs)] = &people[..] else { panic!("{people:?}") };
    assert!(chat(&address, adas, bob, "Hello Bob\nHow are you?\n").contains("Hello Bob"));
    let children = dev.children();
    assert_eq!(children.len(), 2, "Kafka and Postgres");
    // As when its terminal is closed.
    dev.signal(Signal::HUP);
    let (status, said) = dev.ended(&children);
    assert!(status.success(), "{status}: {said}");

    let mut dev = Dev::start(&data);
    dev.until("Ctrl-C stops everything");
    let (address, again) = dev.welcome();
    assert_eq!((&again[0].0, &again[1].0), (ada, bob), "who was there is still there");
    // A token of before is as good as a new one.
    let seen = chat(&address, bobs, ada, "Fine, and you?\n");
    assert!(seen.contains("Ada: Hello Bob") && seen.contains("Ada: How are you?"), "{seen}");
    let children = dev.children();
    dev.signal(Signal::KILL);
    let (status, _) = dev.ended(&children);
    assert!(!status.success());

    let mut dev = Dev::start(&data);
    dev.until("Ctrl-C stops everything");
    let (address, again) = dev.welcome();
    let seen = chat(&address, &again[0].1, bob, "Me too\n");
    assert!(seen.contains("Bob: Fine, and you?"), "{seen}");
    let children = dev.children();
    let kafka = children
        .iter()
        .find(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "java"));
    let kafka = Pid::from_raw((*kafka.expect("Kafka")).try_into().expect("a pid")).expect("a pid");
    kill_process(kafka, Signal::KILL).expect("it runs");
    let (status, said) = dev.ended(&children);
    assert!(!status.success() && said.contains("error: Kafka ended"), "{status}: {said}");
}
