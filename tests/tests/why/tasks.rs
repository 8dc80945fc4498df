//! The job's task was started, and the job waits all the same.

use jitgate_tests::aws::ecs::StopCode;
use jitgate_tests::github::{ORGANIZATION, Scope};
use serde_json::json;

use crate::{MINUTE, Story, class_with};

/// A story whose job has a task that takes so long to start.
async fn starting(minutes: u32) -> (Story, jitgate::job::JobId) {
    let story = Story::new().await;
    story.world.start_tasks_after(MINUTE * minutes);
    let job = story.job().await;
    story.work().await;
    (story, job)
}

/// A story whose job's task has stopped before its runner took the job.
async fn stopped(code: StopCode, reason: &str) -> (Story, jitgate::job::JobId) {
    let (story, job) = starting(5).await;
    story.world.stand_still(MINUTE);
    let task = story.world.aws.ecs.live_tasks().remove(0);
    story.world.aws.ecs.stop(&task.arn, code, reason);
    (story, job)
}

#[tokio::test]
async fn a_task_that_starts_and_one_that_takes_long() {
    let (mut story, job) = starting(10).await;
    story.world.stand_still(MINUTE);
    story.named(job, "starting").await;
    story.world.stand_still(MINUTE * 6);
    story.named(job, "starts-slowly").await;
    story.goes_on(job).await;
}

#[tokio::test]
async fn a_task_that_does_not_start() {
    let pull = "CannotPullContainerError: pull image manifest has been retried 5 time(s): ";
    for (reason, kind) in [
        (format!("{pull}dial tcp 140.82.112.33:443: i/o timeout"), "no-way-out"),
        (format!("{pull}failed to resolve ref ghcr.io/o/i:1: ghcr.io/o/i:1: not found"), "image-missing"),
        (format!("{pull}pull access denied, repository does not exist or may require authorization"), "image-denied"),
        (
            "CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/amd64'"
                .to_owned(),
            "image-architecture",
        ),
        ("ResourceInitializationError: failed to validate logger args".to_owned(), "no-way-out"),
        ("CannotPullContainerError: toomanyrequests: Too Many Requests.".to_owned(), "registry-limits-pulls"),
        ("Capacity is unavailable at this time".to_owned(), "no-capacity"),
        ("InsufficientInstanceCapacity".to_owned(), "no-capacity"),
    ] {
        let (mut story, job) = stopped(StopCode::TaskFailedToStart, &reason).await;
        story.named(job, kind).await;
        // It is launched again, and this time all is well.
        story.heal().await;
        story.goes_on(job).await;
    }
}

#[tokio::test]
async fn a_task_whose_stop_only_the_log_remembers() {
    let reason = "CannotPullContainerError: failed to resolve ref ghcr.io/o/i:1: not found";
    let (story, job) = stopped(StopCode::TaskFailedToStart, reason).await;
    story.heal().await;
    // ECS forgets a task an hour after its stop, and the worker is too busy to launch the job again.
    story.world.stand_still(MINUTE * 90);
    let cause = story.why(job).await;
    assert_eq!(cause.kind, "worker-late", "{cause:?}");
}

#[tokio::test]
async fn spot_capacity_that_was_taken_back() {
    let (mut story, job) = stopped(StopCode::SpotInterruption, "Your Spot Task was interrupted.").await;
    story.named(job, "spot-interruption").await;
    story.heal().await;
    story.goes_on(job).await;
}

#[tokio::test]
async fn a_runner_that_runs_out_of_memory_or_ends() {
    for (reason, kind) in [
        ("OutOfMemoryError: Container killed due to memory usage", "out-of-memory"),
        ("Essential container in task exited", "runner-ended"),
    ] {
        let (mut story, job) = stopped(StopCode::EssentialContainerExited, reason).await;
        story.named(job, kind).await;
        story.heal().await;
        story.goes_on(job).await;
    }
}

#[tokio::test]
async fn a_docker_daemon_that_ends() {
    let mut story = Story::new().await;
    let job = story.job().await;
    story.work().await;
    story.world.stand_still(MINUTE);
    let task = story.world.aws.ecs.live_tasks().remove(0);
    story.world.aws.ecs.exit(&task.arn, 70);
    story.named(job, "docker-failed").await;
    story.heal().await;
    story.goes_on(job).await;
}

#[tokio::test]
async fn a_runner_version_that_github_turns_away() {
    let mut story = Story::new().await;
    story.world.github.behave(|behaviour| behaviour.turns_runners_away = true);
    let job = story.job().await;
    story.work().await;
    story.world.run_runners();
    story.named(job, "runner-version-refused").await;
    story.world.github.behave(|behaviour| behaviour.turns_runners_away = false);
    story.heal().await;
    story.goes_on(job).await;
}

#[tokio::test]
async fn a_runner_that_does_not_connect() {
    let story = Story::new().await;
    let job = story.job().await;
    story.work().await;
    story.world.stand_still(MINUTE);
    story.named(job, "connecting").await;
    story.world.stand_still(MINUTE * 4);
    story.named(job, "runner-offline").await;
}

#[tokio::test]
async fn a_registration_that_somebody_deleted() {
    let story = Story::new().await;
    let job = story.job().await;
    story.work().await;
    story.world.stand_still(MINUTE);
    let runner = story.world.github.runners().remove(0);
    assert!(story.world.github.delete_registration(runner.id));
    story.world.stand_still(MINUTE * 4);
    story.named(job, "registration-gone").await;
}

#[tokio::test]
async fn a_runner_that_does_another_job() {
    let mut story = Story::new().await;
    // This one is never announced, and GitHub gives it the first runner that fits.
    let other = story.queue();
    assert!(story.world.github.forget_delivery(other));
    let job = story.job().await;
    story.work().await;
    story.world.run_runners();
    story.world.run_runners();
    story.named(job, "swapped").await;
    story.goes_on(job).await;
}

#[tokio::test]
async fn github_that_gives_nobody_a_job() {
    let mut story = Story::new().await;
    story.world.github.behave(|behaviour| behaviour.dispatches = false);
    let job = story.job().await;
    story.work().await;
    story.world.pass(MINUTE * 4);
    let cause = story.named(job, "github-assigns-nothing").await;
    assert!(cause.todo.contains("githubstatus.com"), "{cause:?}");
    story.world.github.behave(|behaviour| behaviour.dispatches = true);
    story.goes_on(job).await;
}

#[tokio::test]
async fn jobs_that_are_held_back_while_github_gives_nobody_a_job() {
    let mut story = Story::new().await;
    story.world.github.behave(|behaviour| behaviour.dispatches = false);
    let mut jobs = Vec::new();
    for _ in 0..5 {
        jobs.push(story.job().await);
    }
    // Idle for its ten minutes, seen twice; then the worker looks at the retries.
    for _ in 0..20 {
        story.work().await;
        story.clean().await;
        story.heal().await;
        story.world.pass(MINUTE * 2);
    }
    for job in jobs {
        let cause = story.named(job, "github-assigns-nothing").await;
        assert!(cause.todo.contains("githubstatus.com"), "{cause:?}");
    }
}

#[tokio::test]
async fn a_group_that_does_not_admit_the_repository() {
    let scope = Scope::org(ORGANIZATION);
    // The stand-in's next group has this id.
    let mut story = Story::with(&[("RUNNER_CLASSES", &class_with("runner_group_id", json!(2)))]).await;
    let group = story.world.github.add_runner_group(&scope, "closed", Some(&["another-repository"]));
    assert_eq!(group, 2);
    let job = story.job().await;
    story.work().await;
    story.world.pass(MINUTE);
    story.named(job, "group-closed").await;
    // Until the runner has been removed, and another one has come to nothing, the command asks GitHub itself; from then on it
    // has the cleaner's word.
    for _ in 0..10 {
        story.world.pass(MINUTE * 5);
        story.clean().await;
        story.heal().await;
        story.work().await;
    }
    story.named(job, "group-closed").await;
}
