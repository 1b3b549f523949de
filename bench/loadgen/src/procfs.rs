//! CPU time and memory of process trees, from /proc.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context, Result};

/// A process, by name, whose whole tree is measured.
#[derive(Clone, Debug)]
pub struct Tree {
    pub name: String,
    pub root: u32,
    /// Roots of trees within it that are measured by themselves.
    without: Vec<u32>,
}

impl std::str::FromStr for Tree {
    type Err = anyhow::Error;

    fn from_str(s: &str) -> Result<Tree> {
        let (name, pid) = s.split_once('=').context("expected NAME=PID")?;
        Ok(Tree { name: name.into(), root: pid.parse()?, without: Vec::new() })
    }
}

impl Tree {
    /// Takes out of each tree what another of them measures.
    pub fn part(trees: &mut [Tree]) {
        let roots: Vec<u32> = trees.iter().map(|tree| tree.root).collect();
        for tree in trees {
            tree.without = roots.iter().copied().filter(|root| *root != tree.root).collect();
        }
    }

    fn members(&self) -> Vec<u32> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in pids.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok()) {
            if let Some(parent) = stat(pid).and_then(|f| f.get(1)?.parse().ok()) {
                children.entry(parent).or_default().push(pid);
            }
        }
        let mut found = vec![self.root];
        let mut next = 0;
        while let Some(pid) = found.get(next).copied() {
            found.extend(children.get(&pid).into_iter().flatten().filter(|pid| !self.without.contains(pid)));
            next += 1;
        }
        found
    }

    /// CPU time used so far, of children that have ended too.
    pub fn cpu_ms(&self) -> u64 {
        // Fields after the command name: 11 utime, 12 stime, 13 cutime, 14 cstime.
        let ticks: u64 = self
            .members()
            .into_iter()
            .filter_map(stat)
            .flat_map(|f| f.into_iter().skip(11).take(4))
            .filter_map(|f| f.parse::<u64>().ok())
            .sum();
        ticks * ms_per_tick()
    }

    pub fn rss_kib(&self) -> u64 {
        self.members().into_iter().filter_map(|pid| status_kib(pid, "VmRSS:")).sum()
    }
}

/// The fields of /proc/<pid>/stat from the process state on.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn status_kib(pid: u32, key: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|l| l.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn ms_per_tick() -> u64 {
    1000 / rustix::param::clock_ticks_per_second().max(1)
}

/// CPU time of the whole machine since boot: (busy, stolen by the hypervisor).
fn machine_ms() -> (u64, u64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> =
        text.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|f| f.parse().ok()).collect();
    let at = |i: usize| fields.get(i).copied().unwrap_or(0);
    // user, nice, system, irq, softirq
    let busy = at(0) + at(1) + at(2) + at(5) + at(6);
    (busy * ms_per_tick(), at(7) * ms_per_tick())
}

/// CPU counters at one moment; subtract two of them.
#[derive(Clone)]
pub struct CpuSample {
    trees: Vec<(String, u64)>,
    own: u64,
    busy: u64,
    stolen: u64,
}

/// CPU time used between two samples, in ms.
pub struct CpuUse {
    pub trees: Vec<(String, u64)>,
    pub generator: u64,
    /// Used by everything else on the machine: the noise.
    pub other: u64,
    pub stolen: u64,
}

impl CpuSample {
    pub fn take(trees: &[Tree]) -> CpuSample {
        let own = Tree { name: "generator".into(), root: std::process::id(), without: Vec::new() };
        let (busy, stolen) = machine_ms();
        CpuSample {
            trees: trees.iter().map(|t| (t.name.clone(), t.cpu_ms())).collect(),
            own: own.cpu_ms(),
            busy,
            stolen,
        }
    }

    pub fn since(&self, start: &CpuSample) -> CpuUse {
        let trees: Vec<_> = self
            .trees
            .iter()
            .zip(&start.trees)
            .map(|((name, now), (_, then))| (name.clone(), now.saturating_sub(*then)))
            .collect();
        let generator = self.own.saturating_sub(start.own);
        let known: u64 = generator + trees.iter().map(|(_, ms)| ms).sum::<u64>();
        CpuUse {
            trees,
            generator,
            other: self.busy.saturating_sub(start.busy).saturating_sub(known),
            stolen: self.stolen.saturating_sub(start.stolen),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_cpu_and_memory() {
        let me: Tree = format!("me={}", std::process::id()).parse().expect("a tree");
        let start = std::time::Instant::now();
        while start.elapsed().as_millis() < 50 {
            std::hint::black_box(0);
        }
        assert!(me.cpu_ms() >= 20);
        assert!(me.rss_kib() > 100);
    }

    #[test]
    fn a_tree_within_a_tree_counts_once() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("starts");
        let tree = |pid| format!("t={pid}").parse::<Tree>().expect("a tree");
        let mut trees = [tree(std::process::id()), tree(child.id())];
        assert!(trees[0].members().contains(&child.id()));
        Tree::part(&mut trees);
        assert!(!trees[0].members().contains(&child.id()) && trees[0].members().contains(&std::process::id()));
        assert_eq!(trees[1].members(), [child.id()]);
        child.kill().and_then(|()| child.wait()).expect("ends");
    }
}
