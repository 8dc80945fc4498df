//! Stories of warm runners: jobs need not wait for a start, none starves, and no surplus stays.

use std::time::Duration;

use jitgate::job::JobId;
use jitgate_tests::github::{JobSpec, JobStatus};
use jitgate_tests::world::{World, runner_classes};
use serde_json::json;

/// Two warm runners, on working days in Berlin. The stories begin there on a Monday at ten.
fn two() -> serde_json::Value {
    json!([{ "count": 2, "for": "octo-org", "days": ["mon", "tue", "wed", "thu", "fri"], "hours": "08-18",
             "time_zone": "Europe/Berlin" }])
}

async fn warm_world(changes: &[(&str, serde_json::Value)]) -> World {
    let mut classes = runner_classes();
    classes[0]["labels"] = json!(["fargate"]);
    classes[0]["warm"] = two();
    for (key, value) in changes {
        classes[0][*key] = value.clone();
    }
    World::with(&[("RUNNER_CLASSES", &classes.to_string())]).await
}

/// Five minutes, a pass, and its effects.
async fn pass(world: &mut World) {
    world.clean().await.expect("a clean pass");
    world.work().await;
    world.pass(Duration::from_mins(5));
}

fn ended(world: &World, job: JobId) -> bool {
    world.github.job(job).expect("it exists").status == JobStatus::Completed
}

fn idle(world: &World) -> usize {
    world.github.runners().iter().filter(|runner| runner.online && runner.job.is_none()).count()
}

#[tokio::test]
async fn warm_runners_are_started_and_stay() {
    let mut world = warm_world(&[]).await;
    for _ in 0..12 {
        pass(&mut world).await;
        assert_eq!((idle(&world), world.live_tasks(), world.waiting()), (2, 2, 0));
    }
    assert_eq!(world.aws.ecs.tasks().len(), 2, "none was replaced");
    let runner = &world.github.runners()[0];
    assert_eq!(runner.labels, ["fargate"]);
}

#[tokio::test]
async fn a_warm_runner_takes_a_job_at_once_and_the_jobs_own_takes_its_place() {
    let mut world = warm_world(&[]).await;
    pass(&mut world).await;
    let job = world.queue_job();
    world.pass(Duration::from_secs(5));
    assert_eq!(world.github.job(job).unwrap().status, JobStatus::InProgress, "even before its delivery");
    world.deliver_queued(job).await;
    world.work().await;
    for _ in 0..8 {
        pass(&mut world).await;
        assert_eq!((idle(&world), world.live_tasks()), (2, 2));
    }
    assert!(ended(&world, job));
    assert_eq!(world.aws.ecs.tasks().len(), 3, "two warm runners, and the job's own");
    assert_eq!(world.dead_letters(), Vec::<String>::new());
}

#[tokio::test]
async fn in_a_burst_no_job_starves_and_the_surplus_is_retired() {
    let mut world = warm_world(&[]).await;
    pass(&mut world).await;
    let mut jobs = Vec::new();
    for _ in 0..6 {
        jobs.push(world.queue_and_deliver().await);
    }
    world.pass(Duration::from_secs(5));
    for _ in 0..6 {
        pass(&mut world).await;
        assert!(idle(&world) <= 4, "{} idle", idle(&world));
    }
    assert!(jobs.iter().all(|job| ended(&world, *job)));
    assert_eq!((idle(&world), world.live_tasks(), world.waiting()), (2, 2, 0));
}

#[tokio::test]
async fn two_cleaners_at_once_and_repeats_start_each_warm_runner_once() {
    let mut world = warm_world(&[]).await;
    let (one, other) = tokio::join!(world.clean(), world.clean());
    one.unwrap();
    other.unwrap();
    world.clean().await.unwrap();
    assert_eq!(world.waiting(), 6);
    world.work().await;
    assert_eq!(world.waiting(), 0);
    world.pass(Duration::from_mins(5));
    assert_eq!((world.live_tasks(), world.github.runners().len()), (2, 2));
}

#[tokio::test]
async fn warm_runners_are_retired_after_hours() {
    let mut world = warm_world(&[]).await;
    pass(&mut world).await;
    pass(&mut world).await;
    world.pass(Duration::from_hours(8));
    for _ in 0..3 {
        pass(&mut world).await;
    }
    assert_eq!((world.live_tasks(), world.github.runners().len(), world.waiting()), (0, 0, 0));
}

#[tokio::test]
async fn an_old_warm_runner_is_replaced() {
    let mut world = warm_world(&[("warm", json!([{ "count": 1 }]))]).await;
    pass(&mut world).await;
    pass(&mut world).await;
    let before = world.github.runners()[0].id;
    world.pass(Duration::from_hours(12));
    for _ in 0..4 {
        pass(&mut world).await;
    }
    let runners = world.github.runners();
    assert_eq!((runners.len(), world.live_tasks()), (1, 1));
    assert_ne!(runners[0].id, before);
}

#[tokio::test]
async fn limits_apply_to_warm_runners_too_and_they_never_wait_on_the_queue() {
    let mut world = warm_world(&[("max_runners", json!(1))]).await;
    for _ in 0..3 {
        pass(&mut world).await;
        assert_eq!((world.live_tasks(), world.waiting()), (1, 0));
    }
    let job = world.queue_and_deliver().await;
    for _ in 0..4 {
        pass(&mut world).await;
    }
    assert!(ended(&world, job), "on the warm runner");
    assert_eq!(world.dead_letters(), Vec::<String>::new());
}

#[tokio::test]
async fn a_job_that_asks_for_fewer_labels_leaves_no_warm_runner_behind() {
    let mut world = warm_world(&[("labels", json!(["fargate", "linux"]))]).await;
    pass(&mut world).await;
    let job = world.github.queue_job(JobSpec::labels(["fargate"]));
    world.pass(Duration::from_secs(5));
    world.deliver_queued(job).await;
    world.work().await;
    for _ in 0..6 {
        pass(&mut world).await;
    }
    assert!(ended(&world, job));
    assert_eq!((idle(&world), world.live_tasks()), (2, 2));
    assert!(world.github.runners().iter().all(|runner| runner.labels.len() == 2), "its own runner was surplus");
}
