//! The tables in the docs agree with the code.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use cleaner::plan::PASS_INTERVAL;
use jitgate::classes::{Asked, RunnerClasses, systems};
use jitgate::config::{ConfigError, Environment, FleetConfig, WebhookConfig};
use jitgate::ecs::{EcsError, RunError};
use jitgate::github::GitHubError;
use jitgate::job::{Attempt, Progress};
use jitgate::queue::QueueError;
use jitgate::secret::SecretError;
use jitgate_tests::tls::PrivateAuthority;
use jitgate_tests::world::START;
use time::{Duration, OffsetDateTime};
use worker::verdict::{
    Aftermath, FIRST_DELAY, Judgement, LONGEST_GROWING_DELAY, LONGEST_LIMIT_DELAY, LaunchError, MENDING_DELAY,
    SETTLING_DELAY, SHORTEST_LIMIT_DELAY, Verdict, judge,
};

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cells of a Markdown table's rows, without its head.
fn rows(table: &str) -> Vec<Vec<String>> {
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from}"));
    rest.split_once(to).unwrap_or_else(|| panic!("no {to}")).0
}

#[test]
fn the_document_names_every_variable_the_code_reads_and_no_other() {
    let page = file("docs/CONFIGURATION.md");
    let table = between(&page, "## Variables", "## Runner classes");
    let named: BTreeSet<String> = rows(table).into_iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    let files = ["config/common.rs", "config/fleet.rs", "config/github.rs", "config/webhook.rs", "telemetry.rs"];
    let before_tests = |path| {
        let source = file(&format!("shared/src/{path}"));
        source.split("#[cfg(test)]").next().expect("the part before the tests").to_owned()
    };
    let code = files.map(before_tests).concat();
    let is_variable = |text: &&str| {
        text.len() > 3 && text.contains('_') && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    let read: BTreeSet<String> = code.split('"').skip(1).step_by(2).filter(is_variable).map(str::to_owned).collect();
    assert!(read.len() >= 9, "{read:?}");
    assert_eq!(named, read);
}

#[test]
fn each_promise_has_a_test_that_exists_or_says_on_what_it_rests() {
    fn sources(dir: &Path, all: &mut String) {
        for entry in std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                sources(&entry, all);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                all.push_str(&std::fs::read_to_string(entry).expect("text"));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all = String::new();
    for dir in ["shared/src", "functions", "infra/cli/src", "tests/tests"] {
        sources(&root.join(dir), &mut all);
    }
    let page = file("SECURITY.md");
    let promises = rows(between(&page, "<!-- promises -->", "<!-- /promises -->"));
    assert!(promises.len() >= 15, "{promises:?}");
    for promise in promises {
        assert!(promise.len() == 4 && promise.iter().all(|cell| !cell.is_empty()), "{promise:?}");
        for place in promise[2].split('`').skip(1).step_by(2) {
            assert!(root.join(place).is_file(), "{place} of {:?}", promise[0]);
        }
        let tests: Vec<&str> = promise[3].split('`').skip(1).step_by(2).filter(|name| name.len() > 25).collect();
        assert!(!tests.is_empty() || promise[3].contains("est on") || promise[3].contains("ests on"), "{promise:?}");
        for test in tests {
            assert!(all.contains(&format!("fn {test}(")), "no test {test}");
        }
    }
}

#[test]
fn the_stacks_security_group_has_no_inbound_rule() {
    let template = file("template.yaml");
    let group = between(&template, "  RunnerSecurityGroup:\n", "\n\n");
    assert!(group.contains("SecurityGroupEgress:") && !group.contains("Ingress"), "{group}");
    assert!(!template.contains("SecurityGroupIngress"));
    let module = file("infra/terraform/runners.tf");
    let group = between(&module, "resource \"aws_security_group\" \"runners\"", "\n}\n");
    assert!(group.contains("egress {") && !group.contains("ingress {"), "{group}");
    assert!(!module.contains("aws_security_group_rule") && !module.contains("aws_vpc_security_group_ingress_rule"));
}

/// Without it, a resource policy that names everybody, or all of an organisation, would grant to jobs, too.
#[test]
fn the_role_of_jobs_denies_everything() {
    let template = file("template.yaml");
    let role = between(&template, "  RunnerTaskRole:\n", "\n\n");
    assert!(role.contains("{Effect: Deny, Action: \"*\", Resource: \"*\"}"), "{role}");
    let module = file("infra/terraform/runners.tf");
    let policy = between(&module, "data \"aws_iam_policy_document\" \"runner_task\"", "\n}\n");
    let policy = policy.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(policy.contains("effect = \"Deny\" actions = [\"*\"] resources = [\"*\"]"), "{policy}");
    assert!(module.contains("resource \"aws_iam_role_policy\" \"runner_task\""));
}

/// Under a flood of forgeries, Lambda would otherwise write two lines of its own for each.
#[test]
fn lambda_writes_no_lines_of_its_own_for_a_request() {
    let template = file("template.yaml");
    let webhook = between(&template, "  WebhookFunction:\n", "\n\n");
    assert!(webhook.contains("SystemLogLevel: WARN"), "{webhook}");
    assert!(file("infra/terraform/webhook.tf").contains("system_log_level      = \"WARN\""));
}

/// A job writes what it likes to its container's output. In a group of the standard class, CloudWatch would make metrics of
/// lines in the embedded metric format.
#[test]
fn the_runners_output_has_the_log_class_without_metrics_and_a_retention() {
    let template = file("template.yaml");
    let group = between(&template, "  RunnerLogGroup:\n", "\n\n");
    assert!(group.contains("LogGroupClass: INFREQUENT_ACCESS"), "{group}");
    assert!(group.contains("RetentionInDays: !Ref LogRetention"), "{group}");
    let module = file("infra/terraform/runners.tf");
    let group = between(&module, "resource \"aws_cloudwatch_log_group\" \"runners\"", "\n}\n");
    let group = group.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(group.contains("log_group_class = \"INFREQUENT_ACCESS\""), "{group}");
    assert!(group.contains("retention_in_days = var.log_retention"), "{group}");
}

/// Lists all paths, and maps an error to its own, from the same lines. A new variant does not compile without a line
/// here, and fails the test without a value below and a row in the table.
macro_rules! paths {
    ($($pattern:pat => $path:literal,)*) => {
        const PATHS: &[&str] = &[$($path),*];

        fn path(error: &LaunchError) -> &'static str {
            match error {
                $($pattern => $path,)*
            }
        }
    };
}

paths! {
    LaunchError::GitHub(GitHubError::NotFound { .. }) => "GitHubError::NotFound",
    LaunchError::GitHub(GitHubError::RateLimited { .. }) => "GitHubError::RateLimited",
    LaunchError::GitHub(GitHubError::TokenTooNew { .. }) => "GitHubError::TokenTooNew",
    LaunchError::GitHub(GitHubError::Paced { .. }) => "GitHubError::Paced",
    LaunchError::GitHub(GitHubError::Denied { .. }) => "GitHubError::Denied",
    LaunchError::GitHub(GitHubError::Full { .. }) => "GitHubError::Full",
    LaunchError::GitHub(GitHubError::Refused { .. }) => "GitHubError::Refused",
    LaunchError::GitHub(GitHubError::Rejected { .. }) => "GitHubError::Rejected",
    LaunchError::GitHub(GitHubError::BadName { .. }) => "GitHubError::BadName",
    LaunchError::GitHub(GitHubError::Unavailable { .. }) => "GitHubError::Unavailable",
    LaunchError::GitHub(GitHubError::Silent { .. }) => "GitHubError::Silent",
    LaunchError::GitHub(GitHubError::Secret(SecretError::Unreadable { .. })) => "SecretError::Unreadable",
    LaunchError::GitHub(GitHubError::Secret(SecretError::OutOfReach { .. })) => "SecretError::OutOfReach",
    LaunchError::GitHub(GitHubError::Secret(SecretError::Unusable { .. })) => "SecretError::Unusable",
    LaunchError::Run(RunError::TooLarge { .. }) => "RunError::TooLarge",
    LaunchError::Run(RunError::NoCapacity { .. }) => "RunError::NoCapacity",
    LaunchError::Run(RunError::Throttled { .. }) => "RunError::Throttled",
    LaunchError::Run(RunError::Denied { .. }) => "RunError::Denied",
    LaunchError::Run(RunError::Unready { .. }) => "RunError::Unready",
    LaunchError::Run(RunError::Rejected { .. }) => "RunError::Rejected",
    LaunchError::Run(RunError::Unknown { .. }) => "RunError::Unknown",
    LaunchError::Run(RunError::Unavailable { .. }) => "RunError::Unavailable",
    LaunchError::Run(RunError::Silent { .. }) => "RunError::Silent",
    LaunchError::Ecs(EcsError::Denied { .. }) => "EcsError::Denied",
    LaunchError::Ecs(EcsError::Failed { .. }) => "EcsError::Failed",
    LaunchError::Queue(_) => "LaunchError::Queue",
    LaunchError::Unsure { .. } => "LaunchError::Unsure",
    LaunchError::RunNotShown => "LaunchError::RunNotShown",
    LaunchError::NamesTaken => "LaunchError::NamesTaken",
    LaunchError::LimitReached { .. } => "LaunchError::LimitReached",
    LaunchError::Standstill { .. } => "LaunchError::Standstill",
    LaunchError::Braked { .. } => "LaunchError::Braked",
}

fn one_of_each(until: OffsetDateTime) -> Vec<LaunchError> {
    let words = || "words".to_owned();
    let secret = |error: SecretError| LaunchError::GitHub(error.into());
    vec![
        GitHubError::NotFound { message: words() }.into(),
        GitHubError::RateLimited { until }.into(),
        GitHubError::TokenTooNew { until }.into(),
        GitHubError::Paced { until }.into(),
        GitHubError::Denied { until, reason: words() }.into(),
        GitHubError::Full { message: words() }.into(),
        GitHubError::Refused { status: 422, message: words() }.into(),
        GitHubError::Rejected { status: 422, message: words() }.into(),
        GitHubError::BadName { name: words() }.into(),
        GitHubError::Unavailable { status: 500, message: words() }.into(),
        GitHubError::Silent { cause: words() }.into(),
        secret(SecretError::Unreadable { id: words(), cause: words() }),
        secret(SecretError::OutOfReach { id: words(), cause: words() }),
        secret(SecretError::Unusable { id: words(), problem: words() }),
        RunError::TooLarge { characters: 9000 }.into(),
        RunError::NoCapacity { reason: words() }.into(),
        RunError::Throttled { reason: words() }.into(),
        RunError::Denied { reason: words() }.into(),
        RunError::Unready { reason: words() }.into(),
        RunError::Rejected { reason: words() }.into(),
        RunError::Unknown { reason: words() }.into(),
        RunError::Unavailable { reason: words() }.into(),
        RunError::Silent { reason: words() }.into(),
        EcsError::Denied { call: "ListTasks", reason: words() }.into(),
        EcsError::Failed { call: "ListTasks", reason: words() }.into(),
        QueueError::new(&words()).into(),
        LaunchError::Unsure { task: words() },
        LaunchError::RunNotShown,
        LaunchError::NamesTaken,
        LaunchError::LimitReached { of: words(), limit: 3, waited: Duration::ZERO },
        LaunchError::LimitReached { of: words(), limit: 3, waited: Duration::minutes(10) },
        LaunchError::LimitReached { of: words(), limit: 3, waited: Duration::hours(20) },
        LaunchError::Standstill { until, reason: words() },
        LaunchError::Braked { until, reason: words() },
    ]
}

/// Asserts that `waits` is within the bounds that the table gives.
fn assert_within(error: &LaunchError, waits: Duration, least: Duration, most: Duration) {
    assert!((least..=most).contains(&waits), "{}: {waits} is not within {least} and {most}", path(error));
}

/// The settings that all functions read from an environment with the required variables and this one.
fn settings(variable: &str, value: &str) -> Result<String, ConfigError> {
    let mut environment: HashMap<&str, &str> = HashMap::from([
        ("JOB_QUEUE_URL", "https://sqs.example/1/jobs"),
        ("GITHUB_SECRET_ID", "github"),
        ("ECS_CLUSTER", "cluster"),
        ("RUNNER_CLASSES", r#"[{"name":"a","labels":["l"],"task_definition":"t","subnets":["s"]}]"#),
    ]);
    environment.insert(variable, value);
    let authority;
    match (variable, value) {
        ("GITHUB_ENTERPRISE", _) => {
            environment.insert("RUNNER_SCOPE", "enterprise");
        }
        // An existing file in place of the example's.
        ("GITHUB_CA_FILE", example) if !example.is_empty() => {
            authority = PrivateAuthority::new();
            environment.insert(variable, authority.file());
        }
        _ => {}
    }
    let environment: Environment = environment.into_iter().collect();
    let webhook = WebhookConfig::from_environment(&environment)?;
    Ok(format!("{webhook:?} {:?}", FleetConfig::from_environment(&environment)?))
}

#[test]
fn the_documents_examples_work_and_its_defaults_are_what_absence_means() {
    let page = file("docs/CONFIGURATION.md");
    for row in rows(between(&page, "## Variables", "## Runner classes")) {
        let [variable, _, _, default, example] = &row[..] else { panic!("five columns: {row:?}") };
        let (variable, example) = (variable.trim_matches('`'), example.trim_matches('`'));
        let with_example = settings(variable, example).unwrap_or_else(|error| panic!("{error}"));
        let absent = settings(variable, "");
        match default.as_str() {
            default if default.starts_with("required") => assert_eq!(absent.expect_err(variable).variable, variable),
            "none" => assert!(absent.unwrap().contains("None"), "{variable}"),
            default => {
                assert_eq!(absent.unwrap(), settings(variable, default.trim_matches('`')).unwrap(), "{variable}");
            }
        }
        if variable != "RUST_LOG" {
            assert_ne!(with_example, settings("", "").unwrap(), "{variable}: the example has no effect");
        }
    }
}

#[test]
fn the_table_of_verdicts_is_what_is_decided() {
    let module = file("functions/worker/src/verdict.rs").replace("//! ", "");
    let rows = rows(between(&module, "The verdicts, which a test", "| delay | how long |"));
    let until = START + Duration::minutes(20);
    let errors = one_of_each(until);
    let documented: BTreeSet<_> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(errors.iter().map(path).collect::<BTreeSet<_>>(), PATHS.iter().copied().collect(), "one of each");
    assert_eq!(documented, PATHS.iter().copied().collect(), "the same errors");
    assert_eq!(rows.len(), PATHS.len(), "each of them once");
    for row in &rows {
        for error in errors.iter().filter(|error| path(error) == row[0].trim_matches('`')) {
            assert_row(row, error, until);
        }
    }
}

fn assert_row(row: &[String], error: &LaunchError, until: OffsetDateTime) {
    let is_passing = matches!(error, LaunchError::GitHub(error) if error.is_passing());
    let (verdict, delay) = (row[1].as_str(), row[2].as_str());
    assert_eq!(verdict.starts_with("retried"), is_passing, "{}", path(error));
    for (backoff, chance) in [(0, 0.0), (0, 0.999), (3, 0.0), (3, 0.5), (30, 0.999)] {
        let progress = Progress { backoff, ..Progress::new(Attempt::FIRST, START) };
        let settled = Aftermath { unsettled: false, asked: false };
        let Judgement { verdict: judged, next, .. } = judge(error, &progress, settled, START, chance);
        let Verdict::Defer { until: moment } = judged else {
            assert_eq!((verdict, delay), ("given up", "none"), "{}", path(error));
            continue;
        };
        assert!(verdict.ends_with("deferred"), "{}", path(error));
        assert_eq!(next.backoff > backoff, matches!(delay, "growing" | "settling"), "{}", path(error));
        let waits = moment - START;
        let grown = (FIRST_DELAY * 2_i32.pow(backoff.min(10))).min(LONGEST_GROWING_DELAY);
        let spread = [Duration::seconds(3), Duration::seconds(5)];
        let (least, most) = match delay {
            "exactly" => (until - START, until - START),
            "until" => (until - START + spread[0], until - START + spread[1]),
            "mending" => (MENDING_DELAY + spread[0], MENDING_DELAY + spread[1]),
            "settling" => (SETTLING_DELAY, SETTLING_DELAY),
            "growing" => (grown * 3 / 4, grown * 5 / 4),
            "limit" => {
                let LaunchError::LimitReached { waited, .. } = error else { panic!("{}", path(error)) };
                let usual = match waited.whole_minutes() {
                    0 => LONGEST_LIMIT_DELAY,
                    10 => Duration::seconds(45),
                    _ => SHORTEST_LIMIT_DELAY,
                };
                (usual * 3 / 4, usual * 5 / 4)
            }
            other => panic!("{}: what is {other:?}?", path(error)),
        };
        assert_within(error, waits, least, most);
    }
}

#[test]
fn the_document_names_every_key_of_a_class() {
    let page = file("docs/CONFIGURATION.md");
    let table = between(&page, "## Runner classes", "A job fits a class when");
    let keys = rows(table).into_iter().map(|row| row[0].clone());
    let named: BTreeSet<String> = keys
        .flat_map(|cell| cell.split(", ").map(|key| key.trim_matches('`').to_owned()).collect::<Vec<_>>())
        .collect();
    let error = RunnerClasses::parse(r#"[{"no such key":1}]"#).expect_err("an unknown key");
    let known: BTreeSet<String> = error.split('`').skip(3).step_by(2).map(str::to_owned).collect();
    assert_eq!(named, known, "{error}");
}

/// What a job gets, in the table's words.
fn verdict(classes: &RunnerClasses, repository: &str, labels: &[String]) -> (String, String) {
    let fit = match classes.fit(&Asked { owner: "octo-org", repository, labels }) {
        Ok(fit) => fit,
        Err(misfit) => return ("none".to_owned(), misfit.to_string()),
    };
    let placements = classes.placements(&fit);
    let first = placements.first().expect("a placement");
    let size = first.size.map_or("the task definition's size".to_owned(), |size| size.to_string());
    let disk = first.disk.map_or(String::new(), |disk| format!(", {disk} of disk"));
    let capacities: Vec<_> = placements.iter().map(|each| each.capacity.to_string()).collect();
    let runner = format!("{size}{disk}, {}, {}", first.architecture, capacities.join(" then "));
    (fit.class.name.clone(), runner)
}

#[test]
fn the_truth_table_of_labels_is_what_is_done() {
    let page = file("docs/LABELS.md");
    let json = between(between(&page, "<!-- classes -->", "and the repository is"), "```json", "```");
    let classes = RunnerClasses::parse(json).unwrap();
    let rows = rows(between(&page, "<!-- truth -->", "<!-- /truth -->"));
    assert!(rows.len() > 40, "{}", rows.len());
    let named: BTreeSet<_> = rows.iter().map(|row| row[1].as_str()).collect();
    assert_eq!(named, classes.iter().map(|class| class.name.as_str()).chain(["none"]).collect(), "each class occurs");
    let mut wrong = Vec::new();
    for row in &rows {
        let [asked, class, says] = &row[..] else { panic!("three columns: {row:?}") };
        let repository = if asked.contains("secret-tools") { "secret-tools" } else { "octo-repo" };
        let labels: Vec<String> = asked.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let found = verdict(&classes, repository, &labels);
        if found != (class.clone(), says.clone()) {
            wrong.push(format!("{asked}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn labels_of_other_systems_get_what_their_documentation_says() {
    let page = file("docs/LABELS.md");
    let json = between(between(&page, "<!-- systems -->", "<!-- /systems -->"), "```json", "```");
    let classes = RunnerClasses::parse(json).unwrap();
    let mut wrong = Vec::new();
    for system in systems() {
        let rows = rows(between(&page, &format!("<!-- system {system} -->"), "<!-- /system -->"));
        let table = file(&format!("shared/src/classes/compatible/{system}.json"));
        let table: serde_json::Value = serde_json::from_str(&table).expect("JSON");
        let section = between(&page, &format!("`\"{system}\"`. Sources:"), "<!-- system");
        let sources = table["source"].as_array().expect("sources").iter().enumerate();
        let sources: Vec<_> =
            sources.map(|(at, each)| format!("{}. {}", at + 1, each.as_str().expect("text"))).collect();
        let listed: Vec<_> =
            section.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit())).collect();
        assert_eq!(listed, sources, "{system}");
        let cited = rows.iter().filter(|row| row[3].parse().is_ok_and(|at: usize| (1..=sources.len()).contains(&at)));
        let (cited, made_up) = (cited.count(), rows.iter().filter(|row| row[3] == "-").count());
        assert!(cited >= 15 && cited + made_up == rows.len(), "{system}: {cited} and {made_up} of {}", rows.len());
        for row in &rows {
            let [asked, gets, besides, _] = &row[..] else { panic!("four columns: {row:?}") };
            let labels: Vec<String> = asked.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            let (class, runner) = verdict(&classes, "octo-repo", &labels);
            let found = if class == "none" {
                (class, runner.trim_start_matches("class any: ").to_owned())
            } else {
                let asked = Asked { owner: "octo-org", repository: "octo-repo", labels: &labels };
                let left_out = classes.named(&class).expect("it is there").left_out(&asked);
                let left_out = left_out.into_iter().map(|(_, what)| what).collect::<Vec<_>>().join("; ");
                (runner, if left_out.is_empty() { "nothing".to_owned() } else { left_out })
            };
            if found != (gets.clone(), besides.clone()) {
                wrong.push(format!("{asked}: {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_schedule_is_the_interval_that_the_cleaners_moments_follow_from() {
    let rate = format!("rate({} minutes)", PASS_INTERVAL.whole_minutes());
    for deployment in ["template.yaml", "infra/terraform/cleaner.tf"] {
        let text = file(deployment);
        let schedules = text.lines().filter_map(|line| line.find("rate(").map(|at| line[at..].trim_end_matches('"')));
        assert_eq!(schedules.collect::<Vec<_>>(), [rate.as_str()], "{deployment}");
    }
}
