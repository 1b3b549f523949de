//! Faults from outside while people do all they can, and a checker that reads what each of them asked, was told and received.
//!
//! - `history` is what happened, as data; `check` says what is wrong with it, and `check_tests` that it finds each wrong.
//! - `stage`, `deeds`, `actor`: simulated people, and what they show of themselves.
//! - `world`: two processes of each role, with a `proxy` on every way; `nemesis`: what goes wrong, by a seed.
//! - `run`: one schedule; `ending`: what the server says when it is over.
//!
//! Settings: `TIDINGS_CHECK_SECONDS` (faults of each kind go on for so long; 0: one round), `TIDINGS_CHECK_SEED` (0: any),
//! `TIDINGS_CHECK_CLIENTS`, `TIDINGS_CHECK_KINDS` (names of [`nemesis::Kind`], with commas), `TIDINGS_CHECK_LOGS` (a directory).

#[path = "../support/mod.rs"]
mod support;

mod actor;
mod check;
mod check_tests;
mod deeds;
mod ending;
mod history;
mod nemesis;
mod proxy;
mod run;
mod stage;
mod world;

/// One violation may have many witnesses.
const SHOWN_OF_A_KIND: usize = 5;

/// One round of each kind, in some minutes. For longer: `TIDINGS_CHECK_SECONDS=360 TIDINGS_CHECK_CLIENTS=200 cargo test --profile profiling
/// --test checker faults_do -- --nocapture`.
#[tokio::test(flavor = "multi_thread")]
async fn faults_do_no_harm() {
    let settings = run::Settings::read();
    eprintln!("{}", settings.line());
    let (mut reports, mut logs, mut bad) = (Vec::new(), Vec::new(), false);
    for kinds in settings.kinds.chunk_by(|a, b| a.nodes() == b.nodes()) {
        let mut world = world::World::start(kinds[0].nodes()).await;
        for kind in kinds {
            // What the kinds before left is in the views too, so once is enough.
            let report = run::run(&mut world, &settings, *kind, kinds.last() == Some(kind)).await;
            // At once: what comes after may fail.
            bad |= tell(&report);
            reports.push(report);
        }
        world.exits.sort_unstable();
        for same in world.exits.chunk_by(|a, b| a == b) {
            eprintln!("note: {}, {} times; see {}", same[0], same.len(), world.logs.display());
        }
        logs.push(world.logs.display().to_string());
    }
    eprintln!("{}", run::table(&reports));
    assert!(!bad, "violations; run again: {}; the roles' logs are in {}", settings.line(), logs.join(" and "));
}

/// Says how a kind went, and whether something was wrong.
fn tell(report: &run::Report) -> bool {
    eprintln!("{}", run::table(std::slice::from_ref(report)));
    let mut violations = report.violations.clone();
    violations.sort_by_key(|violation| violation.kind);
    for same in violations.chunk_by(|a, b| a.kind == b.kind) {
        for violation in &same[..same.len().min(SHOWN_OF_A_KIND)] {
            eprintln!("{}: {:?}: {}", report.kind.name(), violation.kind, violation.text);
        }
        eprintln!("{}: {:?}: {} in all", report.kind.name(), same[0].kind, same.len());
    }
    !violations.is_empty()
}
