//! A job that is announced more than once gets one runner, and another only if the first is gone.

use std::time::Duration;

use jitgate_tests::aws::ecs;
use jitgate_tests::github::JobStatus;
use jitgate_tests::world::{JOB_QUEUE, World};

#[tokio::test]
async fn the_same_message_twice_makes_one_runner() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    let body = world.aws.sqs.messages(JOB_QUEUE)[0].body.clone();
    world.aws.sqs.put(JOB_QUEUE, &body);
    world.work().await;
    world.assert_one_runner();
    world.aws.sqs.put(JOB_QUEUE, &body);
    world.work().await;
    world.assert_one_runner();
    world.pass(Duration::from_mins(5));
    world.aws.sqs.put(JOB_QUEUE, &body);
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}

#[tokio::test]
async fn two_deliveries_for_one_job_make_one_runner() {
    let mut world = World::new().await;
    let job = world.queue_and_deliver().await;
    world.clock.advance(Duration::from_secs(3));
    world.deliver_queued(job).await;
    world.work().await;
    world.assert_one_runner();
    world.clock.advance(Duration::from_secs(3));
    world.deliver_queued(job).await;
    world.work().await;
    world.assert_one_runner();
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_late_second_delivery_gets_a_runner_when_the_first_one_is_gone() {
    let mut world = World::new().await;
    world.aws.ecs.set_pace(ecs::Pace { start: None, ..ecs::Pace::default() });
    let job = world.queue_and_deliver().await;
    world.work().await;
    let first = world.aws.ecs.live_tasks().remove(0);
    world.aws.ecs.stop(&first.arn, ecs::StopCode::UserInitiated, "stopped while the environment waited for approval");
    let registration = world.github.runners().remove(0).id;
    assert!(world.github.delete_registration(registration));
    world.aws.ecs.set_pace(ecs::Pace::default());
    world.clock.advance(Duration::from_mins(50));
    world.deliver_queued(job).await;
    world.work().await;
    world.assert_one_runner();
    assert!(world.github.runners()[0].name.contains(&format!("-{job}-2-")), "the second attempt");
    world.pass(Duration::from_mins(5));
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_runner_that_died_before_its_job_is_replaced_at_the_next_delivery() {
    let mut world = World::new().await;
    world.aws.ecs.fail_next_start("CannotPullContainerError: pull image manifest has been retried 5 time(s)");
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.pass(Duration::from_mins(1));
    assert_eq!((world.live_tasks(), world.github.runners().len()), (0, 1), "an orphan");
    world.deliver_queued(job).await;
    world.work_until_quiet().await;
    assert_eq!(world.github.job(job).unwrap().status, JobStatus::Completed);
    assert_eq!(world.live_tasks(), 0);
}
