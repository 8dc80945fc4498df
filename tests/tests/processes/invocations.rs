//! Invocations with requests and batches, and processes that die during one.

use std::collections::BTreeSet;
use std::time::Duration;

use jitgate_tests::lambda::http_event::{Front, HttpAnswer, scheduled};
use jitgate_tests::lambda::{Function, FunctionError};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::Delivery;
use serde_json::{Value, json};

use crate::{deliver, delivery, start, work, world};

/// The function's time-out, and GitHub's. Source: `template.yaml`.
const WEBHOOK_LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_job_goes_through_the_processes_and_a_cold_start_costs_no_more_than_it_must() {
    let world = world().await;
    let (webhook, worker) = (start(&world, "webhook").await, start(&world, "worker").await);
    assert_eq!(deliver(&webhook, &delivery(&world)).await, 202);
    assert_eq!(world.aws.calls().operations(), ["GetSecretValue", "SendMessage"]);
    world.aws.calls().clear();
    let (_, answer) = work(&worker, &world).await;
    assert_eq!(answer.unwrap(), json!({ "batchItemFailures": [] }));
    assert_eq!(world.aws.calls().operations(), ["GetSecretValue", "RunTask"]);
    assert_eq!(world.api.calls.operations(), ["access-token", "generate-jitconfig"]);
    assert_eq!((world.live_tasks(), world.github.runners().len()), (1, 1));
    assert_eq!((webhook.starts(), worker.starts()), (1, 1));
    let cleaner = start(&world, "cleaner").await;
    assert_eq!(cleaner.invoke(&scheduled(world.clock.now())).await.unwrap(), Value::Null);
    assert_eq!(world.github.runners().len(), 1, "it is new and has a task");
}

#[tokio::test]
async fn a_services_own_endpoint_takes_precedence_over_the_common_one() {
    let world = world().await;
    let mut variables = world.variables();
    let (_, url) = variables.iter_mut().find(|(name, _)| name == "AWS_ENDPOINT_URL").expect("the stand-in's");
    let aws = std::mem::replace(url, "http://127.0.0.1:9".to_owned());
    for service in ["SQS", "SECRETS_MANAGER"] {
        variables.push((format!("AWS_ENDPOINT_URL_{service}"), aws.clone()));
    }
    let webhook = Function::start("webhook", variables).await;
    assert_eq!(deliver(&webhook, &delivery(&world)).await, 202);
    assert_eq!(world.aws.calls().operations(), ["GetSecretValue", "SendMessage"]);
}

#[tokio::test]
async fn whatever_stands_in_front_a_delivery_becomes_a_task() {
    let world = world().await;
    let (webhook, worker) = (start(&world, "webhook").await, start(&world, "worker").await);
    let mut jobs = BTreeSet::new();
    for front in Front::ALL {
        for encoded in [false, true] {
            let job = world.queue_job();
            let event = Delivery::signed("workflow_job", world.github.event(job, "queued").bytes()).event();
            let event = if encoded { event.base64() } else { event };
            assert_eq!(deliver(&webhook, &event.to_event(front)).await, 202, "{front:?}, base64: {encoded}");
            work(&worker, &world).await.1.expect("an answer");
            jobs.insert(job.to_string());
        }
    }
    let tasks = world.aws.ecs.live_tasks();
    assert_eq!(tasks.len(), 6);
    assert_eq!(tasks.into_iter().map(|task| task.tags["jitgate:job-id"].clone()).collect::<BTreeSet<_>>(), jobs);
}

#[tokio::test]
async fn an_event_that_is_no_request_does_not_end_the_process() {
    let world = world().await;
    let webhook = start(&world, "webhook").await;
    for event in [json!("no request"), json!([1, 2]), json!({ "body": 7 }), Value::Null] {
        let answer = webhook.invoke(&event).await;
        assert!(matches!(answer, Err(FunctionError::Reported { .. })), "{event}: {answer:?}");
    }
    let answer = webhook.invoke(&json!({})).await.expect("an answer");
    assert_eq!(HttpAnswer::read(&answer).unwrap().status, 405);
    assert_eq!(deliver(&webhook, &delivery(&world)).await, 202);
    assert_eq!(webhook.starts(), 1);
}

#[tokio::test]
async fn a_queue_that_does_not_answer_becomes_a_503_before_lambda_ends_the_webhook() {
    let world = world().await;
    let webhook = start(&world, "webhook").await;
    world.aws.faults().script_times("SendMessage", Fault::Delay(Duration::from_mins(1)), 9);
    let answer = tokio::time::timeout(WEBHOOK_LIMIT, async { deliver(&webhook, &delivery(&world)).await });
    assert_eq!(answer.await.expect("its time is over"), 503);
}

#[tokio::test]
async fn a_worker_killed_in_the_middle_of_run_task_leaves_one_task_and_one_registration() {
    for fault in [Fault::LoseAnswer, Fault::Drop] {
        let world = world().await;
        let (webhook, worker) = (start(&world, "webhook").await, start(&world, "worker").await);
        deliver(&webhook, &delivery(&world)).await;
        let killer = worker.killer();
        let mut strikes = Some(fault);
        world.aws.faults().choose(Box::new(move |operation| {
            let fault = (operation == "RunTask").then(|| strikes.take()).flatten();
            if fault.is_some() {
                killer.kill();
            }
            fault
        }));
        let batch = world.source.take().expect("a batch");
        let answer = worker.invoke(batch.event()).await;
        assert!(matches!(answer, Err(FunctionError::Exited { .. })), "{answer:?}");
        // The message returns after its visibility time-out; the test does not wait for that.
        let again = worker.invoke(batch.event()).await.expect("the next process works");
        assert_eq!(again, json!({ "batchItemFailures": [] }));
        assert_eq!(worker.starts(), 2);
        assert_eq!((world.live_tasks(), world.github.runners().len()), (1, 1));
        let task = world.aws.ecs.live_tasks().remove(0);
        assert_eq!(task.tags["jitgate:runner-id"], world.github.runners()[0].id.to_string());
    }
}
