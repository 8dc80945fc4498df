//! What the functions log and measure.

use std::time::Duration;

use jitgate::clock::Clock;
use jitgate_tests::aws::answers;
use jitgate_tests::github::JobSpec;
use jitgate_tests::lambda::http_event::{Front, scheduled};
use jitgate_tests::lambda::{Function, FunctionSettings, Program};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{Delivery, World, runner_classes};
use serde_json::{Value, json};

use crate::{deliver, delivery, start, work, world};

#[tokio::test]
async fn what_the_functions_log_of_a_job_leads_from_the_delivery_to_the_task() {
    let world = world().await;
    let (webhook, worker) = (start(&world, "webhook").await, start(&world, "worker").await);
    deliver(&webhook, &delivery(&world)).await;
    work(&worker, &world).await.1.unwrap();
    let lines = [webhook.lines(), worker.lines()].concat();
    let mut lines: Vec<Value> = lines.iter().filter_map(|line| serde_json::from_str(&line.text).ok()).collect();
    for line in &mut lines {
        for volatile in ["timestamp", "runner.name", "task.arn", "waited_seconds", "_aws", "QueueToLaunch"] {
            if let Some(value) = line.get_mut(volatile) {
                *value = "…".into();
            }
        }
    }
    insta::assert_json_snapshot!(lines);
}

#[tokio::test]
async fn a_refused_job_is_a_warning_and_a_metric_with_the_reason() {
    let mut classes = runner_classes();
    classes[0]["sizes"] = json!({ "cpu": 4 });
    let world = World::on(Clock::system(), &[("RUNNER_CLASSES", &classes.to_string())]).await;
    let webhook = start(&world, "webhook").await;
    let job = world.github.queue_job(JobSpec::labels(["fargate", "cpu=8"]));
    let event = world.github.event(job, "queued");
    let delivery = |event: &[u8]| Delivery::signed("workflow_job", event).event().to_event(Front::FunctionUrl);
    assert_eq!(deliver(&webhook, &delivery(&event.bytes())).await, 200);
    world.github.cancel_job(job);
    let ended = world.github.event(job, "completed");
    assert_eq!(deliver(&webhook, &delivery(&ended.bytes())).await, 200, "its end is not refused");
    let lines: Vec<Value> = webhook.lines().iter().filter_map(|line| serde_json::from_str(&line.text).ok()).collect();
    let refused: Vec<_> = lines.iter().filter(|line| line["message"] == "job refused").collect();
    assert_eq!((refused.len(), &refused[0]["level"]), (1, &json!("WARN")), "{lines:?}");
    assert_eq!((&refused[0]["job.id"], &refused[0]["repository"]), (&json!(job.0), &json!("octo-org/octo-repo")));
    assert!(refused[0]["reason"].as_str().unwrap().contains("too large: 4 vCPU at most"), "{refused:?}");
    assert_eq!(lines.iter().filter(|line| line["JobsRefused"] == 1).count(), 1, "{lines:?}");
}

#[tokio::test]
async fn what_a_translation_leaves_out_is_named_in_the_line_of_the_job() {
    let mut classes = runner_classes();
    classes[0]["sizes"] = json!({ "cpu": 4, "memory": 16 });
    classes[0]["compatible"] = json!(["depot"]);
    classes[0]["ignored_labels"] = json!(["team-*"]);
    let world = World::on(Clock::system(), &[("RUNNER_CLASSES", &classes.to_string())]).await;
    let webhook = start(&world, "webhook").await;
    for labels in [&["depot-ubuntu-24.04-4", "team-a"][..], &["fargate"]] {
        let job = world.github.queue_job(JobSpec::labels(labels.iter().copied()));
        let event = Delivery::signed("workflow_job", world.github.event(job, "queued").bytes());
        assert_eq!(deliver(&webhook, &event.event().to_event(Front::FunctionUrl)).await, 202);
    }
    let lines: Vec<Value> = webhook.lines().iter().filter_map(|line| serde_json::from_str(&line.text).ok()).collect();
    let left_out: Vec<_> =
        lines.iter().filter(|line| line["message"] == "job queued").map(|line| &line["left_out"]).collect();
    let named = "depot-ubuntu-24.04-4: the Ubuntu version; team-a: it is among the ignored_labels";
    assert_eq!(left_out, [&json!(named), &Value::Null]);
}

/// All values of a metric, in the order of writing.
fn measured(function: &Function, metric: &str) -> Vec<Value> {
    let lines = function.lines();
    let values = lines.iter().filter_map(|line| serde_json::from_str::<Value>(&line.text).ok()?.get(metric).cloned());
    values.collect()
}

#[tokio::test]
async fn waits_are_measured() {
    let world = world().await;
    let (webhook, worker) = (start(&world, "webhook").await, start(&world, "worker").await);
    assert_eq!(deliver(&webhook, &delivery(&world)).await, 202);
    world.aws.faults().script("RunTask", Fault::Refuse(answers::access_denied("RunTask")));
    work(&worker, &world).await.1.expect("an answer");
    assert_eq!((measured(&worker, "JobsDenied"), measured(&worker, "JobsDeferred").len()), (vec![json!(1)], 0));
    assert_eq!(
        measured(&worker, "JobsStarving"),
        [json!(1)],
        "a person has to mend it, so nobody waits half an hour for the alarm"
    );
    let waited = measured(&worker, "JobWaited");
    assert!(matches!(&waited[..], [Value::Array(waits)] if waits.len() == 1), "{waited:?}");
}

#[tokio::test]
async fn a_pass_writes_metrics_only_if_it_sees_a_task_or_does_something() {
    let world = world().await;
    let (webhook, worker) = (start(&world, "webhook").await, start(&world, "worker").await);
    // The template's time-out: a pass begins nothing in its last minute.
    let settings = FunctionSettings { timeout: Duration::from_mins(5), ..FunctionSettings::default() };
    let cleaner = Function::start_with(Program::function("cleaner"), world.variables(), settings).await;
    cleaner.invoke(&scheduled(world.clock.now())).await.expect("an answer");
    assert_eq!(measured(&cleaner, "_aws"), Vec::<Value>::new());
    assert_eq!(deliver(&webhook, &delivery(&world)).await, 202);
    work(&worker, &world).await.1.expect("an answer");
    cleaner.invoke(&scheduled(world.clock.now())).await.expect("an answer");
    assert_eq!(measured(&cleaner, "GitHubBudgetRemaining").len(), 1);
}

#[tokio::test]
async fn a_release_that_checks_again_is_not_counted_as_a_deferred_job() {
    let world = world().await;
    let (webhook, worker) = (start(&world, "webhook").await, start(&world, "worker").await);
    let job = world.github.queue_job(JobSpec::labels(["fargate"]));
    world.github.cancel_job(job);
    let completed = Delivery::signed("workflow_job", world.github.event(job, "completed").bytes());
    assert_eq!(deliver(&webhook, &completed.event().to_event(Front::FunctionUrl)).await, 202);
    work(&worker, &world).await.1.expect("an answer");
    assert_eq!(world.waiting(), 1, "nothing was found, so it checks again");
    assert_eq!(measured(&worker, "JobsDeferred"), Vec::<Value>::new());
}
