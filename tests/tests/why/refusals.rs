//! The fleet does not take the job, or GitHub holds it back.

use jitgate_tests::github::{JobSpec, ORGANIZATION};

use crate::{Story, class_with};

#[tokio::test]
async fn labels_that_fit_no_class() {
    let story = Story::new().await;
    let job = story.queue_as(JobSpec::labels(["fargate", "blue"]));
    story.deliver().await;
    let cause = story.named(job, "no-class").await;
    assert!(cause.because.contains("nearest is class default"), "{cause:?}");
}

#[tokio::test]
async fn a_size_that_the_class_does_not_permit() {
    let story = Story::new().await;
    let job = story.queue_as(JobSpec::labels(["fargate", "cpu=64"]));
    story.deliver().await;
    story.named(job, "misfit").await;
}

#[tokio::test]
async fn no_labels_but_a_group() {
    let story = Story::new().await;
    let job = story.queue_as(JobSpec::labels(Vec::<String>::new()).in_group(1));
    story.deliver().await;
    story.named(job, "no-labels").await;
}

#[tokio::test]
async fn a_public_repository() {
    let story = Story::new().await;
    story.world.github.publish(ORGANIZATION, "octo-repo");
    let job = story.queue();
    story.deliver().await;
    story.named(job, "public-repository").await;
}

#[tokio::test]
async fn a_pull_request_from_a_fork() {
    let story = Story::with(&[("RUNNER_CLASSES", &class_with("public_repositories", true.into()))]).await;
    story.world.github.publish(ORGANIZATION, "octo-repo");
    let job = story.queue_as(JobSpec::labels(["fargate"]).from_fork_of("mallory"));
    story.deliver().await;
    story.work().await;
    story.named(job, "fork").await;
}

#[tokio::test]
async fn an_account_that_is_not_served() {
    let story = Story::with(&[("ALLOWED_INSTALLATIONS", "another-org")]).await;
    let job = story.job().await;
    story.named(job, "account-not-allowed").await;
}

#[tokio::test]
async fn a_deployment_that_waits_for_approval() {
    let mut story = Story::new().await;
    let job = story.queue_as(JobSpec::labels(["fargate"]).waiting());
    story.deliver().await;
    story.named(job, "waits-at-github").await;
    // Somebody approves it.
    story.world.github.queue_again(job);
    story.goes_on(job).await;
    story.named(job, "ended").await;
}

#[tokio::test]
async fn a_job_that_nobody_knows() {
    let story = Story::new().await;
    story.world.github.add_repository(ORGANIZATION, "octo-repo");
    story.named(jitgate::job::JobId(1), "no-such-job").await;
}

#[tokio::test]
async fn a_job_that_runs_and_one_that_was_cancelled() {
    let mut story = Story::new().await;
    let job = story.job().await;
    story.work().await;
    story.world.run_runners();
    story.world.run_runners();
    story.named(job, "runs").await;
    let other = story.job().await;
    story.world.github.cancel_job(other);
    story.named(other, "ended-without-runner").await;
}
