//! The Runtime API against the real runtime: this test program is its own function.

use std::sync::atomic::{AtomicUsize, Ordering};

use jitgate::clock::Clock;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::json;

use super::*;
use crate::aws::Aws;
use crate::aws::sqs::QueueSettings;
use crate::aws::sqs::mapping::EventSource;
use crate::wire::Fault;

/// The function under test; run as an ordinary test it does nothing.
#[tokio::test]
#[ignore = "it is the function that the other tests run as a child process"]
async fn bootstrap() {
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return;
    }
    assert!(std::env::var_os("REFUSE_TO_START").is_none(), "told not to start");
    let invocations = AtomicUsize::new(0);
    let function = service_fn(async |event: LambdaEvent<Value>| {
        let count = invocations.fetch_add(1, Ordering::SeqCst) + 1;
        eprintln!("invocation {count}");
        if let Some(records) = event.payload["Records"].as_array() {
            return send_again(records).await;
        }
        match event.payload["do"].as_str() {
            Some("fail") => Err(lambda_runtime::Error::from("as told")),
            Some("panic") => panic!("as told"),
            Some("exit") => std::process::exit(3),
            Some("hang") => {
                tokio::time::sleep(Duration::from_mins(1)).await;
                Ok(json!(null))
            }
            _ => Ok(json!({
                "count": count,
                "event": event.payload,
                "request_id": event.context.request_id,
                "left": event.context.deadline().duration_since(std::time::SystemTime::now()).unwrap().as_secs(),
                "function": event.context.env_config.function_name,
                "inherited": std::env::var("PATH").is_ok(),
            })),
        }
    });
    lambda_runtime::run(function).await.unwrap();
}

/// Sends every message back to its queue, with the functions' own client.
async fn send_again(records: &[Value]) -> Result<Value, lambda_runtime::Error> {
    let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let client = aws_sdk_sqs::Client::new(&config);
    for record in records {
        let message = client.send_message().queue_url(std::env::var("JOB_QUEUE_URL")?);
        message.message_body(record["body"].as_str().unwrap_or_default()).send().await?;
    }
    Ok(json!({}))
}

async fn start(environment: &[(&str, &str)], timeout: Duration) -> Function {
    let this = std::env::current_exe().unwrap();
    let arguments = ["--exact", "lambda::tests::bootstrap", "--ignored", "--nocapture"];
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let settings = FunctionSettings { timeout, ..FunctionSettings::default() };
    Function::start_with(Program::other("echo", this, &arguments), environment, settings).await
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_function_gets_events_with_their_context_and_stays_warm() {
    let function = start(&[], LONG).await;
    function.ready().await.unwrap();
    let first = function.invoke(&json!({ "a": 1 })).await.unwrap();
    assert_eq!((&first["count"], &first["event"]["a"], &first["function"]), (&json!(1), &json!(1), &json!("echo")));
    assert!((28..=30).contains(&first["left"].as_u64().unwrap()));
    assert_eq!(first["inherited"], false);
    let second = function.invoke(&json!({})).await.unwrap();
    assert_eq!(second["count"], 2);
    assert_ne!(second["request_id"], first["request_id"]);
    assert_eq!(function.starts(), 1);
    assert!(function.lines().iter().any(|line| line.stream == Stream::Error && line.text == "invocation 2"));
}

#[tokio::test]
async fn an_error_is_reported_and_a_panic_does_not_end_the_process() {
    let function = start(&[], LONG).await;
    let error = function.invoke(&json!({ "do": "fail" })).await.unwrap_err();
    assert!(matches!(&error, FunctionError::Reported { message, .. } if message.contains("as told")), "{error}");
    let error = function.invoke(&json!({ "do": "panic" })).await.unwrap_err();
    assert!(matches!(&error, FunctionError::Reported { message, .. } if message.contains("as told")), "{error}");
    assert_eq!(function.invoke(&json!({})).await.unwrap()["count"], 3);
}

#[tokio::test]
async fn a_process_that_dies_fails_the_invocation_and_the_next_one_starts_cold() {
    let function = start(&[], LONG).await;
    let error = function.invoke(&json!({ "do": "exit" })).await.unwrap_err();
    assert!(matches!(&error, FunctionError::Exited { status, .. } if status.contains('3')), "{error}");
    assert_eq!(function.invoke(&json!({})).await.unwrap()["count"], 1);
    function.kill().await;
    assert_eq!(function.invoke(&json!({})).await.unwrap()["count"], 1);
    function.restart().await;
    function.ready().await.unwrap();
    assert_eq!(function.starts(), 4);
}

#[tokio::test]
async fn a_process_that_hangs_is_killed_at_its_time_out() {
    let function = start(&[], Duration::from_millis(500)).await;
    function.ready().await.unwrap();
    assert!(matches!(function.invoke(&json!({ "do": "hang" })).await, Err(FunctionError::TimedOut)));
    assert_eq!(function.invoke(&json!({})).await.unwrap()["count"], 1);
}

#[tokio::test]
async fn a_process_that_does_not_start_says_why() {
    let function = start(&[("REFUSE_TO_START", "1")], LONG).await;
    let error = function.ready().await.unwrap_err();
    assert!(error.to_string().contains("told not to start"), "{error}");
}

#[tokio::test]
async fn a_process_can_be_killed_from_within_a_call_it_makes() {
    let function = start(&[], LONG).await;
    let killer = function.killer();
    function.endpoint.faults.choose(Box::new(move |operation| {
        (operation == "response").then(|| {
            killer.kill();
            Fault::Drop
        })
    }));
    let error = function.invoke(&json!({})).await.unwrap_err();
    assert!(matches!(&error, FunctionError::Exited { status, .. } if status.contains("signal: 9")), "{error}");
    function.endpoint.faults.clear();
    assert_eq!(function.invoke(&json!({})).await.unwrap()["count"], 1);
}

#[tokio::test]
async fn the_workspaces_functions_are_built_on_demand_and_do_nothing_without_their_variables() {
    for name in ["webhook", "worker", "cleaner"] {
        let function = Function::start(name, Vec::new()).await;
        let error = function.ready().await.unwrap_err();
        assert!(matches!(error, FunctionError::Exited { .. }), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_function_that_sends_to_its_own_queue_is_stopped_after_sixteen_hops() {
    let aws = Aws::start(Clock::system()).await;
    aws.sqs.add_queue("dead", QueueSettings::default());
    aws.sqs.add_queue("jobs", QueueSettings { redrive: Some(("dead".to_owned(), 5)), ..QueueSettings::default() });
    let mut environment = aws.environment();
    environment.push(("JOB_QUEUE_URL".to_owned(), aws.queue_url("jobs")));
    let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let function = start(&environment, LONG).await;
    let source = EventSource::new(Arc::clone(&aws.sqs), "jobs");
    aws.sqs.put("jobs", "round and round");
    let mut invocations = 0;
    while let Some(batch) = source.take() {
        invocations += 1;
        let answer = function.invoke_traced(batch.event(), batch.trace()).await;
        source.settle(&batch, &answer);
    }
    assert_eq!((invocations, function.starts()), (16, 1), "{}", function.output());
    assert_eq!(aws.sqs.messages("dead")[0].body, "round and round");
    let source = source.allow_loops();
    aws.sqs.put("jobs", "round and round");
    for _ in 0..20 {
        let batch = source.take().unwrap();
        let answer = function.invoke_traced(batch.event(), batch.trace()).await;
        source.settle(&batch, &answer);
    }
}
