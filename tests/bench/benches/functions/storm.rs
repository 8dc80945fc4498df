//! A thousand jobs at once, and smaller bursts against GitHub's limit.

use std::time::{Duration, Instant};

use futures::future::join_all;
use jitgate::clock::Clock;
use jitgate_bench::figures::{Figure, Samples, Target, Unit};
use jitgate_tests::github::{GitHub, Secondary};
use jitgate_tests::lambda::Function;
use jitgate_tests::wire::Fault;
use jitgate_tests::world::World;
use time::OffsetDateTime;

use crate::deployment::{Programs, queue, source, unlimited};

pub(crate) const JOBS: usize = 1000;

/// The event source's batch size and maximum concurrency. Source: `template.yaml`.
const BATCH: usize = 10;
pub(crate) const WORKERS: usize = 5;

/// The latency of a call to GitHub and to ECS.
pub(crate) const GITHUB: Duration = Duration::from_millis(120);
pub(crate) const ECS: Duration = Duration::from_millis(180);

/// How often a process polls an empty queue.
const POLL: Duration = Duration::from_millis(20);

/// GitHub's secondary limit.
const WINDOW: Duration = Duration::from_mins(1);
const POINTS: u64 = 900;

/// The outcome of a storm.
pub(crate) struct Storm {
    begun_at: OffsetDateTime,
    makespan: Duration,
    billed: Duration,
    /// When each task was started.
    launches: Vec<OffsetDateTime>,
}

/// Without pacing, so that only the latency of calls limits the rate.
pub(crate) async fn unpaced(programs: &Programs, runs: usize) -> Vec<Figure> {
    let (mut makespans, mut bills) = (Vec::new(), Vec::new());
    #[expect(clippy::cast_precision_loss, reason = "a thousand")]
    let bound = JOBS as f64 * (GITHUB + ECS).as_secs_f64() / (BATCH * WORKERS) as f64;
    for _ in 0..runs {
        let storm = storm(programs, unlimited().await, JOBS, WORKERS).await;
        makespans.push(storm.makespan.as_secs_f64());
        bills.push(storm.billed.as_secs_f64());
    }
    let (makespan, billed) = (Samples::new(makespans), Samples::new(bills));
    #[expect(clippy::cast_precision_loss, reason = "five")]
    let billed_bound = bound * WORKERS as f64;
    let over = |samples: &Samples, bound| samples.over(&Samples::new(vec![bound; runs]));
    let [slower, dearer] = [over(&makespan, bound), over(&billed, billed_bound)];
    vec![
        Figure::new("storm.makespan", format!("{JOBS} jobs, not paced: makespan"), Unit::Seconds, makespan),
        Figure::new("storm.makespan.ratio", format!("over the latency bound of {bound:.0} s"), Unit::Ratio, slower)
            .target(Target::AtMost(1.15)),
        Figure::new("storm.billed", "the same: billed time of the workers", Unit::Seconds, billed),
        Figure::new(
            "storm.billed.ratio",
            format!("over what the bound implies, {billed_bound:.0} s"),
            Unit::Ratio,
            dearer,
        )
        .target(Target::AtMost(1.2)),
    ]
}

/// With pacing, and with GitHub's secondary limit enforced.
pub(crate) async fn paced(programs: &Programs) -> Vec<Figure> {
    let world = limited().await;
    let github = world.github.clone();
    let mut launches = storm(programs, world, JOBS, WORKERS).await.launches;
    launches.sort();
    // The first window may be spent at once; the rate after it counts.
    let steady: Vec<_> = launches.iter().filter(|at| **at - launches[0] >= WINDOW).collect();
    let took = **steady.last().expect("a storm that lasts") - launches[0] - WINDOW;
    #[expect(clippy::cast_precision_loss, reason = "thousands at most")]
    let rate = steady.len() as f64 / took.as_seconds_f64();
    #[expect(clippy::cast_precision_loss, reason = "hundreds")]
    let permitted = POINTS as f64 / 5.0 / WINDOW.as_secs_f64();
    let refused = refused(&github);
    vec![
        Figure::new(
            "paced.rate",
            format!("{JOBS} jobs, paced: launches over the permitted rate"),
            Unit::Ratio,
            Samples::one(rate / permitted),
        )
        .target(Target::AtLeast(0.9)),
        Figure::new(
            "paced.refused",
            "the same: part of the calls that GitHub refused",
            Unit::Ratio,
            Samples::one(refused),
        ),
    ]
}

/// How soon the last job of a burst is launched after a quiet minute, for one, two and five workers.
pub(crate) async fn bursts(programs: &Programs, runs: usize) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (jobs, within) in [(20, 1.0), (100, 4.0), (160, 8.0), (600, 1.11 * 180.0)] {
        for workers in [1, 2, WORKERS] {
            figures.extend(burst(programs, runs, (jobs, workers, false), within, 0.05).await);
        }
    }
    // Another client spends 300 points a minute and leaves 120 jobs a minute: the last of 256 could go after two minutes.
    for workers in [1, 2, WORKERS] {
        figures.extend(burst(programs, runs, (256, workers, true), 120.0 / 0.85, 0.1).await);
    }
    figures
}

async fn burst(
    programs: &Programs,
    runs: usize,
    (jobs, workers, beside_others): (usize, usize, bool),
    within: f64,
    at_most_refused: f64,
) -> Vec<Figure> {
    let (mut makespans, mut shares) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let world = limited().await;
        let github = world.github.clone();
        let others = {
            let github = github.clone();
            async move {
                loop {
                    github.write_elsewhere("installation 77");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        };
        let work = async {
            if beside_others {
                // Their minute is full when the jobs come.
                tokio::time::sleep(WINDOW).await;
            }
            let storm = Box::pin(storm(programs, world, jobs, workers)).await;
            (*storm.launches.iter().max().expect("launches") - storm.begun_at).as_seconds_f64()
        };
        let makespan = if beside_others {
            tokio::select! { makespan = work => makespan, () = others => unreachable!("they go on for ever") }
        } else {
            work.await
        };
        eprintln!("{jobs} jobs, {workers} workers: {makespan:.1} s");
        makespans.push(makespan);
        shares.push(refused(&github));
    }
    let (name, beside) =
        if beside_others { ("beside", " beside 300 points a minute of others") } else { ("burst", "") };
    vec![
        Figure::new(
            format!("{name}.{jobs}.{workers}"),
            format!("{jobs} jobs{beside}, workers: {workers}: last launch"),
            Unit::Seconds,
            Samples::new(makespans),
        )
        .target(Target::AtMost(within)),
        Figure::new(
            format!("{name}.{jobs}.{workers}.refused"),
            "the same: part of the calls that GitHub refused",
            Unit::Ratio,
            Samples::new(shares),
        )
        .target(Target::AtMost(at_most_refused)),
    ]
}

/// A deployment in real time, with GitHub's secondary limit.
pub(crate) async fn limited() -> World {
    let world = World::unchecked_on(Clock::system(), &[("GITHUB_POINTS_PER_MINUTE", &POINTS.to_string())]).await;
    world.github.limit(|limits| {
        limits.primary = u64::MAX;
        limits.secondary = Some(Secondary { points: POINTS, window: WINDOW, ..Secondary::default() });
    });
    world
}

/// The part of the installation's calls that GitHub's limits refused.
#[expect(clippy::cast_precision_loss, reason = "thousands at most")]
pub(crate) fn refused(github: &GitHub) -> f64 {
    let meter = &github.meters()["installation 77"];
    meter.refused as f64 / (meter.permitted + meter.refused) as f64
}

async fn storm(programs: &Programs, world: World, jobs: usize, workers: usize) -> Storm {
    let delay = |operations: &'static [&'static str], delay| {
        Box::new(move |operation: &str| operations.contains(&operation).then_some(Fault::Delay(delay)))
    };
    world.api.faults.choose(delay(&["access-token", "generate-jitconfig"], GITHUB));
    world.aws.faults().choose(delay(&["RunTask"], ECS));
    work_through(programs, world, jobs, workers).await
}

/// Launches that many jobs, with new processes.
pub(crate) async fn work_through(programs: &Programs, world: World, jobs: usize, workers: usize) -> Storm {
    // The webhook in this process calls neither GitHub nor ECS.
    queue(&world, jobs).await;
    let workers = join_all((0..workers).map(|_| programs.start("worker", &world))).await;
    for worker in &workers {
        // Each process is started by its first batch.
        worker.kill().await;
    }
    let (begun_at, begun) = (OffsetDateTime::now_utc(), Instant::now());
    let billed = join_all(workers.iter().map(|worker| work_off(worker, &world))).await;
    let makespan = begun.elapsed();
    let tasks = world.aws.ecs.tasks();
    assert_eq!(tasks.len(), jobs, "one task for each job");
    let launches = tasks.iter().map(|task| jitgate_tests::aws::moment(task.created_at)).collect();
    Storm { begun_at, makespan, billed: billed.into_iter().sum(), launches }
}

/// Works until no message is left, and returns the billed time: each invocation, with the start of its process, in
/// whole milliseconds.
pub(crate) async fn work_off(worker: &Function, world: &World) -> Duration {
    let source = source(world, BATCH);
    let mut billed = Duration::ZERO;
    loop {
        let Some(batch) = source.take() else {
            if world.waiting() == 0 {
                return billed;
            }
            tokio::time::sleep(POLL).await;
            continue;
        };
        let begun = Instant::now();
        let answer = worker.invoke_traced(batch.event(), batch.trace()).await;
        billed += Duration::from_millis(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX) + 1);
        let outcome = source.settle(&batch, &answer);
        assert_eq!(outcome.returned.len(), 0, "{answer:?}");
    }
}
