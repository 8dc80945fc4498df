//! From GitHub's answers to the outputs.

use jitgate::classes::RunnerClasses;
use proptest::prelude::*;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::compare::{self, Change};
use super::delivery::{Recorded, read};
use super::record::{Recording, write};
use super::{Comparison, show};
use crate::answer::Answer;
use crate::trouble::Exit;

const OLD: &str = r#"[
    {"name":"default","labels":["fargate"],"task_definition":"runner","subnets":["s"],"cpu":1,"memory":4,
     "sizes":{"cpu":4,"memory":16}},
    {"name":"large","labels":["large"],"task_definition":"runner","subnets":["s"],"cpu":8,"memory":32}]"#;

/// A smaller limit, Spot for all, another class, and nothing for `large`.
const NEW: &str = r#"[
    {"name":"default","labels":["fargate"],"task_definition":"runner","subnets":["s"],"cpu":1,"memory":4,
     "sizes":{"cpu":2,"memory":16},"capacity":["spot","on-demand"]},
    {"name":"blue","labels":["blue"],"task_definition":"runner","subnets":["s"],"public_repositories":true}]"#;

fn at() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_793_534_400).unwrap()
}

/// GitHub's answer about a delivery, with much that must not be kept.
fn whole(job: u64, labels: &[&str], change: impl FnOnce(&mut Value)) -> Value {
    let mut payload = json!({
        "action": "queued",
        "workflow_job": {
            "id": job, "run_id": 815, "run_attempt": 1, "name": "build", "workflow_name": "CI", "labels": labels,
            "created_at": "2026-11-01T11:59:58Z", "head_sha": "0123", "steps": [],
            "html_url": format!("https://github.com/octo-org/octo-repo/actions/runs/815/job/{job}"),
        },
        "repository": {
            "id": 5, "name": "octo-repo", "full_name": "octo-org/octo-repo", "private": true, "visibility": "private",
            "owner": { "id": 1, "login": "octo-org", "type": "Organization", "node_id": "n" },
        },
        "organization": { "id": 1, "login": "octo-org" },
        "sender": { "login": "somebody", "email": "somebody@example.com" },
        "installation": { "id": 2, "node_id": "n" },
    });
    change(&mut payload);
    json!({
        "id": 7, "guid": "72d3162e", "event": "workflow_job", "action": "queued",
        "request": { "headers": { "X-Hub-Signature-256": "sha256=abc" }, "payload": payload },
        "response": { "headers": {}, "payload": "ok" },
    })
}

fn recorded(job: u64, labels: &[&str]) -> Recorded {
    Recorded::of("72d3162e", at(), &whole(job, labels, |_| ())).expect("a delivery that can be read")
}

fn jobs() -> Vec<Recorded> {
    let mut jobs: Vec<Recorded> = (1..=3).map(|job| recorded(job, &["fargate"])).collect();
    jobs.push(recorded(4, &["fargate", "cpu=4"]));
    jobs.push(recorded(5, &["large"]));
    jobs.push(recorded(6, &["blue"]));
    jobs.push(recorded(7, &["windows-latest"]));
    let public = whole(8, &["blue"], |payload| payload["repository"]["visibility"] = "public".into());
    jobs.push(Recorded::of("d", at(), &public).expect("a delivery that can be read"));
    let public = whole(9, &["fargate"], |payload| payload["repository"]["visibility"] = "public".into());
    jobs.push(Recorded::of("d", at(), &public).expect("a delivery that can be read"));
    jobs
}

fn comparison(old: Option<&str>, new: &str) -> Comparison {
    let classes = |json| RunnerClasses::parse(json).expect("valid classes");
    let old = old.map(classes);
    Comparison {
        jobs: compare::compare(&jobs(), old.as_ref(), &classes(new)),
        new: "new.json".to_owned(),
        not_compared: old.is_none().then(|| "no AWS region is set".to_owned()),
        old: old.map(|_| "the classes of stack jitgate".to_owned()),
        recorded: Some((at() - time::Duration::days(3), at())),
    }
}

#[test]
fn a_comparison() {
    let comparison = comparison(Some(OLD), NEW);
    insta::assert_snapshot!(show::text(&comparison, 100));
    assert_eq!(comparison.answer(100).exit, Exit::Failed, "a job that was taken no longer is");
}

#[test]
fn a_comparison_on_a_terminal_of_sixty_columns() {
    let text = show::text(&comparison(Some(OLD), NEW), 60);
    assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_comparison_for_programs() {
    insta::assert_snapshot!(format!("{:#}", comparison(Some(OLD), NEW).answer(100).json));
}

#[test]
fn new_classes_alone() {
    let comparison = comparison(None, NEW);
    insta::assert_snapshot!(show::text(&comparison, 80));
    assert_eq!(comparison.answer(80).exit, Exit::Good);
}

#[test]
fn the_same_classes_change_nothing() {
    let comparison = comparison(Some(OLD), OLD);
    assert!(comparison.jobs.iter().all(|job| job.change == Some(Change::Same)));
    assert_eq!(comparison.answer(80).exit, Exit::Good);
}

#[test]
fn a_line_has_what_the_functions_read_and_nothing_else() {
    let line = recorded(4711, &["fargate", "cpu=4"]).line();
    insta::assert_snapshot!(line);
    assert_eq!(read(&line).expect("it can be read"), [recorded(4711, &["fargate", "cpu=4"])]);
}

#[test]
fn a_recording_is_for_its_user_alone_and_replaces_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deliveries.jsonl");
    let recording = Recording { jobs: jobs(), ..Recording::default() };
    write(&path, &recording).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(read(&std::fs::read_to_string(&path).unwrap()).unwrap(), jobs());
    let again = write(&path, &Recording::default()).expect_err("it is there already");
    assert!(again.what.contains("is there already"), "{again}");
    assert_eq!(read(&std::fs::read_to_string(&path).unwrap()).unwrap(), jobs());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn what_was_recorded_is_told_and_what_was_not() {
    let of = |recording: &Recording| -> Answer { super::recorded("deliveries.jsonl".as_ref(), recording) };
    let [none, all] = [Vec::new(), jobs()].map(|jobs| of(&Recording { jobs, ..Recording::default() }));
    let why = Some("GitHub, GET /app/hook/deliveries/7: answer 429 Too Many Requests: slow down".to_owned());
    let part = of(&Recording { jobs: jobs(), unreadable: 1, unopened: 12, why });
    assert_eq!([none.exit, all.exit, part.exit], [Exit::Good, Exit::Good, Exit::Unknown]);
    insta::assert_snapshot!(format!("{}\n{}\n{}\n{:#}", none.text, all.text, part.text, part.json));
}

#[test]
fn a_job_is_replayed_once_and_only_if_it_was_queued() {
    let once = recorded(1, &["fargate"]);
    let mut ended = whole(2, &["fargate"], |payload| payload["action"] = "completed".into());
    ended["request"]["payload"]["workflow_job"]["runner_id"] = 3.into();
    let ended = Recorded::of("d", at(), &ended).expect("a delivery that can be read");
    let text = format!("{}\n{}{}", once.line(), once.line(), ended.line());
    assert_eq!(read(&text).unwrap(), [once]);
}

#[test]
fn a_line_that_cannot_be_read_is_named() {
    let good = recorded(1, &[]).line();
    for (line, says) in [
        ("{}", "line 2: missing field"),
        ("[", "line 2: "),
        (&good.replacen("\"v\":1", "\"v\":2", 1), "line 2: of version 2"),
    ] {
        let error = read(&format!("{good}{line}")).expect_err("it cannot be read");
        assert!(error.starts_with(says), "{error}");
    }
    assert_eq!(Recorded::of("d", at(), &json!({ "request": { "payload": null } })), None);
}

proptest! {
    #[test]
    fn any_recording_is_read_or_refused(text in "(?s).*") {
        let _ = read(&text);
    }

    #[test]
    fn whatever_the_labels_a_job_is_read_as_it_was_written_and_judged(
        labels in prop::collection::vec(".{0,40}", 0..6),
        name in prop::option::of(".{0,80}"),
    ) {
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let whole = whole(1, &labels, |payload| payload["workflow_job"]["workflow_name"] = json!(name));
        let job = Recorded::of("d", at(), &whole).expect("a delivery that can be read");
        prop_assert_eq!(&read(&job.line()).expect("it can be read")[0], &job);
        let verdict = compare::judge(&RunnerClasses::parse(OLD).expect("valid classes"), &job);
        prop_assert_eq!(verdict.taken, !verdict.says["class"].is_null());
    }
}
