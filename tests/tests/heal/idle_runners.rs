//! A runner is online without a job: it is retired after its class's idle time, unless it takes a job before.

use std::time::Duration;

use cleaner::CleanError;
use jitgate::job::JobId;
use jitgate_tests::aws::answers;
use jitgate_tests::github::{self, JobSpec, JobStatus, ORGANIZATION};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{World, runner_classes};
use serde_json::json;

use crate::{MINUTE, PASS, at_work, meanwhile, surplus};

#[tokio::test]
async fn a_runner_without_a_job_is_retired_at_its_limit_counted_from_online() {
    let mut world = World::new().await;
    // The time to start does not count.
    world.start_tasks_after(Duration::from_mins(15));
    let job = world.queue_and_deliver().await;
    world.work().await;
    world.github.cancel_job(job);
    for _ in 0..3 {
        world.clean().await.unwrap();
        world.pass(PASS);
    }
    assert!(world.github.runners()[0].online);
    world.clean().await.unwrap();
    world.pass(PASS);
    world.clean().await.unwrap();
    assert_eq!(world.live_tasks(), 1, "noted at most ten minutes ago");
    world.pass(PASS);
    world.clean().await.unwrap();
    assert_eq!(world.live_tasks(), 0);
    let operations = world.api.calls.operations();
    assert_eq!(operations.iter().filter(|call| *call == "delete-runner").count(), 1);
    world.pass(MINUTE);
    world.assert_done(&[]);
    world.clean().await.unwrap();
    assert_eq!(world.api_calls("delete-runner"), 1, "another pass changes nothing more");
}

#[tokio::test]
async fn the_idle_limit_is_the_classes_own() {
    let mut classes = runner_classes();
    classes[0]["idle_minutes"] = json!(30);
    let mut world = World::with(&[("RUNNER_CLASSES", &classes.to_string())]).await;
    surplus(&mut world).await;
    for _ in 0..6 {
        world.clean().await.unwrap();
        assert_eq!(world.live_tasks(), 1);
        world.pass(PASS);
    }
    world.clean().await.unwrap();
    assert_eq!(world.live_tasks(), 0);
}

/// An idle runner takes a job that no delivery announced, seconds before the next pass: `busy` is still false.
async fn take_a_job_before_github_shows_it(world: &mut World) -> JobId {
    world.github.behave(|behaviour| behaviour.busy_lag = MINUTE);
    surplus(world).await;
    world.clean().await.expect("a pass that works");
    world.pass(PASS * 2);
    let job = world.queue_job();
    world.pass(Duration::from_secs(10));
    assert_eq!(world.github.job(job).expect("it exists").status, JobStatus::InProgress);
    job
}

#[tokio::test]
async fn a_runner_whose_busy_lags_by_a_minute_is_left_to_its_job() {
    let mut world = World::new().await;
    let job = take_a_job_before_github_shows_it(&mut world).await;
    world.clean().await.unwrap();
    assert_eq!((world.live_tasks(), world.api_calls("delete-runner")), (1, 1), "GitHub refused");
    world.pass(PASS);
    world.assert_done(&[job]);
    assert_eq!(world.github.job(job).unwrap().conclusion.as_deref(), Some("success"));
}

/// A new token takes seconds to reach all of GitHub's servers. Until then, some answer 404 about a runner that is there.
#[tokio::test]
async fn a_runner_that_a_new_token_does_not_find_is_not_taken_for_gone() {
    let mut world = World::new().await;
    let job = take_a_job_before_github_shows_it(&mut world).await;
    // Each pass is that of a new process, with a new token.
    for operation in ["get-runner", "delete-runner"] {
        world.api.faults.script_times(operation, Fault::Refuse(github::answers::not_found()), 3);
    }
    world.clean().await.unwrap();
    assert_eq!(world.live_tasks(), 1);
    world.pass(PASS);
    world.assert_done(&[job]);
    assert_eq!(world.github.job(job).unwrap().conclusion.as_deref(), Some("success"));
}

#[tokio::test]
async fn a_runner_that_takes_a_job_between_look_and_deletion_stays() {
    let mut world = World::new().await;
    let runner = surplus(&mut world).await;
    world.clean().await.unwrap();
    world.pass(PASS * 2);
    let github = world.github.clone();
    meanwhile(&world.api.faults, "delete-runner", move || {
        github.queue_job(JobSpec::labels(["fargate"]));
        assert!(github.take_job(runner).unwrap().is_some());
    });
    world.clean().await.unwrap();
    assert_eq!((world.live_tasks(), world.api_calls("delete-runner")), (1, 1));
    assert!(world.github.runner(runner).unwrap().job.is_some());
}

#[tokio::test]
async fn a_task_is_stopped_only_once_its_registration_is_deleted_or_gone() {
    for (answer, is_stopped, fails) in [
        (github::answers::still_running("jit"), false, false),
        (github::answers::not_found(), true, false),
        (github::answers::server_error(), false, true),
        (github::answers::secondary_limit(Some(MINUTE)), false, false),
    ] {
        let mut world = World::new().await;
        surplus(&mut world).await;
        world.clean().await.unwrap();
        world.pass(PASS * 2);
        // A failure that passes is repeated twice.
        for _ in 0..if fails { 3 } else { 1 } {
            world.api.faults.script("delete-runner", Fault::Refuse(answer.clone()));
        }
        assert_eq!(world.clean().await.is_err(), fails);
        assert_eq!(world.live_tasks() == 0, is_stopped);
        world.pass(PASS);
        world.clean().await.unwrap();
        assert_eq!(world.live_tasks(), 0, "the next pass stops it");
    }
}

#[tokio::test]
async fn a_failed_stop_is_reported_and_later_passes_make_up_for_it() {
    let mut world = World::new().await;
    surplus(&mut world).await;
    world.clean().await.unwrap();
    world.pass(PASS * 2);
    world.aws.faults().script("StopTask", Fault::Refuse(answers::server_exception()));
    assert!(matches!(world.clean().await, Err(CleanError::Incomplete(1))));
    assert!(world.github.runners().is_empty(), "the registration went first");
    // The runner exits by itself, or is a ghost: then two passes observe that its registration is gone.
    for _ in 0..2 {
        world.stand_still(PASS);
        world.clean().await.unwrap();
    }
    assert_eq!(world.live_tasks(), 0);
}

#[tokio::test]
async fn a_runner_that_github_takes_for_idle_in_the_middle_of_its_job_stays() {
    let mut world = World::new().await;
    world.github.behave(|behaviour| behaviour.deletion_trusts_busy = true);
    let (job, runner) = at_work(&mut world).await;
    world.github.seem_idle(runner, true);
    for _ in 0..6 {
        world.stand_still(PASS);
        world.clean().await.unwrap();
    }
    assert_eq!(world.live_tasks(), 1);
    world.pass(MINUTE);
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_runner_once_seen_busy_is_never_taken_for_idle_again() {
    let mut world = World::new().await;
    world.github.behave(|behaviour| behaviour.deletion_trusts_busy = true);
    let runner = surplus(&mut world).await;
    world.clean().await.unwrap();
    // A job in a repository that the cleaner does not read.
    let job = world.github.queue_job(JobSpec::labels(["fargate"]).in_repository(ORGANIZATION, "another"));
    world.pass(Duration::from_secs(5));
    assert_eq!(world.github.runner(runner).unwrap().job, Some(job));
    world.clean().await.unwrap();
    world.github.seem_idle(runner, true);
    for _ in 0..6 {
        world.stand_still(PASS);
        world.clean().await.unwrap();
    }
    assert_eq!(world.live_tasks(), 1);
    world.pass(MINUTE);
    world.assert_done(&[job]);
}
