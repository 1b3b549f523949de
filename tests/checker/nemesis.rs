//! What goes wrong, and when: schedules made from a seed, and how each fault is done.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use tokio::process::Command;
use tokio::time::sleep;

use crate::proxy::{Proxy, Weather};
use crate::world::{DEAD_AFTER, ROLES, World};

/// Of Kafka, where there are several.
const NODES: usize = 3;
/// A node of Kafka is given up after `broker.session.timeout.ms`, 2 s.
const NODE_DEAD_AFTER: Duration = Duration::from_millis(4_000);

/// A kind of schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Kill,
    Freeze,
    Kafka,
    Postgres,
    Network,
    Rolling,
    Disk,
    Combined,
    /// Of Postgres: a standby takes over.
    Failover,
    /// Three nodes of Kafka, and one of them.
    Brokers,
}

impl Kind {
    pub const ALL: [Self; 10] = [
        Self::Kill,
        Self::Freeze,
        Self::Kafka,
        Self::Postgres,
        Self::Network,
        Self::Rolling,
        Self::Disk,
        Self::Combined,
        Self::Failover,
        Self::Brokers,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Kafka => "kafka",
            Self::Postgres => "postgres",
            Self::Network => "network",
            Self::Rolling => "rolling",
            Self::Disk => "disk",
            Self::Combined => "combined",
            Self::Failover => "failover",
            Self::Brokers => "brokers",
        }
    }

    /// How many nodes of Kafka it is played with.
    pub fn nodes(self) -> usize {
        if self == Self::Brokers { NODES } else { 1 }
    }
}

/// Between a process and something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Kafka,
    Postgres,
    Clients,
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of a process, which is started again at once.
    Kill(usize),
    /// SIGSTOP, and SIGCONT when it has long been given up.
    Freeze(usize),
    /// SIGTERM, and a new one.
    Restart(usize),
    KillKafka,
    KillPostgres,
    /// Nothing comes through, for longer than it takes to be given up.
    Cut(usize, Way),
    Slow(usize, Way),
    Reset(usize, Way),
    /// No write of Kafka succeeds any more, as on a full disk, until it gives up; then there is room again.
    FullDisk,
    /// `kill -9` of a node of Kafka, one of several, which comes back when others lead what it led.
    KillNode(usize),
    /// SIGSTOP of a node of Kafka, and SIGCONT when others lead what it led.
    FreezeNode(usize),
    /// SIGTERM of a node of Kafka, which hands over what it leads, and a new one, which gets it back.
    RestartNode(usize),
    /// `kill -9` of Postgres; its standby is promoted without what had not reached it yet.
    FailOver,
    /// `kill -9` of Postgres, for a minute.
    LongPostgres,
}

impl Fault {
    /// What the table calls it.
    pub fn name(self) -> String {
        let role = |process: usize| ROLES[process / 2];
        let way = |process: usize, way: Way| format!("{}-{}", role(process), format!("{way:?}").to_lowercase());
        match self {
            Self::Kill(process) => format!("kill -9 {}", role(process)),
            Self::Freeze(process) => format!("freeze {}", role(process)),
            Self::Restart(process) => format!("restart {}", role(process)),
            Self::KillKafka => "kill -9 Kafka".into(),
            Self::KillPostgres => "kill -9 Postgres".into(),
            Self::Cut(process, to) => format!("cut {}", way(process, to)),
            Self::Slow(process, to) => format!("slow {}", way(process, to)),
            Self::Reset(process, to) => format!("reset {}", way(process, to)),
            Self::FullDisk => "full disk of Kafka".into(),
            Self::KillNode(_) => "kill -9 one of three Kafka nodes".into(),
            Self::FreezeNode(_) => "freeze one of three Kafka nodes".into(),
            Self::RestartNode(_) => "restart one of three Kafka nodes".into(),
            Self::FailOver => "Postgres fails over".into(),
            Self::LongPostgres => "Postgres away for a minute".into(),
        }
    }

    /// Whether nothing can flow before it is over, so that the time to recover begins with its end.
    pub fn stops_all(self) -> bool {
        matches!(self, Self::KillKafka | Self::FullDisk | Self::LongPostgres)
    }
}

/// Faults one after another; those of one step at once. Each of a kind's own comes at least once; further steps are for longer runs.
pub fn schedule(kind: Kind, seed: u64, steps: usize) -> Vec<Vec<Fault>> {
    let mut rng = StdRng::seed_from_u64(seed ^ (kind as u64) << 32);
    let mut all = Vec::new();
    let mut rounds = 0;
    while all.len() < steps {
        all.extend(round(kind, rounds, &mut rng));
        rounds += 1;
    }
    all
}

/// What takes a minute has no place in the first of a kind's rounds, which every change must pass.
fn round(kind: Kind, number: usize, rng: &mut StdRng) -> Vec<Vec<Fault>> {
    let one_of_each = |rng: &mut StdRng| (0..ROLES.len()).map(|role| role * 2 + rng.random_range(0..2)).collect();
    let mut roles: Vec<usize> = one_of_each(rng);
    roles.shuffle(rng);
    let each = |fault: fn(usize) -> Fault| roles.iter().map(|process| vec![fault(*process)]).collect();
    match kind {
        Kind::Kill => each(Fault::Kill),
        Kind::Freeze => each(Fault::Freeze),
        Kind::Rolling => (0..ROLES.len() * 2).map(|process| vec![Fault::Restart(process)]).collect(),
        Kind::Kafka => vec![vec![Fault::KillKafka]; 2],
        Kind::Postgres => vec![vec![Fault::KillPostgres]; 2],
        Kind::Disk => vec![vec![Fault::FullDisk]],
        Kind::Network => (0..6).map(|n| vec![network(n % 3, rng)]).collect(),
        Kind::Combined => (0..3).map(|_| both(rng)).collect(),
        Kind::Failover if number % 8 == 1 => vec![vec![Fault::LongPostgres], vec![Fault::FailOver]],
        Kind::Failover => vec![vec![Fault::FailOver], vec![Fault::KillPostgres]],
        Kind::Brokers => {
            let mut nodes: Vec<usize> = (0..NODES).collect();
            nodes.shuffle(rng);
            let role = rng.random_range(0..ROLES.len() * 2);
            vec![
                vec![Fault::KillNode(nodes[0])],
                vec![Fault::FreezeNode(nodes[1])],
                vec![Fault::RestartNode(nodes[2])],
                vec![Fault::KillNode(nodes[1]), Fault::Kill(role)],
            ]
        }
    }
}

fn network(what: usize, rng: &mut StdRng) -> Fault {
    let process = rng.random_range(0..ROLES.len() * 2);
    let ways: &[Way] = match ROLES[process / 2] {
        "gateway" => &[Way::Kafka, Way::Postgres, Way::Clients],
        "publisher" => &[Way::Kafka],
        _ => &[Way::Kafka, Way::Postgres],
    };
    let way = *ways.choose(rng).expect("some");
    match what {
        0 => Fault::Cut(process, way),
        1 => Fault::Slow(process, way),
        _ => Fault::Reset(process, way),
    }
}

/// Two faults that can be at once: not of one process, and only one of them of a store.
fn both(rng: &mut StdRng) -> Vec<Fault> {
    let processes = rand::seq::index::sample(rng, ROLES.len() * 2, 2).into_vec();
    let what = rng.random_range(0..3);
    let first = match rng.random_range(0..4) {
        0 => Fault::KillKafka,
        1 => Fault::KillPostgres,
        2 => loop {
            if let fault @ (Fault::Cut(process, _) | Fault::Slow(process, _) | Fault::Reset(process, _)) =
                network(what, rng)
                && process != processes[0]
            {
                break fault;
            }
        },
        _ => Fault::Freeze(processes[1]),
    };
    vec![first, if rng.random() { Fault::Kill(processes[0]) } else { Fault::Freeze(processes[0]) }]
}

/// Begins a fault. What it takes to end it is done by [`end`].
pub async fn begin(world: &mut World, fault: Fault) {
    match fault {
        Fault::Kill(n) => {
            world.processes[n].role.kill().await;
            world.processes[n].role.revive();
        }
        Fault::Freeze(n) => world.processes[n].role.freeze().await,
        Fault::Restart(n) => {
            world.processes[n].down = true;
            let status = world.processes[n].role.terminate().await;
            if !status.success() {
                world.exits.push(format!("{} ended with {status} when asked to end", world.name(n)));
            }
            world.processes[n].role.revive();
            world.processes[n].down = false;
        }
        Fault::KillKafka => world.stack.parts.kill_kafka(0).await,
        Fault::KillPostgres | Fault::LongPostgres => world.kill_postgres().await,
        Fault::FailOver => world.lose_primary().await,
        Fault::KillNode(n) => world.stack.parts.kill_kafka(n).await,
        Fault::RestartNode(n) => {
            world.stack.parts.stop_kafka(n).await;
            world.stack.parts.start_kafka(n).await.expect("Kafka comes back");
        }
        Fault::FreezeNode(n) => signal(world, n, "-STOP").await,
        Fault::Cut(n, way) => proxy(world, n, way).set(Weather::Cut),
        Fault::Slow(n, way) => proxy(world, n, way).set(Weather::Slow(Duration::from_millis(200))),
        Fault::Reset(n, way) => proxy(world, n, way).reset(),
        Fault::FullDisk => {
            let pid = world.stack.parts.kafka_pid(0).expect("Kafka runs").to_string();
            let limited = Command::new("prlimit").args(["--pid", &pid, "--fsize=1:1"]).status().await;
            assert!(limited.expect("prlimit runs").success(), "the limit is set");
        }
    }
}

/// How long it stays so.
pub fn lasts(fault: Fault) -> Duration {
    match fault {
        Fault::Kill(_) | Fault::Restart(_) | Fault::Reset(..) | Fault::RestartNode(_) => Duration::ZERO,
        Fault::Freeze(_) | Fault::Cut(..) => DEAD_AFTER + Duration::from_millis(500),
        Fault::KillKafka | Fault::KillPostgres | Fault::Slow(..) => Duration::from_millis(1_500),
        Fault::FailOver => Duration::from_millis(1_500),
        Fault::KillNode(_) | Fault::FreezeNode(_) => NODE_DEAD_AFTER,
        Fault::LongPostgres => Duration::from_secs(60),
        Fault::FullDisk => Duration::ZERO,
    }
}

/// Ends a fault.
pub async fn end(world: &mut World, fault: Fault) {
    match fault {
        Fault::Kill(_) | Fault::Restart(_) | Fault::Reset(..) | Fault::RestartNode(_) => {}
        Fault::Freeze(n) => world.processes[n].role.thaw().await,
        Fault::KillKafka => world.stack.parts.start_kafka(0).await.expect("Kafka comes back"),
        Fault::KillPostgres | Fault::LongPostgres => world.start_postgres().await.expect("Postgres comes back"),
        Fault::FailOver => world.promote().await,
        Fault::KillNode(n) => world.stack.parts.start_kafka(n).await.expect("Kafka comes back"),
        Fault::FreezeNode(n) => signal(world, n, "-CONT").await,
        Fault::Cut(n, way) => {
            // What was on its way for so long was given up by both ends.
            proxy(world, n, way).set(Weather::Fair);
        }
        Fault::Slow(n, way) => proxy(world, n, way).set(Weather::Fair),
        Fault::FullDisk => {
            while world.stack.parts.kafka_pid(0).is_some() {
                sleep(Duration::from_millis(20)).await;
            }
            world.stack.parts.start_kafka(0).await.expect("Kafka comes back");
        }
    }
}

async fn signal(world: &World, node: usize, signal: &str) {
    let pid = world.stack.parts.kafka_pid(node).expect("Kafka runs").to_string();
    let status = Command::new("kill").args([signal, &pid]).status().await.expect("kill runs");
    assert!(status.success(), "kill {signal}");
}

fn proxy(world: &World, process: usize, way: Way) -> &Proxy {
    let process = &world.processes[process];
    match way {
        Way::Kafka => &process.kafka,
        Way::Postgres => &process.postgres,
        Way::Clients => &process.clients,
    }
}
