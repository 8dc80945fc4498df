//! Stories of jobs that end without a runner: what was started for them is released, and other jobs keep their runners.

use std::time::Duration;

use jitgate::job::JobId;
use jitgate_tests::aws::answers;
use jitgate_tests::github::JobStatus;
use jitgate_tests::wire::Fault;
use jitgate_tests::world::World;

const SLOW_START: Duration = Duration::from_secs(50);

async fn cancel(world: &World, job: JobId) {
    world.github.cancel_job(job);
    assert_eq!(world.deliver(&world.github.event(job, "completed")).await.status_code, 202);
}

async fn work_for(world: &mut World, time: Duration) {
    let until = world.clock.now() + time;
    while world.clock.now() < until {
        world.work().await;
        world.pass(Duration::from_secs(5));
    }
    world.work().await;
}

fn assert_nothing_left(world: &World) {
    assert_eq!((world.live_tasks(), world.waiting()), (0, 0));
    assert!(world.github.runners().is_empty(), "{:?}", world.github.runners());
    assert!(world.dead_letters().is_empty());
}

#[tokio::test]
async fn a_cancelled_jobs_runner_is_taken_back_at_once_while_it_starts() {
    let mut world = World::new().await;
    world.start_tasks_after(SLOW_START);
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.pass(Duration::from_secs(10));
    cancel(&world, job).await;
    world.work().await;
    assert_nothing_left(&world);
}

#[tokio::test]
async fn a_runner_that_is_already_online_is_taken_back_at_the_second_check() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.github.cancel_job(job);
    world.pass(Duration::from_secs(20));
    assert_eq!(world.deliver(&world.github.event(job, "completed")).await.status_code, 202);
    world.work().await;
    assert_eq!(world.live_tasks(), 1, "one observation is not enough");
    work_for(&mut world, Duration::from_mins(2)).await;
    assert_nothing_left(&world);
}

#[tokio::test]
async fn a_runner_that_has_taken_another_job_is_left_alone_however_late_github_says_so() {
    for lag in [Duration::ZERO, Duration::from_mins(1)] {
        let mut world = World::new().await;
        world.github.behave(|behaviour| {
            behaviour.busy_lag = lag;
            behaviour.deletion_trusts_busy = true;
        });
        let cancelled = world.queue_and_deliver().await;
        world.work().await;
        world.github.cancel_job(cancelled);
        // Its runner takes another job with the same labels, which no delivery announced.
        let other = world.queue_job();
        world.pass(Duration::from_secs(5));
        assert_eq!(world.github.job(other).unwrap().status, JobStatus::InProgress);
        world.deliver(&world.github.event(cancelled, "completed")).await;
        work_for(&mut world, Duration::from_mins(5)).await;
        let other = world.github.job(other).unwrap();
        assert_eq!((other.status, other.conclusion.as_deref()), (JobStatus::Completed, Some("success")));
        assert_nothing_left(&world);
    }
}

#[tokio::test]
async fn a_completed_event_that_overtakes_its_queued_event_is_remembered_long_enough() {
    let mut world = World::new().await;
    world.start_tasks_after(SLOW_START);
    let job = world.queue_job();
    let queued = world.github.event(job, "queued");
    cancel(&world, job).await;
    world.work().await;
    world.clock.advance(Duration::from_secs(20));
    world.deliver(&queued).await;
    work_for(&mut world, Duration::from_mins(5)).await;
    assert_nothing_left(&world);
}

#[tokio::test]
async fn a_release_for_a_job_that_was_never_launched_ends_by_itself() {
    let mut world = World::new().await;
    let job = world.queue_job();
    cancel(&world, job).await;
    work_for(&mut world, Duration::from_mins(6)).await;
    assert_nothing_left(&world);
}

#[tokio::test]
async fn a_job_that_had_its_runner_or_was_skipped_needs_no_release() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.pass(Duration::from_mins(5));
    assert_eq!(world.deliver(&world.github.event(job, "completed")).await.status_code, 200);
    let skipped = world.queue_job();
    world.github.cancel_job(skipped);
    let event = world.github.event(skipped, "completed").conclusion("skipped");
    assert_eq!(world.deliver(&event).await.status_code, 200);
    assert_nothing_left(&world);
}

#[tokio::test]
async fn later_launches_of_the_same_job_are_found_too() {
    let mut world = World::new().await;
    world.aws.ecs.fail_next_start("CannotPullContainerError");
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.pass(Duration::from_secs(5));
    world.start_tasks_after(SLOW_START);
    world.deliver_queued(job).await;
    world.work().await;
    world.pass(Duration::from_secs(20));
    world.work().await;
    assert_eq!(world.live_tasks(), 1);
    cancel(&world, job).await;
    world.work().await;
    assert_eq!(world.live_tasks(), 0);
}

#[tokio::test]
async fn a_job_that_is_cancelled_while_its_message_is_hidden_gets_no_runner() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    world.aws.faults().script_times("RunTask", Fault::Refuse(answers::throttling()), 2);
    world.aws.faults().script("SendMessage", Fault::Refuse(answers::unavailable()));
    assert_eq!(world.work_one_batch(&world.worker).await.len(), 1);
    world.github.cancel_job(job);
    assert_eq!(world.deliver(&world.github.event(job, "completed")).await.status_code, 202);
    for _ in 0..20 {
        world.work().await;
        world.pass(Duration::from_secs(30));
    }
    assert_eq!((world.live_tasks(), world.waiting(), world.github.runners().len()), (0, 0, 0));
}

#[tokio::test]
async fn a_delivery_that_comes_late_after_the_job_was_cancelled_starts_nothing() {
    let world = World::new().await;
    let job = world.queue_job();
    world.clock.advance(Duration::from_mins(5));
    world.github.cancel_job(job);
    let event = world.github.event(job, "queued");
    assert_eq!(world.deliver(&event).await.status_code, 202);
    world.work().await;
    assert_eq!((world.live_tasks(), world.waiting(), world.github.runners().len()), (0, 0, 0));
}
