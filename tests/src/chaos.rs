//! Chaos: whole days of jobs in which everything that can fail does, on a simulated clock.
//!
//! A run consists of a seed and some [`Knobs`]. It drives the real handlers against the stand-ins over HTTP: GitHub
//! delivers events, several webhook and worker processes handle them, tasks start, runners take jobs and end. Every
//! call of a handler waits at a turnstile until the [driver](self) lets it through: at a time that the driver chooses,
//! after a delay, never, or with a wrong answer. So concurrent processes are interleaved call by call, and a process
//! can die right before or right after any of its calls.
//!
//! # Repeating a seed
//!
//! Time stands still while any process can continue; then the driver turns the clock to the next event. All randomness
//! comes from the seed or the simulated clock, and calls that arrive between two moments are sorted, so a seed repeats
//! a run call by call. The calls still go over real sockets, and the driver concludes that all processes wait for it
//! when it polled many times without seeing anything new. If the machine stalls during a call, the driver may turn the
//! clock too early, and the run continues differently.

mod conclusion;
mod diary;
mod driver;
mod faults;
pub mod gateway;
mod incidents;
mod judge;
mod loss;
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

pub use loss::Loss;
pub use plan::{Arrival, Knobs};
pub use report::Report;

/// The outcome of a run.
#[derive(Debug)]
pub struct Verdict {
    /// The counts of the run.
    pub report: Report,
    /// When each task was started.
    pub launches: Vec<OffsetDateTime>,
    /// What each identity used of GitHub's limits.
    pub meters: BTreeMap<String, Meter>,
    /// How long each job waited, in the order of the jobs.
    pub waits: Vec<Wait>,
    /// Violations, each with the diary of its job.
    pub complaints: Vec<String>,
}

/// A job's way to its runner.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// When GitHub queued it.
    pub queued_at: OffsetDateTime,
    /// When ECS started its task; absent if it had none.
    pub launched_at: Option<OffsetDateTime>,
    /// When a runner took it; absent if it was cancelled before.
    pub started_at: Option<OffsetDateTime>,
}

/// Runs a seed.
pub async fn run(seed: u64, knobs: &Knobs) -> Verdict {
    let mut driver = Driver::new(seed, knobs).await;
    driver.run().await;
    driver.report.incidents.insert(incidents::STALE_TOKEN, driver.world.github.calls_with_new_tokens());
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

/// Runs a seed on a runtime of its own.
///
/// # Panics
/// If the thread already has a runtime.
pub fn run_alone(seed: u64, knobs: &Knobs) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(Box::pin(run(seed, knobs)))
}

/// Works on all items in parallel, one per processor, and returns the results in the items' order.
///
/// # Panics
/// If the work on an item does.
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

/// Prints what `CHAOS_LEFTOVERS`, `CHAOS_SLOW` and `CHAOS_JOB` ask for.
fn tell(seed: u64, driver: &Driver) {
    if std::env::var_os("CHAOS_LEFTOVERS").is_some() {
        for job in driver.judge.leftovers() {
            eprintln!("seed {seed}: a registration was left to the cleaner\n{}", driver.diary.of(*job));
        }
    }
    for seconds in std::env::var("CHAOS_SLOW").iter().filter_map(|seconds| seconds.parse::<i64>().ok()) {
        let waited = |job: &JobId| {
            let job = driver.world.github.job(*job)?;
            Some((job.started_at? - job.created_at).whole_seconds())
        };
        for job in driver.jobs.iter().filter(|job| waited(job) > Some(seconds)) {
            eprintln!("seed {seed}: job {job} waited long\n{}", driver.diary.of(*job));
        }
    }
    for job in std::env::var("CHAOS_JOB").iter().filter_map(|job| job.parse().ok()) {
        eprintln!("seed {seed}: {}", driver.diary.of(JobId(job)));
    }
}
