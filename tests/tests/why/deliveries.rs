//! GitHub does not tell of the job, or is not heard.

use jitgate_tests::aws::answers;
use jitgate_tests::github::INSTALLATION;
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{Delivery, SECRET_ID};

use crate::{MINUTE, PASS, Story};

#[tokio::test]
async fn an_app_that_is_not_installed() {
    let story = Story::new().await;
    let job = story.queue();
    story.world.github.uninstall(INSTALLATION);
    story.named(job, "not-installed").await;
}

#[tokio::test]
async fn an_installation_that_is_suspended() {
    let mut story = Story::new().await;
    let job = story.queue();
    assert!(story.world.github.forget_delivery(job), "a suspended App hears nothing");
    story.world.github.suspend(INSTALLATION);
    story.named(job, "suspended").await;
    story.world.github.unsuspend(INSTALLATION);
    story.goes_on(job).await;
}

#[tokio::test]
async fn a_job_that_github_never_announced() {
    let mut story = Story::new().await;
    let job = story.queue();
    assert!(story.world.github.forget_delivery(job));
    story.world.clock.advance(MINUTE);
    let cause = story.named(job, "never-delivered").await;
    assert!(cause.because.contains("class default would take it"), "{cause:?}");
    story.goes_on(job).await;
}

#[tokio::test]
async fn webhook_secrets_that_differ() {
    let mut story = Story::new().await;
    let value = |secret: &str| jitgate_tests::github::GitHub::app_secret(secret).to_string();
    story.world.aws.secrets.put(SECRET_ID, &value("another secret"));
    let job = story.job().await;
    story.named(job, "secrets-differ").await;
    story.world.aws.secrets.put(SECRET_ID, &value(jitgate_tests::world::WEBHOOK_SECRET));
    story.world.clock.advance(PASS);
    story.clean().await;
    story.goes_on(job).await;
}

#[tokio::test]
async fn a_webhook_that_cannot_read_its_secret() {
    let story = Story::new().await;
    let denied = answers::access_denied("secretsmanager:GetSecretValue");
    story.world.aws.faults().script_times("GetSecretValue", Fault::Refuse(denied), 20);
    let job = story.job().await;
    story.world.aws.faults().clear();
    story.named(job, "webhook-fails").await;
}

#[tokio::test]
async fn a_queue_that_takes_nothing() {
    let story = Story::new().await;
    let refused = answers::access_denied("sqs:SendMessage");
    story.world.aws.faults().script_times("SendMessage", Fault::Refuse(refused), 20);
    let job = story.job().await;
    story.world.aws.faults().clear();
    story.named(job, "queue-refuses").await;
}

#[tokio::test]
async fn an_app_that_delivers_forms() {
    let story = Story::new().await;
    let job = story.queue();
    for delivery in story.world.github.take_deliveries() {
        let request = Delivery::signed(&delivery.event, &delivery.body[..])
            .header("Content-Type", "application/x-www-form-urlencoded");
        let answer = story.world.request(&request).await;
        let outcome = jitgate_tests::github::Outcome { status: answer.status_code, body: answer.body };
        story.world.github.delivered(delivery.id, outcome);
    }
    story.named(job, "content-type").await;
}

#[tokio::test]
async fn answers_of_others_than_the_webhook() {
    for (status, kind) in [
        (403, "webhook-closed"),
        (404, "webhook-elsewhere"),
        (429, "webhook-throttled"),
        (502, "delivery-failed"),
        (504, "webhook-silent"),
    ] {
        let mut story = Story::new().await;
        let job = story.queue();
        story.deliver_in_vain(status);
        story.named(job, kind).await;
        // The cleaner has the delivery repeated.
        story.world.clock.advance(PASS);
        story.clean().await;
        story.goes_on(job).await;
    }
}

#[tokio::test]
async fn a_worker_that_takes_no_messages() {
    let mut story = Story::new().await;
    let job = story.job().await;
    story.named(job, "queued").await;
    story.world.pass(MINUTE * 3);
    story.named(job, "worker-late").await;
    story.world.aws.event_sources.switch(false);
    story.named(job, "worker-off").await;
    story.world.aws.event_sources.switch(true);
    story.goes_on(job).await;
}

#[tokio::test]
async fn a_run_that_has_ended_with_its_job_queued() {
    let mut story = Story::new().await;
    story.world.aws.ecs.fail_next_start("bad luck");
    let job = story.job().await;
    story.work().await;
    story.world.pass(MINUTE);
    let run = story.world.github.job(job).expect("it exists").run_id;
    story.world.github.close_run(run);
    story.heal().await;
    story.named(job, "run-ended").await;
}
