//! A runner takes another job than the one for which it was launched: both jobs run in the end.

use std::time::Duration;

use jitgate_tests::aws::ecs;
use jitgate_tests::github::{self, JobSpec, JobStatus, ORGANIZATION};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::World;

use crate::{BAD_IMAGE, MINUTE, PASS, logged};

#[tokio::test]
async fn two_jobs_whose_runners_are_swapped_both_run() {
    let mut world = World::new().await;
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::exhausted());
    let waits = world.queue_and_deliver().await;
    world.work().await;
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::tasks(100));
    let swapped = world.queue_and_deliver().await;
    world.worker = world.new_worker().unwrap();
    world.work().await;
    world.pass(Duration::from_secs(1));
    assert_eq!(world.github.job(waits).unwrap().status, JobStatus::InProgress, "on the other job's runner");
    assert_eq!(world.github.job(swapped).unwrap().status, JobStatus::Queued);
    world.work_until_quiet().await;
    world.assert_done(&[waits, swapped]);
}

#[tokio::test]
async fn a_job_is_launched_again_when_its_runner_took_a_job_whose_own_runner_never_came() {
    let mut world = World::new().await;
    world.aws.ecs.fail_next_start(BAD_IMAGE);
    world.start_tasks_after(MINUTE);
    let taker = world.queue_and_deliver().await;
    world.work().await;
    world.start_tasks_after(Duration::from_secs(30));
    let swapped = world.queue_and_deliver().await;
    world.work().await;
    world.pass(Duration::from_secs(40));
    let taken_by = world.github.job(taker).expect("it exists").runner_name.expect("it runs on the other job's runner");
    assert!(taken_by.contains(&format!("-{swapped}-")), "{taken_by}");
    world.pass(MINUTE);
    world.heal().await.unwrap();
    world.work_until_quiet().await;
    for job in [taker, swapped] {
        assert_eq!(world.github.job(job).expect("it exists").status, JobStatus::Completed);
    }
}

#[tokio::test]
async fn a_job_whose_runner_took_another_job_gets_a_new_runner_and_the_log_says_why() {
    let mut world = World::new().await;
    // An older job with the same labels, in a repository without deliveries.
    let taker = world.github.queue_job(JobSpec::labels(["fargate"]).in_repository(ORGANIZATION, "no-hooks"));
    let (swapped, runner) = {
        let job = world.queue_and_deliver().await;
        world.work().await;
        world.run_runners();
        (job, world.github.runners().remove(0).id)
    };
    assert_eq!(world.github.runner(runner).unwrap().job, Some(taker));
    world.clean().await.unwrap();
    assert_eq!(world.waiting(), 0, "too early to tell");
    world.stand_still(MINUTE * 6);
    let (outcome, lines) = logged(world.clean()).await;
    outcome.unwrap();
    assert_eq!(world.waiting(), 1);
    assert!(lines.contains("its runner has another job"), "{lines}");
    world.stand_still(PASS);
    world.clean().await.unwrap();
    assert_eq!(world.waiting(), 1, "not again within a few minutes");
    world.work_until_quiet().await;
    world.assert_done(&[taker, swapped]);
}

#[tokio::test]
async fn the_job_that_took_the_runner_is_named_where_its_repository_is_read() {
    let mut world = World::with(&[("RECONCILE_REPOSITORIES", "octo-org/*")]).await;
    let taker = world.github.queue_job(JobSpec::labels(["fargate"]).in_repository(ORGANIZATION, "no-hooks"));
    world.queue_and_deliver().await;
    world.work().await;
    world.run_runners();
    world.stand_still(MINUTE * 6);
    let (outcome, lines) = logged(world.clean()).await;
    outcome.unwrap();
    let line = lines.lines().find(|line| line.contains("job launched again")).expect("it is");
    assert!(line.contains(&taker.to_string()) && line.contains("octo-org/no-hooks"), "{line}");
}

#[tokio::test]
async fn a_busy_runner_lives_on_when_github_once_does_not_show_it() {
    let mut world = World::new().await;
    let taker = world.queue_job();
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.run_runners();
    let runner = world.github.runners().remove(0);
    assert_eq!(runner.job, Some(taker));
    world.clock.advance(Duration::from_secs(61));
    world.deliver_queued(job).await;
    world.api.faults.script("get-runner", Fault::Refuse(github::answers::not_found()));
    world.work().await;
    world.assert_one_runner();
    assert_eq!(world.github.runners()[0].id, runner.id);
    world.pass(Duration::from_mins(5));
    let taker = world.github.job(taker).unwrap();
    assert_eq!((taker.times_taken, taker.conclusion.as_deref()), (1, Some("success")));
    for _ in 0..4 {
        world.clean().await.unwrap();
        world.work_until_quiet().await;
    }
    world.assert_done(&[job]);
}
