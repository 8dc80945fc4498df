//! Variables: which malformed value stops which function, and with which message.

use std::collections::BTreeSet;

use jitgate::clock::Clock;
use jitgate_tests::github::JobSpec;
use jitgate_tests::lambda::http_event::Front;
use jitgate_tests::lambda::{Function, FunctionError};
use jitgate_tests::world::{Delivery, World, runner_classes};
use serde_json::{Value, json};

use crate::{PLANTED, deliver, start, work, world};

const EVERY: [&str; 3] = ["webhook", "worker", "cleaner"];

const FLEET: [&str; 2] = ["worker", "cleaner"];

/// For each variable a malformed value, the functions that it stops, and what the message says was found and expected.
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
        (&EVERY, "ALLOWED_INSTALLATIONS", "octo org", "found \"octo org\"", "logins"),
        (&EVERY, "REPORT_TO_GITHUB", "statuses", "found \"statuses\"", "\"none\" or \"checks\""),
        (&["worker"], "MAX_RUNNERS", "-1", "found \"-1\"", "a whole number of runners"),
        (&["worker"], "RUNNER_SECURITY_GROUPS", "default", "found \"default\"", "ids of security groups"),
        (&EVERY, "RUNNER_NAME_PREFIX", "jit-eu", "found \"jit-eu\"", "1 to 12 lower-case letters and digits"),
        (&FLEET, "DRY_RUN", "perhaps", "found \"perhaps\"", "true or false"),
        (&FLEET, "RECONCILE_REPOSITORIES", "octo-org", "found \"octo-org\"", "owner/name"),
        (&FLEET, "RUNNER_VERSION_FLOOR", "latest", "found \"latest\"", "2.329.0"),
        (&FLEET, "WEBHOOK_URL", "here", "found \"here\"", "the URL that hooks deliver to"),
    ]
}

/// The message of a function that this variable stops at its start.
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

/// The table in docs/CONFIGURATION.md lists which functions read a variable.
#[test]
fn no_documented_variable_goes_without_a_malformed_value() {
    let page = include_str!("../../../docs/CONFIGURATION.md");
    let table = page.split_once("## Variables").and_then(|(_, rest)| rest.split_once("## ")).expect("a table").0;
    let documented = table.lines().filter(|line| line.starts_with("| `")).flat_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        cells[2].split(", ").map(|function| (cells[1].trim_matches('`'), function)).collect::<Vec<_>>()
    });
    let mut documented: BTreeSet<_> = documented.collect();
    // The worker parses them, but only the cleaner uses them.
    for variable in ["DRY_RUN", "RECONCILE_REPOSITORIES", "RUNNER_VERSION_FLOOR", "WEBHOOK_URL"] {
        assert!(documented.insert((variable, "worker")), "{variable}");
    }
    let tried = malformed()
        .into_iter()
        .flat_map(|(functions, variable, ..)| functions.iter().map(move |&function| (variable, function)));
    assert_eq!(tried.collect::<BTreeSet<_>>(), documented);
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
