//! One kind of schedule from beginning to end: actors act, faults happen, all becomes quiet, the checker looks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::actor::Actor;
use crate::check::{Violation, check};
use crate::ending::{PATIENCE, ending};
use crate::history::{At, History};
use crate::nemesis::{self, Fault, Kind};
use crate::stage::{Phase, Stage};
use crate::world::World;

const POLL: Duration = Duration::from_millis(20);
/// A recovery worth a line.
const SLOW_MS: At = 5_000;

/// What the environment asks for.
#[derive(Clone, Debug)]
pub struct Settings {
    pub seed: u64,
    pub clients: usize,
    /// Faults of one kind go on for at least so long.
    pub load: Duration,
    pub kinds: Vec<Kind>,
}

impl Settings {
    pub fn read() -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
        };
        let kinds = std::env::var("TIDINGS_CHECK_KINDS").unwrap_or_default();
        let wanted = |kind: &Kind| kinds.is_empty() || kinds.split(',').any(|name| name == kind.name());
        Self {
            // What every change must pass is the same for every change.
            seed: match number("TIDINGS_CHECK_SEED").unwrap_or(1) {
                0 => rand::random::<u32>().into(),
                seed => seed,
            },
            clients: usize::try_from(number("TIDINGS_CHECK_CLIENTS").unwrap_or(50)).expect("fits").max(4),
            load: Duration::from_secs(number("TIDINGS_CHECK_SECONDS").unwrap_or(0)),
            kinds: Kind::ALL.into_iter().filter(wanted).collect(),
        }
    }

    /// How to run the same again.
    pub fn line(&self) -> String {
        let kinds: Vec<_> = self.kinds.iter().map(|kind| kind.name()).collect();
        format!(
            "TIDINGS_CHECK_SEED={} TIDINGS_CHECK_CLIENTS={} TIDINGS_CHECK_SECONDS={} TIDINGS_CHECK_KINDS={} \
             cargo test --test checker faults_do -- --nocapture",
            self.seed,
            self.clients,
            self.load.as_secs(),
            kinds.join(",")
        )
    }
}

/// How a kind went.
pub struct Report {
    pub kind: Kind,
    /// By fault: how long until all flowed again, in milliseconds.
    recoveries: BTreeMap<String, Vec<At>>,
    commands: usize,
    accepted: usize,
    pushes: usize,
    /// From being asked for to another's socket, in milliseconds, sorted.
    delays: Vec<At>,
    pub violations: Vec<Violation>,
    pub took: Duration,
}

/// Runs one kind in `world`, with people and conversations of its own.
/// At its end every view is compared with one that is built anew, if `rebuild`.
pub async fn run(world: &mut World, settings: &Settings, kind: Kind, rebuild: bool) -> Report {
    let began = Instant::now();
    let (phase, phases) = watch::channel(Phase::Act);
    let accounts = world.stack.accounts(kind.name(), settings.clients).await;
    // Who does not have to be a member to be heard.
    world.stack.moderates(&accounts[0], true).await;
    let stranger = world.stack.account("stranger").await;
    let stage = Arc::new(Stage::new(world.gateways(), accounts, phases));
    let seed = settings.seed ^ ((kind as u64) << 48);
    let actors: Vec<_> =
        (0..settings.clients).map(|n| tokio::spawn(Actor::new(n, stage.clone(), seed).run())).collect();
    let mut history = History::default();
    let mut recoveries: BTreeMap<String, Vec<At>> = BTreeMap::new();
    flows(world, &stage, 0, "the beginning", &mut history).await;

    let due = began.elapsed() + settings.load;
    let mut done = 0;
    while done == 0 || began.elapsed() < due {
        // Longer runs go on with the schedule, which begins the same.
        let steps = nemesis::schedule(kind, settings.seed, done + 1);
        for faults in &steps[done..] {
            eprintln!("{:>7} ms {}: {faults:?}", stage.now(), kind.name());
            let took = step(world, &stage, faults, &mut history).await;
            let names: Vec<_> = faults.iter().map(|fault| fault.name()).collect();
            recoveries.entry(names.join(" + ")).or_default().extend(took);
        }
        done = steps.len();
    }
    settle(world, &stage, &phase, &mut history).await;
    history.ending = ending(&world.stack, &stage, &stranger, rebuild).await;
    phase.send_replace(Phase::End);
    for actor in actors {
        actor.await.expect("an actor plays to its end");
    }
    for shown in &stage.shown {
        history.add(std::mem::take(&mut shown.record().history));
    }
    let accepted = history.commands.iter().filter(|command| command.accepted().next().is_some()).count();
    let (commands, pushes) = (history.commands.len(), history.pushes.len());
    let violations = check(&history);
    let delays = stage.delays();
    Report { kind, recoveries, commands, accepted, pushes, delays, violations, took: began.elapsed() }
}

/// Faults at once, until all are over and everything flows; how long that took, or none if it never did.
async fn step(world: &mut World, stage: &Stage, faults: &[Fault], history: &mut History) -> Option<At> {
    let mut since = stage.now();
    for fault in faults {
        nemesis::begin(world, *fault).await;
    }
    let mut took = None;
    let mut waiting: Vec<Fault> = faults.to_vec();
    // A takeover may come before the end of what made it needed.
    waiting.sort_by_key(|fault| nemesis::lasts(*fault));
    let began = Instant::now();
    for fault in waiting {
        while began.elapsed() < nemesis::lasts(fault) {
            world.tend();
            if took.is_none() && !faults.iter().any(|fault| fault.stops_all()) && stage.stuck(since).is_empty() {
                took = Some(stage.now() - since);
            }
            sleep(POLL).await;
        }
        nemesis::end(world, fault).await;
        if fault.stops_all() {
            since = stage.now();
        }
    }
    let name = format!("{faults:?}");
    let recovered = flows(world, stage, since, &name, history).await;
    let took = took.or(recovered);
    // What was frozen or cut off is back now, and must do no harm.
    flows(world, stage, stage.now(), &name, history).await;
    took
}

/// Waits until everything flows that was asked for after `since`.
async fn flows(world: &mut World, stage: &Stage, since: At, after: &str, history: &mut History) -> Option<At> {
    let deadline = Instant::now() + PATIENCE;
    let mut last = Vec::new();
    loop {
        world.tend();
        let stuck = stage.stuck(since);
        if stuck.is_empty() {
            if !last.is_empty() && stage.now() - since > SLOW_MS {
                eprintln!("{:>7} ms: the last to go on were {}", stage.now(), last.join(", "));
            }
            return Some(stage.now() - since);
        }
        if Instant::now() > deadline {
            history.stuck.push(format!(
                "{} s after {after}, still nothing from {}",
                PATIENCE.as_secs(),
                stuck.join(", ")
            ));
            return None;
        }
        last = stuck;
        sleep(POLL).await;
    }
}

/// Waits until everybody has its answers and all that it knows to be missing.
async fn settle(world: &mut World, stage: &Stage, phase: &watch::Sender<Phase>, history: &mut History) {
    phase.send_replace(Phase::Settle);
    let deadline = Instant::now() + PATIENCE;
    loop {
        world.tend();
        let busy = stage.busy();
        if busy.is_empty() {
            return;
        }
        if Instant::now() > deadline {
            let text = format!("{} s after the last wish: {}", PATIENCE.as_secs(), busy.join(", "));
            history.stuck.push(text);
            return;
        }
        sleep(POLL).await;
    }
}

/// The table of all reports.
pub fn table(reports: &[Report]) -> String {
    let mut text = format!(
        "\n{:<9} {:<44} {:>5} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10}\n",
        "kind", "fault", "count", "p50 ms", "max ms", "commands", "accepted", "pushes", "violations"
    );
    for report in reports {
        let Report { kind, recoveries, commands, accepted, pushes, delays, violations, took } = report;
        for (fault, times) in recoveries {
            let mut times = times.clone();
            times.sort_unstable();
            let shown = |time: Option<&At>| time.map_or("never".to_owned(), ToString::to_string);
            let (middle, most) = (shown(times.get(times.len() / 2)), shown(times.last()));
            let _ = writeln!(text, "{:<9} {fault:<44} {:>5} {middle:>9} {most:>9}", kind.name(), times.len());
        }
        let of = |per_mille: usize| delays.get(delays.len() * per_mille / 1_000).copied().unwrap_or(0);
        let (p50, p99, p999) = (of(500), of(990), of(999));
        let delivered = format!("= delivered, p50 {p50}, p99 {p99}, p99.9 {p999} ms");
        let _ = writeln!(text, "{:<9} {delivered}", kind.name());
        let all = format!("= all, in {} s", took.as_secs());
        let _ = writeln!(
            text,
            "{:<9} {all:<44} {:>25} {commands:>9} {accepted:>9} {pushes:>9} {:>10}",
            kind.name(),
            "",
            violations.len()
        );
    }
    text
}
