//! Stories of the functions as Lambda runs them: the real binaries, as processes, behind a Runtime API.

use std::time::Duration;

use jitgate::clock::Clock;
use jitgate_tests::aws::answers;
use jitgate_tests::aws::sqs::mapping::Batch;
use jitgate_tests::github::keys::AppKey;
use jitgate_tests::github::{self, JobSpec};
use jitgate_tests::lambda::http_event::{Front, HttpAnswer, scheduled};
use jitgate_tests::lambda::{Function, FunctionError};
use jitgate_tests::payloads::sign;
use jitgate_tests::wire::{Answer, Fault};
use jitgate_tests::world::{DEAD_LETTER_QUEUE, Delivery, JOB_QUEUE, SECRET_ID, WEBHOOK_SECRET, World};
use serde_json::{Value, json};

async fn world() -> World {
    World::on(Clock::system(), &[("RUST_LOG", "trace")]).await
}

async fn start(world: &World, name: &str) -> Function {
    Function::start(name, world.variables()).await
}

/// GitHub queues a job and delivers that, in a Function URL's event.
fn delivery(world: &World) -> Value {
    let job = world.github.queue_job(JobSpec::labels(["fargate"]));
    let event = world.github.event(job, "queued");
    Delivery::signed("workflow_job", event.bytes()).event().to_event(Front::FunctionUrl)
}

async fn deliver(webhook: &Function, event: &Value) -> u16 {
    let answer = webhook.invoke(event).await.expect("an answer");
    HttpAnswer::read(&answer).expect("an answer that a front can read").status
}

async fn work(worker: &Function, world: &World) -> (Batch, Result<Value, FunctionError>) {
    let batch = world.source.take().expect("a batch");
    let answer = worker.invoke(batch.event()).await;
    world.source.settle(&batch, &answer);
    (batch, answer)
}

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
    assert_eq!(world.github.runners().len(), 1, "it is young and has its task");
}

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
async fn a_malformed_variable_stops_a_function_at_its_start_and_is_named() {
    let world = world().await;
    for (function, variable, value, expected) in [
        ("webhook", "JOB_QUEUE_URL", "", "the URL of the SQS job queue"),
        ("webhook", "JOB_QUEUE_URL", "jobs", "found \"jobs\""),
        ("webhook", "GITHUB_SECRET_ID", "", "Secrets Manager"),
        ("webhook", "RUNNER_CLASSES", "[]", "at least one class"),
        ("webhook", "RUNNER_CLASSES", r#"[{"name":"a","colour":"red"}]"#, "unknown field `colour`"),
        ("webhook", "RUST_LOG", "very=loud=indeed", "error, warn, info"),
        ("worker", "ECS_CLUSTER", "", "ECS cluster"),
        ("worker", "GITHUB_API_URL", "http://github.example", "an https URL"),
        ("worker", "GITHUB_POINTS_PER_MINUTE", "many", "found \"many\""),
        ("worker", "RUNNER_SCOPE", "team", "\"org\" or \"repo\""),
        ("worker", "RUNNER_NAME_PREFIX", "-", "1 to 12"),
        ("worker", "DEAD_LETTER_QUEUE_URL", "dead", "found \"dead\""),
        ("cleaner", "RUNNER_SCOPE", "team", "\"org\" or \"repo\""),
    ] {
        let mut variables = world.variables();
        variables.retain(|(name, _)| name != variable);
        variables.push((variable.to_owned(), value.to_owned()));
        let stopped = Function::start(function, variables).await;
        let error = stopped.ready().await.expect_err(variable).to_string();
        assert!(error.contains(variable) && error.contains(expected), "{function} {variable}={value}: {error}");
    }
    assert!(world.aws.calls().all().is_empty(), "nothing was called");
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
        // The message comes again when its visibility ends; nobody has to wait for that here.
        let again = worker.invoke(batch.event()).await.expect("the next process works");
        assert_eq!(again, json!({ "batchItemFailures": [] }));
        assert_eq!(worker.starts(), 2);
        assert_eq!((world.live_tasks(), world.github.runners().len()), (1, 1));
        let task = world.aws.ecs.live_tasks().remove(0);
        assert_eq!(task.tags["jitgate:runner-id"], world.github.runners()[0].id.to_string());
    }
}

/// Everything that must never be seen, and every piece of it that would be enough to recognise it.
fn secrets(world: &World) -> Vec<String> {
    let mut secrets = vec![WEBHOOK_SECRET.to_owned()];
    let key = AppKey::of_tests().private_pem.replace("-----", "\n");
    secrets.extend(key.lines().filter(|line| line.len() >= 16 && !line.contains("PRIVATE KEY")).map(str::to_owned));
    for call in world.aws.calls().all().into_iter().filter(|call| call.operation == "RunTask") {
        let request: Value = serde_json::from_str(&call.body).expect("JSON");
        let environment = &request["overrides"]["containerOverrides"][0]["environment"];
        let config = environment[0]["value"].as_str().expect("a config");
        secrets.extend(
            config
                .as_bytes()
                .chunks(32)
                .filter(|piece| piece.len() == 32)
                .map(|piece| String::from_utf8(piece.to_vec()).expect("base64 is ASCII")),
        );
    }
    secrets
}

fn assert_hidden(text: &str, secrets: &[String], place: &str) {
    for secret in secrets {
        assert!(!text.contains(secret.as_str()), "{place} shows {secret:?}");
    }
    // Tokens of GitHub and its App, by their form: the stand-in's, and what is signed.
    for form in ["ghs_", "ghp_", "eyJ"] {
        let shown = text
            .match_indices(form)
            .find(|(at, _)| text[at + form.len()..].chars().take_while(char::is_ascii_alphanumeric).count() >= 16);
        assert!(shown.is_none(), "{place} shows something like a token at {shown:?}");
    }
}

#[tokio::test]
async fn no_secret_shows_anywhere_whatever_goes_wrong_and_however_much_is_logged() {
    let world = world().await;
    let (webhook, worker) = (start(&world, "webhook").await, start(&world, "worker").await);
    let cleaner = start(&world, "cleaner").await;
    let mut said = String::new();

    // What the webhook refuses.
    let body = world.github.event(world.queue_job(), "queued").bytes();
    let right = sign(WEBHOOK_SECRET, &body);
    for signature in ["", "sha256=00", &sign("guess", &body)] {
        let forged = Delivery::new("workflow_job", body.clone()).signature(signature);
        let answer = webhook.invoke(&forged.event().to_event(Front::HttpApi)).await.expect("an answer");
        said += &answer.to_string();
    }
    world.aws.secrets.rotate(SECRET_ID, &format!("{{ not JSON: {WEBHOOK_SECRET}"));
    webhook.restart().await;
    assert_eq!(deliver(&webhook, &delivery(&world)).await, 503);
    world.aws.secrets.rotate(SECRET_ID, &github::GitHub::app_secret(WEBHOOK_SECRET).to_string());

    // What goes wrong behind it.
    let page: Answer = http::Response::builder().status(502).body("<html>no JSON</html>".into()).expect("an answer");
    for (operation, fault) in [
        ("RunTask", Fault::Refuse(answers::invalid_parameter("subnet"))),
        ("RunTask", Fault::Refuse(answers::capacity_unavailable())),
        ("RunTask", Fault::Refuse(answers::conflict(&["arn:aws:ecs:eu-central-1:123456789012:task/x/y".to_owned()]))),
        ("RunTask", Fault::Refuse(answers::ok(&json!({ "unexpected": true })))),
        ("generate-jitconfig", Fault::Refuse(github::answers::bad_credentials())),
        ("generate-jitconfig", Fault::Refuse(github::answers::secondary_limit(Some(Duration::from_secs(1))))),
        ("generate-jitconfig", Fault::Refuse(github::answers::validation_failed(&["labels"]))),
        ("generate-jitconfig", Fault::Refuse(github::answers::server_error())),
        ("generate-jitconfig", Fault::Refuse(page)),
        ("generate-jitconfig", Fault::LoseAnswer),
        ("access-token", Fault::Refuse(github::answers::forbidden())),
    ] {
        worker.restart().await;
        world.aws.faults().script(operation, fault.clone());
        world.api.faults.script(operation, fault);
        assert_eq!(deliver(&webhook, &delivery(&world)).await, 202);
        let (_, answer) = work(&worker, &world).await;
        said += &answer.expect("an answer").to_string();
        world.aws.faults().clear();
        world.api.faults.clear();
    }
    world.aws.sqs.put(JOB_QUEUE, "nothing that can be read");
    said += &work(&worker, &world).await.1.expect("an answer").to_string();
    said += &cleaner.invoke(&scheduled(world.clock.now())).await.expect("an answer").to_string();

    let mut secrets = secrets(&world);
    secrets.push(right);
    assert!(secrets.len() > 100);
    for function in [&webhook, &worker, &cleaner] {
        assert_hidden(&function.output(), &secrets, "a log");
    }
    assert!(worker.output().contains("job deferred") && worker.output().contains("job given up"));
    assert_hidden(&said, &secrets, "an answer");
    for queue in [JOB_QUEUE, DEAD_LETTER_QUEUE] {
        let messages = format!("{:?}", world.aws.sqs.messages(queue));
        assert!(messages.contains("MessageId") || messages.contains("body"), "there are some on {queue}");
        assert_hidden(&messages, &secrets, queue);
    }
    for call in world.aws.calls().all().iter().chain(&world.api.calls.all()) {
        assert_hidden(&call.target, &secrets, "a URL");
    }
    let tags: Vec<_> = world.aws.ecs.tasks().into_iter().map(|task| task.tags).collect();
    assert_hidden(&format!("{tags:?}"), &secrets, "a tag");
}
