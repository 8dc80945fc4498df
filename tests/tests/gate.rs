//! The gate: a runner refuses a job that its class would not take, whichever job GitHub gives it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jitgate::ecs::COMPLETED_HOOK_VARIABLE;
use jitgate::job::{JobId, RunId};
use jitgate_tests::aws::answers;
use jitgate_tests::github::{JobSpec, JobStatus, ORGANIZATION};
use jitgate_tests::hook::{Hooked, JobEvent, execute, temporary};
use jitgate_tests::runner::GATE;
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{World, runner_classes};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_mins(1);

/// The shells of GitHub's image (bash), of Debian (dash) and of Alpine (busybox).
const SHELLS: [&str; 3] = ["bash", "dash", "busybox sh"];

fn shells() -> Vec<&'static str> {
    let is_there = |shell: &&str| {
        let mut words = shell.split(' ');
        let program = words.next().expect("a program");
        Command::new(program).args(words).args(["-c", "exit 0"]).status().is_ok_and(|status| status.success())
    };
    SHELLS.into_iter().filter(is_there).collect()
}

fn event(name: &str, payload: Value) -> JobEvent {
    JobEvent { repository: "Octo-Org/octo-repo".to_owned(), run_id: RunId(815), name: name.to_owned(), payload }
}

fn push(private: bool) -> JobEvent {
    event("push", json!({ "head_commit": { "private": !private }, "repository": { "id": 1, "private": private } }))
}

/// A pull request to a public repository, whose author tries to look like the repository itself.
fn pull_request(name: &str, head: &Value) -> JobEvent {
    let forged = "x\",\n        \"full_name\": \"octo-org/octo-repo\",\n  \"repository\": {\n    \"private\": true";
    let payload = json!({
        "repository": { "full_name": "octo-org/octo-repo", "private": false },
        "pull_request": {
            "title": forged, "body": forged, "head": { "label": forged, "ref": forged, "repo": head },
            "base": { "repo": { "full_name": "octo-org/octo-repo", "private": false } },
        },
    });
    event(name, payload)
}

fn from(repository: &str) -> Value {
    json!({ "description": "\"full_name\": \"octo-org/octo-repo\"", "full_name": repository, "private": true })
}

fn workflow_run(head: &Value) -> JobEvent {
    let payload = json!({
        "repository": { "private": false },
        "workflow_run": { "display_title": "x", "head_repository": head, "repository": { "full_name": "octo-org/octo-repo" } },
    });
    event("workflow_run", payload)
}

/// The answer of the gate in each shell, which must be the same.
fn ask(gate: Option<&str>, job: &JobEvent) -> Hooked {
    let environment: BTreeMap<String, String> =
        gate.iter().map(|gate| ("JITGATE_GATE".to_owned(), (*gate).to_owned())).collect();
    let mut answers: Vec<Hooked> =
        shells().into_iter().map(|shell| execute(shell, Path::new(GATE), &environment, job)).collect();
    answers.dedup();
    assert_eq!(answers.len(), 1, "the shells {:?} differ: {answers:?}", shells());
    answers.remove(0)
}

#[track_caller]
fn assert_refused(gate: &str, job: &JobEvent, says: &str) {
    match ask(Some(gate), job) {
        Hooked::Refused(words) => assert!(words.contains(says), "{gate:?}: {words:?} should say {says:?}"),
        other => panic!("{gate:?} of {job:?}: {other:?}"),
    }
}

#[track_caller]
fn assert_admitted(gate: &str, job: &JobEvent) {
    assert_eq!(ask(Some(gate), job), Hooked::Proceeds, "{gate:?} of {job:?}");
}

#[test]
fn without_words_or_with_unknown_ones_every_job_is_refused() {
    assert!(matches!(ask(None, &push(true)), Hooked::Refused(words) if words.contains("JITGATE_GATE")));
    assert_refused("", &push(true), "JITGATE_GATE");
    assert_refused("on colour=red", &push(true), "colour=red");
    assert_admitted("off", &push(false));
}

#[test]
fn a_runner_takes_jobs_of_its_owner_run_and_repositories_only() {
    let job = push(true);
    assert_admitted("on owner=octo-org run=815 for=octo-org/octo-repo", &job);
    assert_refused("on owner=octo", &job, "this runner is for repositories of octo, not for Octo-Org/octo-repo");
    assert_refused("on run=81", &job, "this runner is for run 81 only");
    for admitting in ["octo-org/*", "*/octo-repo", "octo-org/octo-repo", "o*g/o*-*po", "*/*"] {
        assert_admitted(&format!("on repository=a/b repository={admitting}"), &job);
    }
    for other in ["octo-org/octo", "octo/*", "*/repo", "octo-org/secret-*"] {
        assert_refused(&format!("on repository={other}"), &job, "does not take jobs of Octo-Org/octo-repo");
    }
}

#[test]
fn a_public_repository_and_one_that_may_be_public_are_refused_unless_the_class_takes_them() {
    assert_admitted("on", &push(true));
    assert_admitted("on public", &push(false));
    assert_refused("on", &push(false), "public_repositories");
    let silent =
        event("deployment", json!({ "deployment": {}, "client_payload": { "repository": { "private": true } } }));
    assert_refused("on for=octo-org/other", &silent, "does not say whether Octo-Org/octo-repo is public");
    assert_admitted("on for=octo-org/octo-repo", &silent);
    assert_admitted("on for=octo-org/other", &event("schedule", json!({ "schedule": "0 0 * * *" })));
}

#[test]
fn what_a_fork_triggers_is_refused_unless_the_class_takes_it() {
    for name in ["pull_request", "pull_request_target", "pull_request_review"] {
        assert_admitted("on public", &pull_request(name, &from("octo-org/octo-repo")));
        assert_admitted("on public forks", &pull_request(name, &from("mallory/octo-repo")));
        assert_refused("on public", &pull_request(name, &from("mallory/octo-repo")), "fork_pull_requests");
        assert_refused("on public", &pull_request(name, &Value::Null), "perhaps from a deleted fork");
    }
    assert_admitted("on public", &workflow_run(&from("octo-org/octo-repo")));
    assert_refused("on public", &workflow_run(&from("mallory/octo-repo")), "fork_pull_requests");
    assert_refused("on public", &workflow_run(&Value::Null), "perhaps from a deleted fork");
    assert_refused("on public", &event("pull_request", json!([])), "perhaps from a deleted fork");
    assert_admitted("on public", &event("issue_comment", json!({ "issue": { "pull_request": {} } })));
}

#[test]
fn without_sed_every_job_that_must_be_looked_at_is_refused() {
    let dir = std::env::temp_dir().join(format!("jitgate-no-sed-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.to_str().unwrap().to_owned();
    let gate = |words: &str| {
        BTreeMap::from([("JITGATE_GATE".to_owned(), words.to_owned()), ("PATH".to_owned(), path.clone())])
    };
    let refused = execute("/bin/bash", Path::new(GATE), &gate("on"), &push(true));
    assert!(matches!(&refused, Hooked::Refused(words) if words.contains("no sed")), "{refused:?}");
    std::fs::remove_dir(&dir).unwrap();
}

/// What remains of a job with these scripts of the class, in each shell: how its hooks ended, and what they wrote.
fn hooks(gate: &str, started: &str, completed: &str) -> (Hooked, Option<Hooked>, String) {
    let mut answers = Vec::new();
    for shell in shells() {
        let (path, diary) = (temporary("completed.sh"), temporary("diary"));
        let environment: BTreeMap<String, String> = [
            ("JITGATE_GATE", gate),
            ("JITGATE_JOB_STARTED", started),
            ("JITGATE_JOB_COMPLETED", completed),
            (COMPLETED_HOOK_VARIABLE, path.to_str().expect("a plain path")),
            ("DIARY", diary.to_str().expect("a plain path")),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let before = execute(shell, Path::new(GATE), &environment, &push(true));
        let after = path.exists().then(|| execute(shell, &path, &environment, &push(true)));
        let written = std::fs::read_to_string(&diary).unwrap_or_default();
        for file in [path, diary] {
            let _ = std::fs::remove_file(file);
        }
        answers.push((before, after, written));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "the shells {:?} differ: {answers:?}", shells());
    answers.remove(0)
}

#[test]
fn a_classs_own_scripts_run_after_the_gate_and_after_the_job() {
    let started =
        "echo \"started by '$GITHUB_EVENT_NAME'\" >>\"$DIARY\"\nfor each in a b; do echo $each >>\"$DIARY\"; done";
    let (before, after, diary) = hooks("on", started, "echo 100 % of \"$GITHUB_RUN_ID\" >>\"$DIARY\"");
    assert_eq!((before, after), (Hooked::Proceeds, Some(Hooked::Proceeds)));
    assert_eq!(diary, "started by 'push'\na\nb\n100 % of 815\n");
    let (before, _, diary) = hooks("off", "echo off >>\"$DIARY\"", "");
    assert_eq!((before, diary.as_str()), (Hooked::Proceeds, "off\n"), "without the gate, too");
}

#[test]
fn a_refused_job_runs_neither_of_the_classs_scripts() {
    let (before, after, diary) = hooks("on owner=other", "echo started >>\"$DIARY\"", "echo completed >>\"$DIARY\"");
    assert!(matches!(before, Hooked::Refused(_)), "{before:?}");
    assert_eq!((after, diary.as_str()), (None, ""));
}

#[test]
fn a_script_of_the_class_that_fails_fails_the_hook_and_not_the_runner() {
    for script in ["false; echo no >>\"$DIARY\"", "echo no network >&2; exit 7", "kill -TERM $$"] {
        let (before, after, diary) = hooks("on", script, "false; echo no >>\"$DIARY\"");
        assert!(matches!(before, Hooked::Failed(_)), "{script}: {before:?}");
        assert!(matches!(after, Some(Hooked::Failed(_))), "{after:?}");
        assert_eq!(diary, "", "it runs with -e");
    }
}

/// Each task definition of the template and of the examples carries a copy.
#[test]
fn the_template_and_the_examples_have_the_same_gate() {
    let gate = std::fs::read_to_string(GATE).unwrap();
    let indented: String = gate
        .lines()
        .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("                {line}\n") })
        .collect();
    for (file, copies) in [("template.yaml", 2), ("infra/examples/services.yaml", 1)] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)).unwrap();
        assert_eq!(text.matches("- Name: JITGATE_GATE_SCRIPT\n").count(), copies, "{file}");
        assert_eq!(text.matches(&indented).count(), copies, "copy infra/terraform/gate.sh to {file}");
        let command = "\"$JITGATE_GATE_SCRIPT\" >/tmp/jitgate-gate.sh && unset JITGATE_GATE_SCRIPT && exec ./run.sh\n";
        assert_eq!(text.matches(command).count(), copies, "{file}");
    }
}

fn classes(changes: &Value) -> String {
    let mut classes = runner_classes();
    for (key, value) in changes.as_object().expect("an object") {
        classes[0][key] = value.clone();
    }
    classes.to_string()
}

async fn world(changes: Value) -> World {
    World::with(&[("RUNNER_CLASSES", &classes(&changes))]).await
}

fn conclusion(world: &World, job: JobId) -> Option<String> {
    world.github.job(job).expect("it exists").conclusion
}

/// The words with which runners refused jobs.
fn refusals(world: &World) -> Vec<String> {
    let timeline = world.github.timeline();
    timeline.into_iter().filter(|event| event.event == "refused").map(|event| event.detail).collect()
}

/// The cleaner passes until these jobs are done.
async fn until_done(world: &mut World, jobs: &[JobId], passes: u32) {
    for _ in 0..passes {
        world.pass(MINUTE * 5);
        world.clean().await.expect("a clean pass");
        world.work().await;
        if jobs.iter().all(|job| world.github.job(*job).is_some_and(|job| job.status == JobStatus::Completed)) {
            return;
        }
    }
    panic!("{:?} after {passes} passes", jobs.iter().map(|job| world.github.job(*job)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_forks_job_does_not_run_on_the_runner_of_a_push_and_the_push_gets_another() {
    let mut world = world(json!({ "public_repositories": true })).await;
    world.github.publish(ORGANIZATION, "octo-repo");
    let fork = world.github.queue_job(JobSpec::labels(["fargate"]).from_fork_of("mallory"));
    assert_eq!(world.deliver_queued(fork).await.status_code, 202);
    world.work().await;
    assert_eq!(world.live_tasks(), 0, "no runner of its own");
    let push = world.queue_and_deliver().await;
    world.work().await;
    until_done(&mut world, &[push], 4).await;
    assert_eq!(conclusion(&world, push).as_deref(), Some("success"));
    assert_eq!(conclusion(&world, fork).as_deref(), Some("failure"));
    let [words] = &refusals(&world)[..] else { panic!("one refusal: {:?}", refusals(&world)) };
    assert!(words.contains("fork_pull_requests"), "{words}");
    assert_eq!(world.dead_letters(), Vec::<String>::new());
}

#[tokio::test]
async fn ignored_jobs_do_not_run_on_the_runners_of_another_repository_and_its_job_is_done() {
    let mut world = world(json!({ "repositories": ["octo-org/secret"] })).await;
    let evil: Vec<JobId> = (0..12)
        .map(|_| world.github.queue_job(JobSpec::labels(["fargate"]).in_repository(ORGANIZATION, "evil")))
        .collect();
    for job in &evil {
        assert_eq!(world.deliver_queued(*job).await.status_code, 200, "ignored");
    }
    let secret = world.github.queue_job(JobSpec::labels(["fargate"]).in_repository(ORGANIZATION, "secret"));
    assert_eq!(world.deliver_queued(secret).await.status_code, 202);
    world.work().await;
    until_done(&mut world, &[secret], 30).await;
    assert_eq!(conclusion(&world, secret).as_deref(), Some("success"));
    assert!(evil.iter().all(|job| conclusion(&world, *job).as_deref() != Some("success")));
    assert_eq!(world.dead_letters(), Vec::<String>::new());
}

#[tokio::test]
async fn a_warm_runner_refuses_what_its_class_does_not_take() {
    let warm = json!([{ "count": 1, "for": "octo-org" }]);
    let mut world = world(json!({ "labels": ["fargate"], "repositories": ["octo-org/secret"], "warm": warm })).await;
    world.clean().await.unwrap();
    world.work().await;
    world.pass(MINUTE);
    let evil = world.github.queue_job(JobSpec::labels(["fargate"]).in_repository(ORGANIZATION, "evil"));
    world.pass(MINUTE);
    assert_eq!(conclusion(&world, evil).as_deref(), Some("failure"), "at once");
    world.clean().await.unwrap();
    world.work().await;
    world.pass(MINUTE);
    let secret = world.github.queue_job(JobSpec::labels(["fargate"]).in_repository(ORGANIZATION, "secret"));
    world.pass(Duration::from_secs(5));
    assert_eq!(world.github.job(secret).unwrap().status, JobStatus::InProgress, "on the next warm runner");
}

#[tokio::test]
async fn a_bound_runner_refuses_another_runs_job_with_the_same_label() {
    let mut world = world(json!({ "sizes": { "run": true } })).await;
    let forged = world.github.queue_job(JobSpec::labels(["fargate/run=7"]).in_repository(ORGANIZATION, "evil"));
    let job = world.github.queue_job(JobSpec::labels(["fargate/run=7"]));
    world.deliver_queued(job).await;
    world.work().await;
    until_done(&mut world, &[job], 4).await;
    assert_eq!(conclusion(&world, forged).as_deref(), Some("failure"));
    assert_eq!(conclusion(&world, job).as_deref(), Some("success"));
}

/// An administrator of one organisation's hook knows the secret of all hooks.
#[tokio::test]
async fn a_signed_lie_about_a_public_repository_starts_a_runner_that_refuses_the_job() {
    let mut world = world(json!({})).await;
    world.github.publish(ORGANIZATION, "octo-repo");
    let fork = world.github.queue_job(JobSpec::labels(["fargate"]).from_fork_of("mallory"));
    let lie = world.github.event(fork, "queued").public(false);
    assert_eq!(world.deliver(&lie).await.status_code, 202);
    world.work().await;
    world.pass(MINUTE);
    assert_eq!(conclusion(&world, fork).as_deref(), Some("failure"));
    assert!(refusals(&world)[0].contains("public_repositories"), "{:?}", refusals(&world));
}

#[tokio::test]
async fn a_classs_scripts_run_around_each_of_its_jobs_and_a_failing_one_fails_the_job() {
    let diary = temporary("diary");
    let note = |what: &str| format!("echo {what} $GITHUB_REPOSITORY >>{}", diary.display());
    let broken = format!("{}; exit 3", note("registered"));
    for (started, conclusion_of_job) in [(note("registered"), "success"), (broken, "failure")] {
        let mut world = world(json!({ "job_started": started, "job_completed": note("reported") })).await;
        let job = world.queue_and_deliver().await;
        world.work().await;
        world.pass(MINUTE * 5);
        assert_eq!(conclusion(&world, job).as_deref(), Some(conclusion_of_job));
        let written = std::fs::read_to_string(&diary).unwrap();
        assert_eq!(written, "registered octo-org/octo-repo\nreported octo-org/octo-repo\n");
        std::fs::remove_file(&diary).unwrap();
        world.clean().await.unwrap();
        assert_eq!((world.live_tasks(), world.waiting()), (0, 0), "it had its runner");
    }
}

#[tokio::test]
async fn a_fallback_runs_the_scripts_of_the_jobs_class_and_not_its_own() {
    let mut classes = runner_classes();
    classes[0]["fallback"] = json!(["other"]);
    classes[0]["job_completed"] = json!("exit 0");
    let mut other = classes[0].clone();
    let others = json!({ "ACTIONS_RUNNER_HOOK_JOB_COMPLETED": "/opt/other.sh", "OTHER": "1" });
    other["name"] = "other".into();
    other["labels"] = json!(["other"]);
    for (key, value) in [("fallback", Value::Null), ("job_completed", Value::Null), ("environment", others)] {
        other[key] = value;
    }
    classes.as_array_mut().unwrap().push(other);
    let world = World::with(&[("RUNNER_CLASSES", &classes.to_string())]).await;
    world.aws.faults().script("RunTask", Fault::Refuse(answers::failure(answers::CAPACITY_UNAVAILABLE)));
    world.queue_and_deliver().await;
    world.work().await;
    let environment = world.aws.ecs.live_tasks().remove(0).environment();
    assert_eq!(environment["OTHER"], "1", "the fallback's task");
    assert_eq!(environment["JITGATE_JOB_COMPLETED"], "exit 0");
    assert_eq!(environment[COMPLETED_HOOK_VARIABLE], "/tmp/jitgate-completed.sh");
}

#[tokio::test]
async fn a_class_may_do_without_the_gate() {
    let mut world = world(json!({ "gate": false })).await;
    world.github.publish(ORGANIZATION, "public");
    let other = world.github.queue_job(JobSpec::labels(["fargate"]).in_repository(ORGANIZATION, "public"));
    world.queue_and_deliver().await;
    world.work().await;
    world.pass(MINUTE * 5);
    assert_eq!(conclusion(&world, other).as_deref(), Some("success"), "the gate is off");
}
