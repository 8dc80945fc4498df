//! A thousand jobs while ECS has less capacity than they ask for, or while calls fail in several ways.

use std::time::{Duration, Instant};

use futures::future::join_all;
use jitgate_bench::figures::{Figure, Samples, Target, Unit};
use jitgate_tests::aws::ecs::{Limit, Provider};
use jitgate_tests::aws::{answers, moment};
use jitgate_tests::github;
use jitgate_tests::wire::{Answer, Fault};
use jitgate_tests::world::World;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use time::OffsetDateTime;

use crate::deployment::{Programs, queue, unlimited};
use crate::storm::{ECS, GITHUB, JOBS, WORKERS, work_off};

/// How long ECS has no capacity at all: until the processes try once a minute.
const DROUGHT: Duration = Duration::from_secs(150);

pub(crate) async fn shortages(programs: &Programs, runs: usize) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (name, percent, within) in [("shortage.3", 3, 20.0), ("shortage.10", 10, 30.0), ("shortage.30", 30, 60.0)] {
        let mut makespans = Vec::new();
        for run in 0..runs {
            let world = unlimited().await;
            world.aws.ecs.set_shortage(Provider::OnDemand, f64::from(percent) / 100.0, run as u64);
            slow_down(&world, None, 0);
            makespans.push(launch_all(programs, &world).await.as_secs_f64());
        }
        let what = format!("{JOBS} jobs, {percent} % of `RunTask` without capacity: last launch");
        let figure = Figure::new(name, what, Unit::Seconds, Samples::new(makespans));
        figures.push(figure.target(Target::AtMost(within)));
    }
    figures.push(drought(programs, runs).await);
    figures
}

pub(crate) async fn four_faults(programs: &Programs, runs: usize) -> Vec<Figure> {
    let (mut makespans, mut sends, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..runs {
        let world = unlimited().await;
        world.aws.ecs.set_shortage(Provider::OnDemand, 0.1, run as u64);
        slow_down(&world, Some(0.1), run as u64);
        makespans.push(launch_all(programs, &world).await.as_secs_f64());
        sends.push(ratio(world.aws.calls().count("SendMessage"), JOBS));
        left.push(ratio(world.github.runners().len() - JOBS + world.dead_letters().len(), 1));
    }
    let what = format!("{JOBS} jobs, 10 % each of GitHub's 502 and 403, ECS's throttling and lack of capacity");
    vec![
        Figure::new("faults", format!("{what}: last launch"), Unit::Seconds, Samples::new(makespans))
            .target(Target::AtMost(75.0)),
        Figure::new("faults.sends", "the same: `SendMessage` a job", Unit::Count, Samples::new(sends))
            .target(Target::AtMost(4.0)),
        Figure::new("faults.left", "the same: registrations and dead letters left", Unit::Count, Samples::new(left))
            .target(Target::AtMost(0.0)),
    ]
}

/// How soon nine jobs in ten are launched after the first one that finds capacity again.
async fn drought(programs: &Programs, runs: usize) -> Figure {
    let mut recoveries = Vec::new();
    for _ in 0..runs {
        let world = unlimited().await;
        world.aws.ecs.set_limit(Provider::OnDemand, Limit::exhausted());
        slow_down(&world, None, 0);
        let returns = async {
            tokio::time::sleep(DROUGHT).await;
            world.aws.ecs.set_limit(Provider::OnDemand, Limit::default());
        };
        tokio::join!(launch_all(programs, &world), returns);
        let mut launches: Vec<OffsetDateTime> =
            world.aws.ecs.tasks().iter().map(|task| moment(task.created_at)).collect();
        launches.sort();
        recoveries.push((launches[JOBS * 9 / 10] - launches[0]).as_seconds_f64());
    }
    let name = format!("{JOBS} jobs, no capacity for {} s: nine in ten launched after the first", DROUGHT.as_secs());
    Figure::new("drought", name, Unit::Seconds, Samples::new(recoveries)).target(Target::AtMost(15.0))
}

/// Gives calls their latency, and this share of them a fault: GitHub's 502 and 403, each, and ECS's throttling.
fn slow_down(world: &World, share: Option<f64>, seed: u64) {
    let chooser = |operations: &'static [&'static str], delay: Duration, faults: Vec<Answer>| {
        let mut random = StdRng::seed_from_u64(seed);
        Box::new(move |operation: &str| {
            for answer in &faults {
                if operation != "SendMessage" && random.random_bool(share.unwrap_or_default()) {
                    return Some(Fault::Refuse(answer.clone()));
                }
            }
            operations.contains(&operation).then_some(Fault::Delay(delay))
        })
    };
    let limit = github::answers::secondary_limit(Some(Duration::from_secs(1)));
    let of_github = vec![github::answers::bad_gateway(), limit];
    let calls = &["access-token", "generate-jitconfig", "delete-runner", "get-job"];
    world.api.faults.choose(chooser(calls, GITHUB, of_github));
    let throttled = chooser(&["RunTask"], ECS, vec![answers::throttling()]);
    world.aws.faults().choose(throttled);
}

/// Queues the jobs, and returns how long their workers take until no message is left.
#[expect(clippy::print_stderr, reason = "what is going on, in a quarter of an hour")]
async fn launch_all(programs: &Programs, world: &World) -> Duration {
    // The webhook in this process uses no GitHub and no `RunTask`.
    queue(world, JOBS).await;
    let workers = join_all((0..WORKERS).map(|_| programs.start("worker", world))).await;
    for worker in &workers {
        // Each process is started by its first batch.
        worker.kill().await;
    }
    let begun = Instant::now();
    join_all(workers.iter().map(|worker| work_off(worker, world))).await;
    let took = begun.elapsed();
    eprintln!("{JOBS} jobs: {:.1} s", took.as_secs_f64());
    assert_eq!(world.aws.ecs.tasks().len(), JOBS, "one task for each job");
    took
}

#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn ratio(count: usize, of: usize) -> f64 {
    count as f64 / of as f64
}
