//! The three workloads.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::sleep;

use crate::client::{Client, Everyone, Pace, Phase};
use crate::driver::{Connection, Driver};
use crate::procfs::{CpuSample, Tree};
use crate::stats::Stats;

/// Connections that may be in the making at once.
const CONNECTING: usize = 32;

#[derive(Args, Debug, Clone)]
pub struct Timing {
    /// Seconds before measuring.
    #[arg(long, default_value_t = 5)]
    warmup: u64,
    /// Seconds measured.
    #[arg(long, default_value_t = 20)]
    measure: u64,
    /// At most so many seconds of waiting for what is still under way.
    #[arg(long, default_value_t = 10)]
    drain: u64,
    /// Bytes of message text.
    #[arg(long, default_value_t = 100)]
    size: usize,
}

#[derive(Args, Debug, Clone)]
pub struct Pairs {
    #[arg(long, default_value_t = 200)]
    pairs: usize,
    /// Messages per second over all pairs; 0: each sender waits for its ack.
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    #[command(flatten)]
    timing: Timing,
    /// Writes every acknowledged message as `run sender seq`.
    #[arg(long)]
    acked_log: Option<PathBuf>,
    /// Sends SIGKILL to this process when the measured time ends.
    #[arg(long)]
    kill: Option<i32>,
}

#[derive(Args, Debug, Clone)]
pub struct Group {
    #[arg(long, default_value_t = 100)]
    members: usize,
    /// How many of the members send.
    #[arg(long, default_value_t = 1)]
    senders: usize,
    /// Messages per second over all senders; 0: each waits until everyone has its message.
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    #[command(flatten)]
    timing: Timing,
}

#[derive(Args, Debug, Clone)]
pub struct Idle {
    #[arg(long, default_value_t = 5000)]
    count: usize,
    /// Connections in the making at once.
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// Seconds to hold them before memory is read.
    #[arg(long, default_value_t = 10)]
    hold: u64,
}

/// A run's clients and the switch that moves them from phase to phase.
struct Crew {
    stats: Rc<Stats>,
    phase: watch::Sender<Phase>,
    tasks: Vec<JoinHandle<()>>,
}

impl Crew {
    fn new(run: u32, keep_acks: bool) -> Crew {
        let (phase, _) = watch::channel(Phase::SetUp);
        Crew { stats: Rc::new(Stats::new(run, keep_acks)), phase, tasks: Vec::new() }
    }

    fn add(&mut self, client: Client) {
        self.tasks.push(spawn_local(client.run(self.phase.subscribe())));
    }

    /// Warm-up, measured span, drain. `copies`: deliveries per message.
    async fn perform(
        self,
        timing: &Timing,
        copies: u64,
        trees: &[Tree],
        kill: Option<i32>,
    ) -> Result<(Map<String, Value>, Rc<Stats>)> {
        let stats = self.stats.clone();
        self.phase.send_replace(Phase::Run);
        sleep(Duration::from_secs(timing.warmup)).await;
        let start = CpuSample::take(trees);
        stats.open_window();
        sleep(Duration::from_secs(timing.measure)).await;
        stats.close_window();
        let cpu = CpuSample::take(trees).since(&start);
        if let Some(pid) = kill {
            let pid = rustix::process::Pid::from_raw(pid).context("not a process id")?;
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).context("cannot kill")?;
        }
        self.phase.send_replace(Phase::Drain);
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(timing.drain)
            && stats.total_delivered.get() < stats.total_sent.get() * copies
            && stats.disconnected.get() < self.tasks.len() as u64
        {
            sleep(Duration::from_millis(50)).await;
        }
        let mut report = stats.report(copies, &cpu);
        report.insert("drain_s".into(), json!(asked.elapsed().as_millis() as f64 / 1000.0));
        self.phase.send_replace(Phase::Done);
        for task in self.tasks {
            task.await?;
        }
        Ok((report, stats))
    }
}

fn every(rate: f64, senders: usize, index: usize) -> Pace {
    let interval = Duration::from_secs_f64(senders as f64 / rate);
    // Spread the senders evenly over one interval.
    Pace::Every { interval, offset: interval.mul_f64(index as f64 / senders as f64) }
}

/// W1: direct messages in one direction between pairs of accounts.
pub async fn pairs(driver: Rc<dyn Driver>, args: &Pairs, trees: &[Tree], run: u32) -> Result<Map<String, Value>> {
    driver.provision(args.pairs * 2).await?;
    let mut crew = Crew::new(run, args.acked_log.is_some());
    let driver = &driver;
    let mut ready = stream::iter((0..args.pairs).map(|i| async move {
        let (from, to) = (2 * i, 2 * i + 1);
        let mut sender = driver.connect(from).await?;
        let mut receiver = driver.connect(to).await?;
        let target = driver.direct(&mut sender, to).await?;
        driver.direct(&mut receiver, from).await?;
        anyhow::Ok((i, sender, target, receiver))
    }))
    .buffer_unordered(CONNECTING);
    while let Some((i, sender, target, receiver)) = ready.try_next().await? {
        let pace = if args.rate > 0.0 { every(args.rate, args.pairs, i) } else { Pace::AfterAck };
        let stats = crew.stats.clone();
        let client = |id: usize, conn: Connection| Client {
            id: id as u32,
            conn,
            target: None,
            pace: Pace::Never,
            everyone: None,
            size: args.timing.size,
            stats: stats.clone(),
        };
        crew.add(Client { target: Some(target), pace, ..client(2 * i, sender) });
        crew.add(client(2 * i + 1, receiver));
    }
    drop(ready);
    sleep(Duration::from_secs(1)).await;
    let (mut report, stats) = crew.perform(&args.timing, 1, trees, args.kill).await?;
    if let Some(file) = &args.acked_log {
        std::fs::write(file, stats.acked_lines())?;
    }
    report.insert("pairs".into(), json!(args.pairs));
    report.insert("rate".into(), json!(args.rate));
    Ok(report)
}

/// W2: one group, all members online, a few of them sending.
pub async fn group(driver: Rc<dyn Driver>, args: &Group, trees: &[Tree], run: u32) -> Result<Map<String, Value>> {
    driver.provision(args.members).await?;
    let receivers = args.members - 1;
    let everyone = Rc::new(Everyone::new(0..args.senders as u32, receivers as u32));
    let mut crew = Crew::new(run, false);
    let mut owner = driver.connect(0).await?;
    let name = driver.create_group(&mut owner, &format!("lg{run}"), args.members).await?;
    let join = |i: usize, conn: Option<Connection>| {
        let (driver, name) = (driver.clone(), name.clone());
        async move {
            let mut conn = match conn {
                Some(conn) => conn,
                None => driver.connect(i).await?,
            };
            let target = driver.join_group(&mut conn, i, &name).await.with_context(|| format!("member {i}"))?;
            anyhow::Ok((i, conn, target))
        }
    };
    let first = join(0, Some(owner)).await?;
    let mut joined = stream::once(async { Ok(first) })
        .chain(stream::iter((1..args.members).map(|i| join(i, None))).buffer_unordered(8))
        .boxed_local();
    while let Some((i, conn, target)) = joined.try_next().await? {
        let sends = i < args.senders;
        let pace = match (sends, args.rate > 0.0) {
            (false, _) => Pace::Never,
            (true, true) => every(args.rate, args.senders, i),
            (true, false) => Pace::AfterAll(everyone.clone()),
        };
        crew.add(Client {
            id: i as u32,
            conn,
            target: sends.then_some(target),
            pace,
            everyone: Some(everyone.clone()),
            size: args.timing.size,
            stats: crew.stats.clone(),
        });
    }
    drop(joined);
    sleep(Duration::from_secs(3)).await;
    let (mut report, _) = crew.perform(&args.timing, receivers as u64, trees, None).await?;
    report.insert("members".into(), json!(args.members));
    report.insert("senders".into(), json!(args.senders));
    report.insert("rate".into(), json!(args.rate));
    Ok(report)
}

/// W3: authenticated connections that do nothing.
pub async fn idle(driver: Rc<dyn Driver>, args: &Idle, trees: &[Tree], run: u32) -> Result<Map<String, Value>> {
    driver.provision(args.count).await?;
    let mut crew = Crew::new(run, false);
    sleep(Duration::from_secs(2)).await;
    let before: Vec<u64> = trees.iter().map(Tree::rss_kib).collect();
    let cpu_before = CpuSample::take(trees);
    let asked = Instant::now();
    let mut failed = 0u64;
    let mut first_failure = None;
    let driver = &driver;
    let mut ready = stream::iter((0..args.count).map(|i| async move { (i, driver.connect(i).await) }))
        .buffer_unordered(args.concurrency);
    while let Some((i, conn)) = ready.next().await {
        match conn {
            Ok(conn) => crew.add(Client {
                id: i as u32,
                conn,
                target: None,
                pace: Pace::Never,
                everyone: None,
                size: 0,
                stats: crew.stats.clone(),
            }),
            Err(e) => {
                failed += 1;
                first_failure.get_or_insert(format!("{e:#}"));
            }
        }
    }
    drop(ready);
    let took = asked.elapsed().as_secs_f64();
    let cpu = CpuSample::take(trees).since(&cpu_before);
    let open = crew.tasks.len();
    sleep(Duration::from_secs(args.hold)).await;
    let mut memory = Map::new();
    for (tree, before) in trees.iter().zip(before) {
        let after = tree.rss_kib();
        memory.insert(
            tree.name.clone(),
            json!({
                "before_kib": before,
                "after_kib": after,
                "kib_per_connection": ((after as f64 - before as f64) / open.max(1) as f64 * 100.0).round() / 100.0,
            }),
        );
    }
    let report = json!({
        "asked": args.count,
        "open": open,
        "failed": failed,
        "first_failure": first_failure,
        "dropped_while_held": crew.stats.disconnected.get(),
        "connect_s": (took * 100.0).round() / 100.0,
        "connects_per_s": (open as f64 / took).round(),
        "cpu_ms_while_connecting": cpu.trees.iter().map(|(n, ms)| (n.clone(), json!(ms))).collect::<Map<_, _>>(),
        "generator_ms": cpu.generator,
        "other_ms": cpu.other,
        "rss": memory,
    });
    crew.phase.send_replace(Phase::Done);
    for task in crew.tasks {
        task.await?;
    }
    match report {
        Value::Object(map) => Ok(map),
        _ => unreachable!("the macro above makes an object"),
    }
}
