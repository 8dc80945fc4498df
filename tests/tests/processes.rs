//! Stories of the functions as Lambda runs them: the real binaries, as processes, behind a Runtime API.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use jitgate::clock::Clock;
use jitgate_tests::aws::answers;
use jitgate_tests::aws::sqs::mapping::Batch;
use jitgate_tests::github::keys::AppKey;
use jitgate_tests::github::{self, JobSpec};
use jitgate_tests::lambda::http_event::{Front, HttpAnswer, scheduled};
use jitgate_tests::lambda::{Function, FunctionError};
use jitgate_tests::payloads::sign;
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{DEAD_LETTER_QUEUE, Delivery, JOB_QUEUE, SECRET_ID, WEBHOOK_SECRET, World, runner_classes};
use serde_json::{Value, json};

const PERSONAL_TOKEN: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

/// The function's time-out, as the template has it. GitHub waits as long.
const WEBHOOK_LIMIT: Duration = Duration::from_secs(10);

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
async fn an_endpoint_of_one_service_goes_before_that_of_all() {
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

const EVERY: [&str; 3] = ["webhook", "worker", "cleaner"];
const FLEET: [&str; 2] = ["worker", "cleaner"];

/// Each variable with a value that it cannot have, whom that stops, what is said to be found, and what expected.
fn malformed() -> Vec<(&'static [&'static str], &'static str, &'static str, &'static str, &'static str)> {
    let class_with = |change| -> &'static str {
        let class = format!(r#"[{{"name":"a","labels":["l"],"task_definition":"t","subnets":["s"],{change}}}]"#);
        class.leak()
    };
    vec![
        (&EVERY, "JOB_QUEUE_URL", "", "found nothing", "the URL of the SQS job queue"),
        (&EVERY, "JOB_QUEUE_URL", "jobs", "found \"jobs\"", "the URL of an SQS queue"),
        (&EVERY, "GITHUB_SECRET_ID", "", "found nothing", "the name or ARN of the Secrets Manager secret"),
        (&EVERY, "RUNNER_CLASSES", "", "found nothing", "a JSON list of runner classes"),
        (&EVERY, "RUNNER_CLASSES", "default", "found \"default\"", "a JSON list of runner classes"),
        (&EVERY, "RUNNER_CLASSES", "[]", "found \"[]\"", "at least one class"),
        (&EVERY, "RUNNER_CLASSES", "[]", "found \"[]\"", "2 bytes; a function has 4096 for all its variables"),
        (&EVERY, "RUNNER_CLASSES", "file:/no/such", "found \"file:/no/such\"", "in that file: No such file"),
        (&EVERY, "RUNNER_CLASSES", "file:/dev/null", "found \"file:/dev/null\"", "in that file: EOF"),
        (&EVERY, "RUNNER_CLASSES", class_with(r#""colour":"red""#), "found ", "unknown field `colour`"),
        (&EVERY, "RUNNER_CLASSES", class_with(r#""capacity":["reserved"]"#), "found ", "`on-demand` or `spot`"),
        (&EVERY, "RUST_LOG", "very=loud=indeed", "found \"very=loud=indeed\"", "error, warn, info, debug or trace"),
        (&FLEET, "DEAD_LETTER_QUEUE_URL", "dead", "found \"dead\"", "the URL of an SQS queue"),
        (&FLEET, "ECS_CLUSTER", "", "found nothing", "the name or ARN of the ECS cluster"),
        (&FLEET, "GITHUB_API_URL", "http://github.example", "found \"http://github.example\"", "an https URL"),
        (&FLEET, "GITHUB_API_URL", "api.github.com", "found \"api.github.com\"", "an https URL"),
        (&FLEET, "GITHUB_POINTS_PER_MINUTE", "many", "found \"many\"", "a whole number of points a minute"),
        (&FLEET, "RUNNER_SCOPE", "team", "found \"team\"", "\"org\", \"repo\" or \"enterprise\""),
        (&FLEET, "GITHUB_ENTERPRISE", "octo corp", "found \"octo corp\"", "the enterprise's slug"),
        (&FLEET, "GITHUB_CA_FILE", "/no/such.pem", "found \"/no/such.pem\"", "PEM"),
        (&["webhook", "cleaner"], "ALLOWED_INSTALLATIONS", "octo org", "found \"octo org\"", "logins"),
        (&["worker"], "MAX_RUNNERS", "-1", "found \"-1\"", "a whole number of runners"),
        (&EVERY, "RUNNER_NAME_PREFIX", "jit-eu", "found \"jit-eu\"", "1 to 12 lower-case letters and digits"),
        (&FLEET, "DRY_RUN", "perhaps", "found \"perhaps\"", "true or false"),
        (&FLEET, "RECONCILE_REPOSITORIES", "octo-org", "found \"octo-org\"", "owner/name"),
        (&FLEET, "RUNNER_VERSION_FLOOR", "latest", "found \"latest\"", "2.329.0"),
        (&FLEET, "WEBHOOK_URL", "here", "found \"here\"", "the URL that hooks deliver to"),
    ]
}

/// What a function says when this variable stops it at its start.
async fn stopped_by(world: &World, function: &str, variable: &str, value: &str) -> String {
    let mut variables = world.variables();
    variables.retain(|(name, _)| name != variable);
    variables.push((variable.to_owned(), value.to_owned()));
    if variable == "GITHUB_ENTERPRISE" {
        variables.push(("RUNNER_SCOPE".to_owned(), "enterprise".to_owned()));
    }
    let stopped = Function::start(function, variables).await;
    match stopped.ready().await {
        Err(error @ FunctionError::Exited { .. }) => error.to_string(),
        outcome => panic!("{function} with {variable}={value:?}: {outcome:?}"),
    }
}

#[tokio::test]
async fn a_malformed_variable_stops_each_function_that_reads_it_and_is_named() {
    let world = world().await;
    for (functions, variable, value, found, expected) in malformed() {
        for function in functions {
            let error = stopped_by(&world, function, variable, value).await;
            for part in [variable, found, expected] {
                assert!(error.contains(part), "{function} with {variable}={value:?} should say {part:?}: {error}");
            }
            assert!(!error.contains("panicked"), "{error}");
        }
    }
    assert!(world.aws.calls().all().is_empty() && world.api.calls.all().is_empty(), "nothing was called");
}

#[tokio::test]
async fn more_classes_than_fit_a_function_s_variables_are_read_from_a_file() {
    let mut classes = Vec::new();
    for number in 0..60 {
        let mut class = runner_classes()[0].clone();
        (class["name"], class["labels"]) = (format!("class-{number}").into(), json!([format!("label-{number}")]));
        classes.push(class);
    }
    let json = Value::from(classes).to_string();
    assert!(json.len() > 4096);
    let path = std::env::temp_dir().join(format!("jitgate-classes-{}.json", std::process::id()));
    std::fs::write(&path, json).expect("a directory for temporary files that can be written");
    let world = World::on(Clock::system(), &[("RUNNER_CLASSES", &format!("file:{}", path.display()))]).await;
    let (webhook, worker) = (start(&world, "webhook").await, start(&world, "worker").await);
    let job = world.github.queue_job(JobSpec::labels(["label-59"]));
    let event = Delivery::signed("workflow_job", world.github.event(job, "queued").bytes()).event();
    assert_eq!(deliver(&webhook, &event.to_event(Front::FunctionUrl)).await, 202);
    work(&worker, &world).await.1.expect("an answer");
    std::fs::remove_file(&path).expect("it was there");
    assert_eq!(world.aws.ecs.live_tasks()[0].tags["jitgate:class"], "class-59");
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
    assert_eq!(deliver(&webhook, &delivery(&ended.bytes())).await, 200, "its end is refused nothing");
    let lines: Vec<Value> = webhook.lines().iter().filter_map(|line| serde_json::from_str(&line.text).ok()).collect();
    let refused: Vec<_> = lines.iter().filter(|line| line["message"] == "job refused").collect();
    assert_eq!((refused.len(), &refused[0]["level"]), (1, &json!("WARN")), "{lines:?}");
    assert_eq!((&refused[0]["job.id"], &refused[0]["repository"]), (&json!(job.0), &json!("octo-org/octo-repo")));
    assert!(refused[0]["reason"].as_str().unwrap().contains("too large: 4 vCPU at most"), "{refused:?}");
    assert_eq!(lines.iter().filter(|line| line["JobsRefused"] == 1).count(), 1, "{lines:?}");
}

/// All values of a metric, in the order in which they were written.
fn measured(function: &Function, metric: &str) -> Vec<Value> {
    let lines = function.lines();
    let values = lines.iter().filter_map(|line| serde_json::from_str::<Value>(&line.text).ok()?.get(metric).cloned());
    values.collect()
}

#[tokio::test]
async fn waiting_and_passing_are_measured() {
    let world = world().await;
    let (webhook, worker, cleaner) =
        (start(&world, "webhook").await, start(&world, "worker").await, start(&world, "cleaner").await);
    assert_eq!(deliver(&webhook, &delivery(&world)).await, 202);
    world.aws.faults().script("RunTask", Fault::Refuse(answers::access_denied("RunTask")));
    work(&worker, &world).await.1.expect("an answer");
    cleaner.invoke(&scheduled(world.clock.now())).await.expect("an answer");
    assert_eq!((measured(&worker, "JobsDenied"), measured(&worker, "JobsDeferred").len()), (vec![json!(1)], 0));
    let waited = measured(&worker, "JobWaited");
    assert!(matches!(&waited[..], [Value::Array(waits)] if waits.len() == 1), "{waited:?}");
    assert_eq!(measured(&cleaner, "Passes"), [json!(1)]);
}

#[tokio::test]
async fn a_queue_that_says_nothing_becomes_an_answer_before_lambda_ends_the_webhook() {
    let world = world().await;
    let webhook = start(&world, "webhook").await;
    world.aws.faults().script_times("SendMessage", Fault::Delay(Duration::from_mins(1)), 9);
    let answer = tokio::time::timeout(WEBHOOK_LIMIT, async { deliver(&webhook, &delivery(&world)).await });
    assert_eq!(answer.await.expect("its time is over"), 503);
}

#[tokio::test]
async fn a_release_that_looks_again_is_no_deferred_job() {
    let world = world().await;
    let (webhook, worker) = (start(&world, "webhook").await, start(&world, "worker").await);
    let job = world.github.queue_job(JobSpec::labels(["fargate"]));
    world.github.cancel_job(job);
    let completed = Delivery::signed("workflow_job", world.github.event(job, "completed").bytes());
    assert_eq!(deliver(&webhook, &completed.event().to_event(Front::FunctionUrl)).await, 202);
    work(&worker, &world).await.1.expect("an answer");
    assert_eq!(world.waiting(), 1, "nothing was found, so it looks again");
    assert_eq!(measured(&worker, "JobsDeferred"), Vec::<Value>::new());
}

#[tokio::test]
async fn a_password_in_an_url_is_refused_without_being_shown() {
    let world = world().await;
    for url in ["https://octocat:PASSWORD@github.example", "https://github.example/api/v3?access_token=PASSWORD"] {
        let url = url.replace("PASSWORD", PLANTED);
        let error = stopped_by(&world, "worker", "GITHUB_API_URL", &url).await;
        assert!(error.contains("GITHUB_API_URL") && !error.contains(PLANTED), "{error}");
    }
}

#[tokio::test]
async fn a_misspelt_log_level_stops_each_function_and_does_not_silence_it() {
    let world = world().await;
    for function in EVERY {
        let error = stopped_by(&world, function, "RUST_LOG", "inof").await;
        assert!(error.contains("RUST_LOG") && error.contains("found \"inof\""), "{error}");
    }
}

/// The table in docs/CONFIGURATION.md says, row by row, which functions a variable stops.
#[test]
fn no_documented_variable_goes_without_a_malformed_value() {
    let page = include_str!("../../docs/CONFIGURATION.md");
    let table = page.split_once("## Variables").and_then(|(_, rest)| rest.split_once("## ")).expect("a table").0;
    let documented = table.lines().filter(|line| line.starts_with("| `")).flat_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        cells[2].split(", ").map(|function| (cells[1].trim_matches('`'), function)).collect::<Vec<_>>()
    });
    let mut documented: BTreeSet<_> = documented.collect();
    // The worker reads them, but only the cleaner heeds them.
    for variable in ["DRY_RUN", "RECONCILE_REPOSITORIES", "RUNNER_VERSION_FLOOR", "WEBHOOK_URL"] {
        assert!(documented.insert((variable, "worker")), "{variable}");
    }
    let tried = malformed()
        .into_iter()
        .flat_map(|(functions, variable, ..)| functions.iter().map(move |&function| (variable, function)));
    assert_eq!(tried.collect::<BTreeSet<_>>(), documented);
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

/// What an answer shows that should have been read, not quoted: a secret's content, a token, a JIT config.
const PLANTED: &str = "Zm9yZXZlciBoaWRkZW4gaW4gdGhpcyBkZXBsb3ltZW50";

/// Everything that must never be seen, in all pieces that would be enough to recognise it.
struct Hidden {
    whole: Vec<String>,
    /// Of the App's key.
    sixteens: HashSet<Vec<u8>>,
    /// Of JIT configs.
    thirty_twos: HashSet<Vec<u8>>,
}

impl Hidden {
    fn of(world: &World) -> Self {
        let mut hidden = Self {
            whole: [WEBHOOK_SECRET, PERSONAL_TOKEN, PLANTED].map(str::to_owned).to_vec(),
            sixteens: HashSet::new(),
            thirty_twos: HashSet::new(),
        };
        let key = &AppKey::of_tests().private_pem;
        for line in key.lines().filter(|line| !line.starts_with("-----")) {
            hidden.sixteens.extend(line.as_bytes().windows(16).map(<[u8]>::to_vec));
        }
        for call in world.aws.calls().all().into_iter().filter(|call| call.operation == "RunTask") {
            let request: Value = serde_json::from_str(&call.body).expect("JSON");
            let environment = &request["overrides"]["containerOverrides"][0]["environment"];
            let config = environment[0]["value"].as_str().expect("a config");
            hidden.thirty_twos.extend(config.as_bytes().windows(32).map(<[u8]>::to_vec));
        }
        hidden
    }

    /// The first line of a text that shows something. `eyJ` is how signed tokens begin, and JIT configs; the other forms
    /// are those of GitHub's tokens.
    fn shown_in<'a>(&self, text: &'a str) -> Option<&'a str> {
        text.lines().find(|line| {
            self.whole.iter().any(|secret| line.contains(secret.as_str()))
                || line.as_bytes().windows(16).any(|piece| self.sixteens.contains(piece))
                || line.as_bytes().windows(32).any(|piece| self.thirty_twos.contains(piece))
                || ["ghs_", "ghp_", "eyJ"].iter().any(|form| {
                    line.match_indices(form).any(|(at, _)| {
                        line[at + form.len()..].chars().take_while(char::is_ascii_alphanumeric).count() >= 16
                    })
                })
        })
    }
}

/// Fails if something shows in a place where anybody may look.
fn assert_nothing_shows(world: &World, functions: &[&Function], said: &str, hidden: &Hidden) {
    let mut places: Vec<(String, String)> = vec![("an answer".to_owned(), said.to_owned())];
    places.extend(functions.iter().map(|function| (format!("the log of {function:?}"), function.output())));
    for queue in [JOB_QUEUE, DEAD_LETTER_QUEUE] {
        places.push((format!("the queue {queue}"), format!("{:?}", world.aws.sqs.messages(queue))));
    }
    for call in world.aws.calls().all().into_iter().chain(world.api.calls.all()) {
        places.push(("a URL".to_owned(), call.target));
        if call.operation == "SendMessage" {
            places.push(("a message".to_owned(), call.body));
        }
    }
    places.extend(world.aws.ecs.tasks().into_iter().map(|task| ("a tag".to_owned(), format!("{:?}", task.tags))));
    let shown =
        places.iter().filter_map(|(place, text)| Some(format!("{place} shows a secret: {}", hidden.shown_in(text)?)));
    let shown: Vec<_> = shown.collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

/// The operation's next calls, the SDK's own retries included, get this.
fn fail(world: &World, operation: &str, fault: &Fault) {
    world.aws.faults().script_times(operation, fault.clone(), 9);
    world.api.faults.script_times(operation, fault.clone(), 9);
}

fn mend(world: &World) {
    world.aws.faults().clear();
    world.api.faults.clear();
}

/// Lambda hears of a failed invocation, too, and writes it to the log.
fn heard(answer: Result<Value, FunctionError>) -> String {
    answer.map_or_else(|error| error.to_string(), |answer| answer.to_string()) + "\n"
}

/// An answer that says it went well, with a body that is not what it has to be.
fn garbage(status: u16, body: &str) -> Fault {
    let answer = http::Response::builder().status(status).header("content-type", "application/json");
    Fault::Refuse(answer.body(body.to_owned().into()).expect("an answer"))
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
        said += &heard(webhook.invoke(&forged.event().to_event(Front::HttpApi)).await);
    }
    let secret = github::GitHub::app_secret(WEBHOOK_SECRET).to_string();
    for unusable in
        [&format!("{{ not JSON: {WEBHOOK_SECRET}"), &secret.replace("BEGIN RSA", "BEGIN"), &json!([secret]).to_string()]
    {
        world.aws.secrets.rotate(SECRET_ID, unusable);
        webhook.restart().await;
        worker.restart().await;
        said += &heard(webhook.invoke(&delivery(&world)).await);
        // The worker finds another secret than the webhook did.
        world.aws.secrets.rotate(SECRET_ID, &secret);
        deliver(&webhook, &delivery(&world)).await;
        world.aws.secrets.rotate(SECRET_ID, unusable);
        if let Some(batch) = world.source.take() {
            said += &heard(worker.invoke(batch.event()).await);
        }
        said += &heard(cleaner.invoke(&scheduled(world.clock.now())).await);
        world.aws.secrets.rotate(SECRET_ID, &secret);
    }

    // What goes wrong behind it.
    for (operation, fault) in [
        ("RunTask", Fault::Refuse(answers::invalid_parameter("subnet"))),
        ("RunTask", Fault::Refuse(answers::capacity_unavailable())),
        ("RunTask", Fault::Refuse(answers::conflict(&["arn:aws:ecs:eu-central-1:123456789012:task/x/y".to_owned()]))),
        ("RunTask", Fault::Refuse(answers::ok(&json!({ "unexpected": true })))),
        ("RunTask", Fault::Drop),
        ("SendMessage", Fault::Refuse(answers::server_exception())),
        ("generate-jitconfig", Fault::Refuse(github::answers::bad_credentials())),
        ("generate-jitconfig", Fault::Refuse(github::answers::forbidden())),
        ("generate-jitconfig", Fault::Refuse(github::answers::secondary_limit(Some(Duration::from_secs(1))))),
        ("generate-jitconfig", Fault::Refuse(github::answers::validation_failed(&["labels"]))),
        ("generate-jitconfig", Fault::Refuse(github::answers::server_error())),
        ("generate-jitconfig", Fault::Refuse(github::answers::bad_gateway())),
        ("generate-jitconfig", Fault::LoseAnswer),
        ("access-token", Fault::Refuse(github::answers::forbidden())),
        ("access-token", Fault::Refuse(github::answers::bad_credentials())),
        ("access-token", Fault::Refuse(github::answers::error(422, "The permissions requested are not granted."))),
        ("access-token", Fault::Drop),
    ] {
        worker.restart().await;
        cleaner.restart().await;
        assert_eq!(deliver(&webhook, &delivery(&world)).await, 202);
        fail(&world, operation, &fault);
        said += &heard(work(&worker, &world).await.1);
        said += &heard(cleaner.invoke(&scheduled(world.clock.now())).await);
        mend(&world);
    }
    world.aws.sqs.put(JOB_QUEUE, "nothing that can be read");
    said += &heard(work(&worker, &world).await.1);

    let mut hidden = Hidden::of(&world);
    hidden.whole.push(right);
    assert!(hidden.sixteens.len() > 1000 && hidden.thirty_twos.len() > 1000);
    let log = worker.output();
    assert!(log.contains("job deferred") && log.contains("job given up") && log.contains("runner launched"), "{log}");
    assert_nothing_shows(&world, &[&webhook, &worker, &cleaner], &said, &hidden);
}

/// Each function meets the answer at its first call, when it has nothing cached.
async fn assert_not_quoted(world: &World, operation: &str, answer: &Fault) {
    let (webhook, worker) = (start(world, "webhook").await, start(world, "worker").await);
    let cleaner = start(world, "cleaner").await;
    assert_eq!(deliver(&webhook, &delivery(world)).await, 202);
    webhook.restart().await;
    fail(world, operation, answer);
    let said = [
        heard(webhook.invoke(&delivery(world)).await),
        heard(work(&worker, world).await.1),
        heard(cleaner.invoke(&scheduled(world.clock.now())).await),
    ];
    mend(world);
    let functions = [&webhook, &worker, &cleaner];
    assert!(functions.iter().any(|function| function.output().contains("error")), "{operation}: nobody noticed");
    assert_nothing_shows(world, &functions, &said.concat(), &Hidden::of(world));
}

#[tokio::test]
async fn an_answer_of_githubs_that_cannot_be_read_is_not_quoted() {
    let mut world = world().await;
    world.let_github_talk_nonsense();
    for (operation, body) in [
        ("access-token", format!(r#"{{"token":["{PLANTED}"],"expires_at":"2026-11-02T10:00:00Z"}}"#)),
        ("access-token", format!(r#"{{"token":"x","expires_at":"{PLANTED}"}}"#)),
        ("access-token", PLANTED.to_owned()),
        ("generate-jitconfig", format!(r#"{{"runner":{{"id":"{PLANTED}"}},"encoded_jit_config":"x"}}"#)),
        ("generate-jitconfig", format!(r#"{{"encoded_jit_config":"{PLANTED}"#)),
    ] {
        assert_not_quoted(&world, operation, &garbage(201, &body)).await;
    }
}

/// A task as ECS shows it carries its JIT config, a secret's value all there is.
#[tokio::test]
async fn an_answer_of_awss_that_cannot_be_read_is_not_quoted() {
    let cut_off = format!(r#"{{"tasks":[{{"overrides":{{"containerOverrides":[{{"environment":[{{"value":"{PLANTED}"#);
    for (operation, status, body) in [
        ("GetSecretValue", 200, format!(r#"{{"Name":"jitgate/github","SecretString":"{PLANTED}"#)),
        ("GetSecretValue", 200, format!(r#"{{"SecretString":{{"token":"{PLANTED}"}}}}"#)),
        ("GetSecretValue", 500, format!(r#"{{"SecretString":"{PLANTED}"}}"#)),
        ("RunTask", 200, cut_off.clone()),
        ("RunTask", 500, cut_off.clone()),
        ("DescribeTasks", 200, cut_off.clone()),
    ] {
        assert_not_quoted(&world().await, operation, &garbage(status, &body)).await;
    }
}

#[tokio::test]
async fn a_personal_access_token_shows_nowhere() {
    let world = world().await;
    world.github.add_personal_token(PERSONAL_TOKEN, &["admin:org", "repo"]);
    let secret = json!({ "token": PERSONAL_TOKEN, "webhook_secret": WEBHOOK_SECRET });
    world.aws.secrets.put(SECRET_ID, &secret.to_string());
    let (webhook, worker) = (start(&world, "webhook").await, start(&world, "worker").await);
    let cleaner = start(&world, "cleaner").await;
    let mut said = String::new();
    for answer in [None, Some(github::answers::bad_credentials()), Some(github::answers::forbidden())] {
        worker.restart().await;
        cleaner.restart().await;
        assert_eq!(deliver(&webhook, &delivery(&world)).await, 202);
        for operation in ["generate-jitconfig", "list-runners"] {
            if let Some(answer) = &answer {
                fail(&world, operation, &Fault::Refuse(answer.clone()));
            }
        }
        said += &heard(work(&worker, &world).await.1);
        said += &heard(cleaner.invoke(&scheduled(world.clock.now())).await);
        mend(&world);
    }
    assert_eq!((world.live_tasks(), world.api_calls("access-token")), (1, 0));
    assert_nothing_shows(&world, &[&webhook, &worker, &cleaner], &said, &Hidden::of(&world));
}
