//! Stories of `ReportToGitHub`: a job that waits, is refused or is given up says so on its commit, and nothing else changes.

mod hindrances;
mod news;

use std::time::Duration;

use jitgate::job::JobId;
use jitgate_tests::aws::ecs;
use jitgate_tests::github::{CheckRun, INSTALLATION, JobSpec, PERMISSIONS};
use jitgate_tests::world::{World, runner_classes};
use serde_json::Value;

const CREATE: &str = "create-check-run";
const UPDATE: &str = "update-check-run";
const LOOK: &str = "list-check-runs";

/// A deployment that reports, whose App may.
async fn reporting() -> World {
    reporting_with(&runner_classes()).await
}

async fn reporting_with(classes: &Value) -> World {
    let world = World::with(&[("REPORT_TO_GITHUB", "checks"), ("RUNNER_CLASSES", &classes.to_string())]).await;
    grant(&world);
    world
}

fn grant(world: &World) {
    world.github.grant(INSTALLATION, &[&PERMISSIONS[..], &[("checks", "write")]].concat());
}

fn calls(world: &World) -> [usize; 3] {
    [LOOK, CREATE, UPDATE].map(|operation| world.api_calls(operation))
}

fn only_report(world: &World) -> CheckRun {
    let all = world.github.check_runs();
    let [report] = &all[..] else { panic!("one check run: {all:#?}") };
    report.clone()
}

fn title(report: &CheckRun) -> &str {
    report.title.as_deref().unwrap_or_default()
}

fn summary(report: &CheckRun) -> &str {
    report.summary.as_deref().unwrap_or_default()
}

fn end(report: &CheckRun) -> (&str, Option<&str>) {
    (&report.status, report.conclusion.as_deref())
}

const OPEN: (&str, Option<&str>) = ("queued", None);
const FINAL: (&str, Option<&str>) = ("completed", Some("neutral"));

/// Minutes after which a job that waits has told its commit: ten, and the longest pause between two tries.
const LONG: u32 = 17;

/// The worker works, minute by minute, while time passes.
async fn work_for(world: &mut World, minutes: u32) {
    for _ in 0..minutes {
        world.work().await;
        world.pass(Duration::from_mins(1));
    }
    world.work().await;
}

fn exhaust(world: &World) {
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::exhausted());
}

fn supply(world: &World) {
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::tasks(100));
}

async fn queue(world: &World, spec: JobSpec) -> JobId {
    let job = world.github.queue_job(spec);
    world.deliver_queued(job).await;
    job
}
