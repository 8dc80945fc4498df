//! Stories of the worker: one runner for one job.

use std::time::Duration;

use jitgate_tests::github::JobStatus;
use jitgate_tests::world::World;

#[tokio::test]
async fn a_queued_job_gets_a_runner_runs_and_leaves_nothing_behind() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.pass(Duration::from_mins(5));
    let job = world.github.job(job).expect("it exists");
    assert_eq!(job.status, JobStatus::Completed);
    assert_eq!((world.live_tasks(), world.waiting(), world.github.runners().len()), (0, 0, 0));
    assert!(world.dead_letters().is_empty());
}
