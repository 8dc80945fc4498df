//! The causes that `jitgate why` names, each with the story that produces it.

use std::collections::BTreeSet;
use std::path::Path;

/// Stories of this package.
const HERE: &[(&str, &str)] = &[
    // GitHub holds the job back, or its job is done.
    ("waits-at-github", "a_deployment_that_waits_for_approval"),
    ("runs", "a_job_that_runs_and_one_that_was_cancelled"),
    ("ended", "a_deployment_that_waits_for_approval"),
    ("ended-without-runner", "a_job_that_runs_and_one_that_was_cancelled"),
    ("no-such-job", "a_job_that_nobody_knows"),
    ("run-ended", "a_run_that_has_ended_with_its_job_queued"),
    // GitHub does not tell of it.
    ("not-installed", "an_app_that_is_not_installed"),
    ("suspended", "an_installation_that_is_suspended"),
    ("never-delivered", "a_job_that_github_never_announced"),
    // The delivery fails.
    ("secrets-differ", "webhook_secrets_that_differ"),
    ("content-type", "an_app_that_delivers_forms"),
    ("webhook-fails", "a_webhook_that_cannot_read_its_secret"),
    ("queue-refuses", "a_queue_that_takes_nothing"),
    ("webhook-closed", "answers_of_others_than_the_webhook"),
    ("webhook-elsewhere", "answers_of_others_than_the_webhook"),
    ("webhook-throttled", "answers_of_others_than_the_webhook"),
    ("webhook-silent", "answers_of_others_than_the_webhook"),
    ("delivery-failed", "answers_of_others_than_the_webhook"),
    // The fleet does not take it.
    ("no-class", "labels_that_fit_no_class"),
    ("misfit", "a_size_that_the_class_does_not_permit"),
    ("no-labels", "no_labels_but_a_group"),
    ("public-repository", "a_public_repository"),
    ("fork", "a_pull_request_from_a_fork"),
    ("account-not-allowed", "an_account_that_is_not_served"),
    // Its message waits.
    ("queued", "a_worker_that_takes_no_messages"),
    ("worker-late", "a_worker_that_takes_no_messages"),
    ("worker-off", "a_worker_that_takes_no_messages"),
    // Its launch is put off or given up.
    ("runner-limit", "a_runner_limit_that_is_reached"),
    ("no-capacity", "no_capacity_and_since_when"),
    ("class-fails", "a_class_whose_runners_fail"),
    ("github-limit", "what_github_refuses_for_a_while"),
    ("github-pace", "more_registrations_than_github_takes_in_a_minute"),
    ("github-denies", "a_permission_that_was_taken_away"),
    ("github-not-found", "what_github_refuses_for_a_while"),
    ("github-outage", "what_github_refuses_for_a_while"),
    ("github-silent", "what_github_refuses_for_a_while"),
    ("registrations-full", "what_github_refuses_for_a_while"),
    ("token-too-new", "a_token_that_github_does_not_know_everywhere"),
    ("runner-group-missing", "a_runner_group_that_does_not_exist"),
    ("secret-unusable", "a_secret_without_a_key"),
    ("secret-out-of-reach", "a_secret_that_the_worker_may_not_read"),
    ("ecs-denies", "what_ecs_refuses_for_a_while"),
    ("ecs-not-ready", "what_ecs_refuses_for_a_while"),
    ("ecs-throttles", "what_ecs_refuses_for_a_while"),
    ("ecs-outage", "what_ecs_refuses_for_a_while"),
    ("ecs-silent", "what_ecs_refuses_for_a_while"),
    ("given-up", "what_can_never_be_launched"),
    // Its task is started.
    ("starting", "a_task_that_starts_and_one_that_takes_long"),
    ("starts-slowly", "a_task_that_starts_and_one_that_takes_long"),
    ("no-way-out", "a_task_that_does_not_start"),
    ("image-missing", "a_task_that_does_not_start"),
    ("image-denied", "a_task_that_does_not_start"),
    ("registry-limits-pulls", "a_task_that_does_not_start"),
    ("image-architecture", "a_task_that_does_not_start"),
    ("spot-interruption", "spot_capacity_that_was_taken_back"),
    ("out-of-memory", "a_runner_that_runs_out_of_memory_or_ends"),
    ("runner-ended", "a_runner_that_runs_out_of_memory_or_ends"),
    ("docker-failed", "a_docker_daemon_that_ends"),
    ("runner-version-refused", "a_runner_version_that_github_turns_away"),
    ("connecting", "a_runner_that_does_not_connect"),
    ("runner-offline", "a_runner_that_does_not_connect"),
    ("registration-gone", "a_registration_that_somebody_deleted"),
    ("swapped", "a_runner_that_does_another_job"),
    ("github-assigns-nothing", "github_that_gives_nobody_a_job"),
    ("group-closed", "a_group_that_does_not_admit_the_repository"),
];

/// Causes that only a table of recorded words produces: `each_cause_is_named` in `infra/cli/src/why/tests.rs`, or nothing,
/// where the kind only tells the operator's hint from others.
const ELSEWHERE: &[&str] = &[
    "event-off",
    "ignored",
    "gone",
    "unknown",
    "other",
    "github-certificate",
    "github-refuses",
    "secret-unread",
    "ecs-refuses",
    "ecs-unknown",
    "overrides-too-large",
    "unsure",
    "run-not-shown",
    "names-taken",
];

fn sources(dir: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(dir);
    let files = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let texts = files.map(|file| std::fs::read_to_string(file.expect("a file").path()).unwrap_or_default());
    texts.collect()
}

/// The kinds in the command's sources: the first argument of each `Cause::new` and `meaning`, or what is matched to them.
fn kinds() -> BTreeSet<String> {
    let text = sources("infra/cli/src/why") + &sources("infra/cli/src/why/cause");
    let mut found = BTreeSet::new();
    for beginning in ["Cause::new(", "meaning(", "=> (", "=> {\n            ("] {
        for rest in text.split(beginning).skip(1) {
            let Some(rest) = rest.trim_start().strip_prefix('"') else { continue };
            found.extend(rest.split('"').next().map(str::to_owned));
        }
    }
    found
}

#[test]
fn each_cause_has_its_story() {
    let stories = sources("tests/tests/why");
    for (kind, story) in HERE {
        assert!(stories.contains(&format!("async fn {story}(")), "{kind}: there is no {story}");
        assert!(stories.contains(&format!("\"{kind}\"")), "{kind}");
    }
    let told: BTreeSet<String> =
        HERE.iter().map(|(kind, _)| *kind).chain(ELSEWHERE.iter().copied()).map(str::to_owned).collect();
    let kinds = kinds();
    assert!(kinds.len() > 60, "{kinds:?}");
    assert_eq!(kinds.difference(&told).collect::<Vec<_>>(), Vec::<&String>::new(), "causes without a story");
    assert_eq!(told.difference(&kinds).collect::<Vec<_>>(), Vec::<&String>::new(), "stories without a cause");
}
