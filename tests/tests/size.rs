//! What a pass over a large fleet costs, in calls and in memory.
//!
//! `cargo build --release -p cleaner`, then
//! `CLEANER=$PWD/target/release/cleaner cargo test -p jitgate-tests --test size -- --ignored --nocapture`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use jitgate::classes::{Asked, RunnerClasses};
use jitgate::clock::Clock;
use jitgate::ecs::{Launch, Tasks};
use jitgate::github::JitConfig;
use jitgate::job::{Attempt, JobMessage};
use jitgate::names::{LaunchToken, NamePrefix, RunnerName};
use jitgate_tests::github::{JobSpec, ORGANIZATION, Scope};
use jitgate_tests::lambda::{Function, FunctionSettings, Program};
use jitgate_tests::world::{World, runner_classes};
use serde_json::json;
use time::OffsetDateTime;

const REGISTRATIONS: usize = 10_000;
const TASKS: usize = 3_000;
const ORPHANS: usize = 100;

/// MiB. The function has 256.
const MOST_MEMORY: u64 = 64;

/// A task that runs a registration, with a configuration of ordinary size.
#[expect(clippy::unwrap_used, reason = "part of a test")]
async fn start_task(tasks: &Tasks, world: &World, job: u64) {
    let prefix = NamePrefix::default();
    let now = OffsetDateTime::now_utc() - time::Duration::minutes(30);
    let job = world.github.queue_job(JobSpec::labels(["fargate"]).with_id(jitgate::job::JobId(job)));
    let run_id = world.github.job(job).unwrap().run_id;
    let message = json!({
        "v": 1, "job_id": job, "run_id": run_id, "run_attempt": 1, "owner": ORGANIZATION, "owner_id": 6_000_001,
        "repository": "octo-repo", "organization": ORGANIZATION, "installation_id": 77, "labels": ["fargate"],
        "class": "default", "created_at": "2026-11-02T09:00:00Z", "delivery_id": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "html_url": format!("https://github.com/octo-org/octo-repo/actions/runs/{run_id}/job/{job}"),
        "attempt": 1, "queued_at": now.unix_timestamp(), "born_at": now.unix_timestamp(),
    });
    let message = JobMessage::parse(&message.to_string()).unwrap();
    let runner_name = RunnerName::derive(&prefix, &message, 0);
    let id = world.github.orphan(&Scope::org(ORGANIZATION), runner_name.as_str(), &["fargate"], true);
    world.github.connect(id).unwrap();
    assert!(world.github.take_job(id).unwrap().is_some());
    let classes = RunnerClasses::parse(&runner_classes().to_string()).unwrap();
    let jit = JitConfig { runner_id: id, encoded: world.github.config_of(id).unwrap().into() };
    let token = LaunchToken::derive(&prefix, message.job_id, Attempt::FIRST);
    let fit = classes.fit(&Asked::from(&message)).unwrap();
    let launch = Launch {
        message: &message,
        placement: classes.placements(&fit)[0],
        token: &token,
        runner_name: &runner_name,
        jit: &jit,
    };
    tasks.run(launch).await.unwrap();
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figures")]
#[ignore = "a benchmark: build the cleaner in release first"]
async fn ten_thousand_registrations_and_three_thousand_tasks() {
    let program = match std::env::var("CLEANER") {
        Ok(path) => Program::other("cleaner", std::path::absolute(path).unwrap(), &[]),
        Err(_) => Program::function("cleaner"),
    };
    let world = World::on(Clock::system(), &[("GITHUB_POINTS_PER_MINUTE", "0")]).await;
    world.github.limit(|limits| limits.secondary = None);
    let tasks = Tasks::new(&world.aws.sdk_config(), "runners".to_owned());
    let jobs = stream::iter(0..TASKS as u64).map(|job| start_task(&tasks, &world, 52_100_000_000 + job));
    jobs.buffer_unordered(16).collect::<Vec<_>>().await;
    let now = OffsetDateTime::now_utc();
    for number in 0..REGISTRATIONS - TASKS {
        // Orphans are old, all others have just been registered.
        let born_at = if number < ORPHANS { now - time::Duration::hours(1) } else { now };
        let name = format!("jit-default-{}-1-{}", 53_000_000_000_usize + number, born_at.unix_timestamp());
        world.github.orphan(&Scope::org(ORGANIZATION), &name, &["fargate"], number < ORPHANS);
    }
    world.api.calls.clear();
    world.aws.calls().clear();
    let settings = FunctionSettings { timeout: Duration::from_mins(5), memory: 256 };
    let cleaner = Function::start_with(program, world.variables(), settings).await;
    let begun = Instant::now();
    cleaner.invoke(&json!({})).await.unwrap();
    let took = begun.elapsed();
    let memory = cleaner.peak_memory().expect("Linux tells");
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for operation in world.api.calls.operations().into_iter().chain(world.aws.calls().operations()) {
        *calls.entry(operation).or_default() += 1;
    }
    println!("{took:?}, {} MiB at its peak, {calls:?}", memory / 1024 / 1024);
    assert_eq!(world.github.runners().len(), REGISTRATIONS - ORPHANS);
    assert_eq!(calls["list-runners"], REGISTRATIONS / 100);
    assert_eq!(calls["delete-runner"], ORPHANS);
    assert_eq!((calls["ListTasks"], calls["DescribeTasks"]), (TASKS / 100 + 1, TASKS / 100));
    assert!(memory < MOST_MEMORY * 1024 * 1024, "{memory} bytes");
}
