//! The worker puts the launch off, or gives it up.

use jitgate_tests::aws::{answers, ecs};
use jitgate_tests::github::{self, INSTALLATION, PERMISSIONS, operation};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::SECRET_ID;
use serde_json::json;

use crate::{MINUTE, Story, class_with};

/// More than a call is repeated.
const ALWAYS: usize = 50;

/// A story whose job has met a fault of GitHub's at its registration. The worker's token is old enough by then that a refusal
/// cannot mean that GitHub does not know it everywhere.
async fn refused_by_github(fault: Fault) -> (Story, jitgate::job::JobId) {
    let mut story = Story::new().await;
    let first = story.job().await;
    story.goes_on(first).await;
    story.world.pass(MINUTE * 2);
    let job = story.job().await;
    story.world.api.faults.script_times(operation::GENERATE_JITCONFIG, fault, ALWAYS);
    story.work().await;
    story.world.api.faults.clear();
    (story, job)
}

/// A story whose job has met a fault of ECS's at its launch.
async fn refused_by_ecs(fault: Fault) -> (Story, jitgate::job::JobId) {
    let story = Story::new().await;
    let job = story.job().await;
    story.world.aws.faults().script_times("RunTask", fault, ALWAYS);
    story.work().await;
    story.world.aws.faults().clear();
    (story, job)
}

#[tokio::test]
async fn a_runner_limit_that_is_reached() {
    let mut story = Story::with(&[("MAX_RUNNERS", "1")]).await;
    story.job().await;
    story.work().await;
    let second = story.job().await;
    story.work().await;
    let cause = story.named(second, "runner-limit").await;
    assert!(cause.because.contains("of them 1 for octo-org/octo-repo"), "{cause:?}");
    story.goes_on(second).await;
}

#[tokio::test]
async fn no_capacity_and_since_when() {
    let mut story = Story::new().await;
    let job = story.job().await;
    story.world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::exhausted());
    for _ in 0..6 {
        story.work().await;
        story.world.pass(MINUTE);
    }
    let cause = story.named(job, "no-capacity").await;
    assert!(cause.because.ends_with("so for 6 minutes"), "{cause:?}");
    story.world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::tasks(10));
    story.goes_on(job).await;
}

#[tokio::test]
async fn what_github_refuses_for_a_while() {
    let full = github::answers::validation_failed(&["The runner group has reached its maximum number of runners"]);
    for (fault, kind) in [
        (Fault::Refuse(github::answers::primary_limit(jitgate_tests::world::START + MINUTE * 30)), "github-limit"),
        (Fault::Refuse(github::answers::not_found()), "github-not-found"),
        (Fault::Refuse(full), "registrations-full"),
        (Fault::Refuse(github::answers::error(502, "Unicorn!")), "github-outage"),
        (Fault::Drop, "github-silent"),
    ] {
        let (mut story, job) = refused_by_github(fault).await;
        story.named(job, kind).await;
        story.goes_on(job).await;
    }
}

#[tokio::test]
async fn a_permission_that_was_taken_away() {
    let mut story = Story::new().await;
    let job = story.job().await;
    let others: Vec<_> = PERMISSIONS.into_iter().filter(|(name, _)| !name.contains("runners")).collect();
    story.world.github.grant(INSTALLATION, &others);
    story.work().await;
    story.named(job, "github-denies").await;
    story.world.github.grant(INSTALLATION, &PERMISSIONS);
    story.goes_on(job).await;
}

#[tokio::test]
async fn a_token_that_github_does_not_know_everywhere() {
    let mut story = Story::new().await;
    story.world.github.behave(|behaviour| behaviour.token_lag = MINUTE);
    let job = story.job().await;
    story.work().await;
    story.world.github.behave(|behaviour| behaviour.token_lag = std::time::Duration::ZERO);
    story.named(job, "token-too-new").await;
    story.goes_on(job).await;
}

#[tokio::test]
async fn more_registrations_than_github_takes_in_a_minute() {
    let mut story = Story::with(&[("GITHUB_POINTS_PER_MINUTE", "30")]).await;
    let mut jobs = Vec::new();
    for _ in 0..12 {
        jobs.push(story.job().await);
    }
    story.work().await;
    let launched = story.world.live_tasks();
    assert!(launched < jobs.len(), "{launched}");
    let last = *jobs.last().expect("a job");
    story.named(last, "github-pace").await;
    story.goes_on(last).await;
}

#[tokio::test]
async fn a_runner_group_that_does_not_exist() {
    let mut classes: serde_json::Value = serde_json::from_str(&class_with("runner_group", json!("big"))).expect("JSON");
    classes[0].as_object_mut().expect("a class").remove("runner_group_id");
    let mut story = Story::with(&[("RUNNER_CLASSES", &classes.to_string())]).await;
    let job = story.job().await;
    story.work().await;
    story.named(job, "runner-group-missing").await;
    story.world.github.add_runner_group(&github::Scope::org(github::ORGANIZATION), "big", None);
    story.goes_on(job).await;
}

#[tokio::test]
async fn a_secret_that_the_worker_may_not_read() {
    let mut story = Story::new().await;
    let job = story.job().await;
    let denied = Fault::Refuse(answers::access_denied("secretsmanager:GetSecretValue"));
    story.world.aws.faults().script_times("GetSecretValue", denied, ALWAYS);
    story.work().await;
    story.world.aws.faults().clear();
    story.named(job, "secret-out-of-reach").await;
    story.goes_on(job).await;
}

#[tokio::test]
async fn a_secret_without_a_key() {
    let story = Story::new().await;
    let job = story.job().await;
    let without = json!({ "app_id": "1", "private_key": "", "webhook_secret": "s" });
    story.world.aws.secrets.put(SECRET_ID, &without.to_string());
    story.work().await;
    story.named(job, "secret-unusable").await;
}

#[tokio::test]
async fn what_ecs_refuses_for_a_while() {
    for (fault, kind) in [
        (Fault::Refuse(answers::access_denied("ecs:RunTask")), "ecs-denies"),
        (Fault::Refuse(answers::error(400, "ClusterNotFoundException", "Cluster not found.")), "ecs-not-ready"),
        (Fault::Refuse(answers::throttling()), "ecs-throttles"),
        (Fault::Refuse(answers::server_exception()), "ecs-outage"),
        (Fault::Drop, "ecs-silent"),
    ] {
        let (mut story, job) = refused_by_ecs(fault).await;
        story.named(job, kind).await;
        story.goes_on(job).await;
    }
}

#[tokio::test]
async fn what_can_never_be_launched() {
    let (mut story, job) =
        refused_by_ecs(Fault::Refuse(answers::client_exception("No Fargate configuration exists."))).await;
    let cause = story.named(job, "given-up").await;
    assert!(cause.todo.contains("correct the class") && cause.todo.contains("--redrive"), "{cause:?}");
    story.redrive().await;
    story.goes_on(job).await;
    let invalid = github::answers::validation_failed(&["Labels is invalid"]);
    let (mut story, job) = refused_by_github(Fault::Refuse(invalid)).await;
    let cause = story.named(job, "given-up").await;
    assert!(cause.because.contains("Labels is invalid"), "{cause:?}");
    story.redrive().await;
    story.goes_on(job).await;
    let story = Story::with(&[("RUNNER_CLASSES", &class_with("container", json!("c".repeat(4000))))]).await;
    let job = story.job().await;
    story.work().await;
    let cause = story.named(job, "given-up").await;
    assert!(cause.todo.contains("shorten the class's environment"), "{cause:?}");
}

#[tokio::test]
async fn a_class_whose_runners_fail() {
    for (reason, kind) in [
        ("CannotStartContainerError: no such file", "class-fails"),
        ("CannotPullContainerError: dial tcp 1.2.3.4:443: i/o timeout", "no-way-out"),
    ] {
        let mut story = Story::new().await;
        story.world.aws.ecs.fail_starts(Some(reason));
        let mut jobs = Vec::new();
        for _ in 0..5 {
            jobs.push(story.job().await);
        }
        let mut kinds = Vec::new();
        for _ in 0..30 {
            story.work().await;
            story.world.pass(MINUTE / 2);
            story.heal().await;
            story.work().await;
            kinds.clear();
            for job in &jobs {
                kinds.push(story.why(*job).await.kind);
            }
            if kinds.contains(&kind) {
                break;
            }
        }
        assert!(kinds.contains(&kind), "{kinds:?}");
        story.world.aws.ecs.fail_starts(None);
        story.goes_on(jobs[4]).await;
    }
}
