//! Chaos: whole days of jobs, in which everything goes wrong that can, on a clock that costs no time.
//!
//! A run is a seed and some [`Knobs`]. It drives the real handlers over the wire against the stand-ins: GitHub tells of
//! jobs, several webhook and worker processes take what comes, tasks start, runners take jobs and end. Every call that a
//! handler makes waits at a turnstile until the [driver](self) lets it through: at a moment of its own choice, after a
//! delay, not at all, or with another answer than the true one. So what two processes do at the same time is interleaved
//! call by call, and a process can die right before or right after any of its calls.
//!
//! # What a seed repeats
//!
//! Time stands still while anybody can go on by himself; then the driver turns the clock to the next thing that
//! happens. All chance is the seed's or the clock's, and calls that arrive between two moments are sorted before they
//! are looked at, so a seed repeats a run call by call. The calls go over real sockets all the same, and the driver knows
//! that everybody waits for it by having looked many times in vain: on a machine that stalls in the middle of one it may
//! turn the clock too early, and the run goes another way from there.

mod conclusion;
mod diary;
mod driver;
mod faults;
pub mod gateway;
mod judge;
mod plan;
mod report;
pub mod tripwire;
mod turnstile;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use driver::Driver;
use jitgate::job::JobId;
use time::OffsetDateTime;

use crate::github::Meter;

pub use plan::{Arrival, Knobs};
pub use report::Report;

/// What became of a run.
#[derive(Debug)]
pub struct Verdict {
    /// What was run, and how often what happened.
    pub report: Report,
    /// When each task was started.
    pub launches: Vec<OffsetDateTime>,
    /// How much of GitHub's limits each identity has used.
    pub meters: BTreeMap<String, Meter>,
    /// How long each job waited, in the order in which they came.
    pub waits: Vec<Wait>,
    /// What does not hold, each with what had happened to the job.
    pub complaints: Vec<String>,
}

/// A job's way to its runner.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// When GitHub queued it.
    pub queued_at: OffsetDateTime,
    /// When ECS took its task; absent for one that never had any.
    pub launched_at: Option<OffsetDateTime>,
    /// When a runner took it, its own or another's; absent for one that was cancelled before.
    pub started_at: Option<OffsetDateTime>,
}

/// Runs a seed.
pub async fn run(seed: u64, knobs: &Knobs) -> Verdict {
    let mut driver = Driver::new(seed, knobs).await;
    driver.run().await;
    conclusion::conclude(&mut driver);
    let complaint = |(job, what): &(Option<JobId>, String)| match job {
        Some(job) => format!("job {job}: {what}\n{}", driver.diary.of(*job)),
        None => format!("{what}\n{}", driver.diary.end()),
    };
    tell(seed, &driver);
    let complaints = driver.judge.complaints().iter().map(complaint).collect();
    let waits = driver.jobs.iter().filter_map(|id| driver.world.github.job(*id)).map(|job| Wait {
        queued_at: job.created_at,
        launched_at: driver.launched.get(&job.id).copied(),
        started_at: job.started_at,
    });
    Verdict {
        complaints,
        waits: waits.collect(),
        launches: driver.launches,
        meters: driver.world.github.meters(),
        report: driver.report,
    }
}

/// The same, on a thread that has no runtime yet.
///
/// # Panics
/// If it has one.
pub fn run_alone(seed: u64, knobs: &Knobs) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(Box::pin(run(seed, knobs)))
}

/// Works on all items, as many at a time as there are processors; what came of them, in their order.
///
/// # Panics
/// If the work on one does.
pub fn side_by_side<I: Sync, O: Send + Sync>(items: &[I], work: impl Fn(&I) -> O + Sync) -> Vec<O> {
    let next = AtomicUsize::new(0);
    let outcomes: Vec<_> = items.iter().map(|_| OnceLock::new()).collect();
    let work_off = || {
        while let Some((item, outcome)) = items.iter().zip(&outcomes).nth(next.fetch_add(1, Ordering::Relaxed)) {
            let _ = outcome.set(work(item));
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work_off);
        }
    });
    outcomes.into_iter().map(|outcome| outcome.into_inner().expect("all were worked on")).collect()
}

/// Tells what somebody wants to know besides what went wrong.
fn tell(seed: u64, driver: &Driver) {
    if std::env::var_os("CHAOS_LEFTOVERS").is_some() {
        for job in driver.judge.leftovers() {
            eprintln!("seed {seed}: a registration was left to the cleaner\n{}", driver.diary.of(*job));
        }
    }
    for job in std::env::var("CHAOS_JOB").iter().filter_map(|job| job.parse().ok()) {
        eprintln!("seed {seed}: {}", driver.diary.of(JobId(job)));
    }
}
