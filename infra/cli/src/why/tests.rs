//! Each cause from recorded sources.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::cause::{self, Cause};
use super::sources::{Announced, EventSource, Installed, Job, Line, OutputLine, Runner, Seen, Sources, Task};
use super::{redact, show, timeline};

/// When the job was created.
fn created() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_793_534_400).unwrap()
}

fn after(seconds: i64) -> OffsetDateTime {
    created() + Duration::seconds(seconds)
}

fn line(seconds: i64, function: &str, message: &str, fields: &Value) -> Line {
    let fields = redact::fields(fields.as_object().unwrap());
    Line { at: after(seconds), function: function.to_owned(), message: message.to_owned(), fields }
}

/// A job that GitHub delivered at once, and that has waited for ten minutes.
fn queued() -> Sources {
    Sources {
        now: after(600),
        job_id: 4711,
        repository: Some("octo-org/octo-repo".to_owned()),
        installation: Seen::Known(Installed::Yes),
        job: Seen::Known(Some(Job {
            id: 4711,
            run_id: 1,
            name: "build".to_owned(),
            status: "queued".to_owned(),
            labels: vec!["fargate".to_owned()],
            created_at: Some(created()),
            ..Job::default()
        })),
        delivery: Seen::Known(Announced::Delivered { at: after(1), attempts: 1, status: 202, reason: None }),
        is_subscribed: Seen::Known(true),
        classes: Seen::Known(Ok("default".to_owned())),
        lines: Seen::Known(vec![line(1, "webhook", "job queued", &json!({ "class": "default" }))]),
        webhook_errors: Seen::Known(Vec::new()),
        event_source: Seen::Known(EventSource::On),
        tasks: Seen::Known(Vec::new()),
        runner: Seen::Known(None),
        group_admits: Seen::Known(true),
        shares: Seen::Known(BTreeMap::new()),
        output: Seen::Known(Vec::new()),
        dead_letter: Seen::Known(None),
    }
}

/// The same, with these lines of the worker after the webhook's.
fn with(lines: impl IntoIterator<Item = Line>) -> Sources {
    let mut sources = queued();
    let Seen::Known(all) = &mut sources.lines else { unreachable!("they are known") };
    all.extend(lines);
    sources
}

fn deferred(error: &str) -> Sources {
    with([2, 14, 40].map(|at| line(at, "worker", "job deferred", &json!({ "error": error, "delay_seconds": 10 }))))
}

fn launched(task: Task) -> Sources {
    let name = json!({ "runner.name": "jit-default-4711-1-1793534402" });
    let mut sources = with([line(3, "worker", "runner launched", &name)]);
    sources.tasks = Seen::Known(vec![Task { id: "t".to_owned(), attempt: 1, created_at: Some(after(3)), ..task }]);
    sources
}

fn stopped(code: &str, reason: &str, exit_code: Option<i32>) -> Sources {
    launched(Task {
        status: "STOPPED".to_owned(),
        stopped_at: Some(after(500)),
        stop_code: Some(code.to_owned()),
        stopped_reason: Some(reason.to_owned()),
        exit_code,
        ..Task::default()
    })
}

fn runs(runner: Option<(bool, bool)>) -> Sources {
    let mut sources = launched(Task { status: "RUNNING".to_owned(), started_at: Some(after(60)), ..Task::default() });
    sources.runner = Seen::Known(runner.map(|(is_online, is_busy)| Runner {
        name: "jit-default-4711-1-1793534402".to_owned(),
        is_online,
        is_busy,
        group: Some(1),
    }));
    sources
}

fn delivered(status: u16, reason: Option<&str>) -> Sources {
    let mut sources = queued();
    sources.lines = Seen::Known(Vec::new());
    let reason = reason.map(str::to_owned);
    sources.delivery = Seen::Known(Announced::Delivered { at: after(1), attempts: 1, status, reason });
    sources
}

fn ignored(reason: &str) -> Sources {
    let mut sources = queued();
    sources.lines = Seen::Known(vec![line(1, "webhook", "delivery ignored", &json!({ "reason": reason }))]);
    sources
}

fn change(mut sources: Sources, change: impl FnOnce(&mut Sources)) -> Sources {
    change(&mut sources);
    sources
}

fn status(status: &str, conclusion: Option<&str>, runner: Option<&str>) -> Sources {
    change(queued(), |sources| {
        let Seen::Known(Some(job)) = &mut sources.job else { unreachable!("it is known") };
        job.status = status.to_owned();
        job.conclusion = conclusion.map(str::to_owned);
        job.runner_name = runner.map(str::to_owned);
    })
}

fn silent(change_it: impl FnOnce(&mut Sources)) -> Sources {
    let mut sources = delivered(202, None);
    sources.delivery = Seen::Known(Announced::Never);
    change(sources, change_it)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_cause_is_named() {
    let never = || silent(|_| {});
    let cases: Vec<(&str, Sources)> = vec![
        ("ended", status("completed", Some("success"), Some("r"))),
        ("ended-without-runner", status("completed", Some("cancelled"), None)),
        ("runs", status("in_progress", None, Some("r"))),
        ("waits-at-github", status("waiting", None, None)),
        ("waits-at-github", status("pending", None, None)),
        // Deliveries.
        ("not-installed", silent(|all| all.installation = Seen::Known(Installed::No))),
        ("suspended", silent(|all| all.installation = Seen::Known(Installed::Suspended))),
        ("event-off", silent(|all| all.is_subscribed = Seen::Known(false))),
        ("never-delivered", never()),
        (
            "no-class",
            silent(|all| all.classes = Seen::Known(Err("no runner class has all labels of [gpu]".to_owned()))),
        ),
        ("secrets-differ", delivered(401, Some("X-Hub-Signature-256 does not fit the body"))),
        ("webhook-closed", delivered(403, None)),
        ("webhook-elsewhere", delivered(404, None)),
        ("content-type", delivered(415, None)),
        ("webhook-throttled", delivered(429, None)),
        ("webhook-fails", delivered(503, Some("the webhook secret is not available, redeliver later"))),
        ("delivery-failed", delivered(502, None)),
        ("webhook-silent", delivered(0, None)),
        // Refusals.
        ("no-class", ignored("no runner class has all labels of [gpu]")),
        ("account-not-allowed", ignored("octo-org is not among ALLOWED_INSTALLATIONS")),
        (
            "public-repository",
            ignored(
                "the repository is public, and class default does not take jobs of public repositories (public_repositories)",
            ),
        ),
        ("misfit", ignored("class default: cpu=32 is too large: Fargate has 16 vCPU at most")),
        ("no-labels", ignored("the job has no labels")),
        ("misfit", delivered(200, Some("class default: cpu=32 is too large: Fargate has 16 vCPU at most"))),
        (
            "fork",
            with([line(
                2,
                "worker",
                "job refused",
                &json!({ "reason": "its run is of a fork, and class default does not take pull requests from forks (fork_pull_requests)" }),
            )]),
        ),
        // The queue.
        ("worker-off", change(queued(), |all| all.event_source = Seen::Known(EventSource::Off))),
        ("worker-off", change(queued(), |all| all.event_source = Seen::Known(EventSource::Missing))),
        ("worker-late", queued()),
        ("queued", change(queued(), |all| all.now = after(5))),
        // Launches that wait.
        ("runner-limit", deferred("the fleet has the 50 runners that it may have")),
        ("no-capacity", deferred("no capacity: Capacity is unavailable at this time")),
        ("no-capacity", deferred("no capacity a moment ago: RESOURCE:MEMORY")),
        ("class-fails", deferred("held back: the last runners of the class failed: exit code 1")),
        (
            "no-way-out",
            deferred(
                "held back: the last runners of the class failed: CannotPullContainerError: dial tcp: i/o timeout",
            ),
        ),
        (
            "runner-version-refused",
            deferred(
                "held back: the last runners of the class failed: GitHub turns this version of the runner away (exit code 7): use another image",
            ),
        ),
        (
            "registry-limits-pulls",
            deferred("held back: the last runners of the class failed: CannotPullContainerError: toomanyrequests: 429"),
        ),
        (
            "runner-offline",
            deferred("held back: the last runners of the class failed: jitgate: its runner never connected"),
        ),
        (
            "github-assigns-nothing",
            deferred(
                "held back: GitHub gives idle runners no jobs; one of the class's stays, to show when it does again",
            ),
        ),
        ("github-limit", deferred("rate limited until 2026-11-01 13:00:00")),
        ("github-pace", deferred("paced: to be called from 2026-11-01 12:10:00")),
        ("github-denies", deferred("GitHub denies access: Resource not accessible by integration")),
        ("runner-group-missing", deferred("not found: the runner group \"big\"; the organisation has Default")),
        ("github-not-found", deferred("not found: Not Found (404)")),
        ("registrations-full", deferred("no registration is left: maximum of 10000 runners")),
        ("github-certificate", deferred("no answer from GitHub: invalid peer certificate: UnknownIssuer")),
        ("github-silent", deferred("no answer from GitHub: connection refused")),
        ("github-outage", deferred("GitHub is unavailable (502): Unicorn!")),
        ("secret-unusable", deferred("secret \"s\" is unusable: private_key is missing")),
        ("secret-out-of-reach", deferred("secret \"s\" is out of reach: AccessDeniedException")),
        ("ecs-denies", deferred("ECS denies access: not authorized to perform: iam:PassRole")),
        ("ecs-not-ready", deferred("ECS cannot start tasks until this is mended: ClusterNotFoundException")),
        ("ecs-throttles", deferred("throttled: Rate exceeded")),
        ("other", deferred("words that nobody knows")),
        // What the cleaner heard from GitHub.
        (
            "group-closed",
            with([line(
                500,
                "cleaner",
                "GitHub gives its runners no job: their runner group does not admit the repository",
                &json!({ "class": "default" }),
            )]),
        ),
        ("run-ended", with([line(500, "cleaner", "job is queued in a run that has ended", &json!({}))])),
        // Jobs that were given up.
        ("given-up", with([line(9, "worker", "job given up", &json!({ "error": "ECS refuses: no such subnet" }))])),
        ("given-up", change(queued(), |all| all.dead_letter = Seen::Known(Some("ECS refuses: x".to_owned())))),
        // Tasks.
        ("starting", change(launched(Task::default()), |all| all.now = after(30))),
        ("starts-slowly", launched(Task { pull_started_at: Some(after(10)), ..Task::default() })),
        (
            "no-way-out",
            stopped("TaskFailedToStart", "CannotPullContainerError: dial tcp 1.2.3.4:443: i/o timeout", None),
        ),
        (
            "no-way-out",
            stopped("TaskFailedToStart", "ResourceInitializationError: failed to validate logger args", None),
        ),
        ("image-missing", stopped("TaskFailedToStart", "CannotPullContainerError: ref x: not found", None)),
        ("image-missing", stopped("TaskFailedToStart", "CannotPullImageManifestError: manifest unknown", None)),
        (
            "registry-limits-pulls",
            stopped("TaskFailedToStart", "You have reached your pull rate limit. You may…", None),
        ),
        ("image-denied", stopped("TaskFailedToStart", "CannotPullContainerError: pull access denied", None)),
        (
            "image-architecture",
            stopped(
                "TaskFailedToStart",
                "CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/amd64'",
                None,
            ),
        ),
        ("spot-interruption", stopped("SpotInterruption", "Your Spot Task was interrupted.", Some(143))),
        ("out-of-memory", stopped("EssentialContainerExited", "OutOfMemoryError: Container killed", Some(137))),
        ("runner-version-refused", stopped("EssentialContainerExited", "Essential container in task exited", Some(7))),
        ("runner-ended", stopped("EssentialContainerExited", "Essential container in task exited", Some(1))),
        ("runner-ended", stopped("EssentialContainerExited", "Essential container in task exited", Some(71))),
        ("docker-failed", stopped("EssentialContainerExited", "Essential container in task exited", Some(70))),
        ("swapped", runs(Some((true, true)))),
        ("github-assigns-nothing", runs(Some((true, false)))),
        ("group-closed", change(runs(Some((true, false))), |all| all.group_admits = Seen::Known(false))),
        ("runner-offline", runs(Some((false, false)))),
        ("registration-gone", runs(None)),
        ("connecting", change(runs(Some((false, false))), |all| all.now = after(70))),
        (
            "runner-version-refused",
            change(runs(Some((false, false))), |all| {
                let text = "Runner version v2.300.0 is deprecated and cannot receive messages.".to_owned();
                all.output = Seen::Known(vec![OutputLine { at: after(65), text }]);
            }),
        ),
        // What nobody can tell.
        ("no-such-job", silent(|all| (all.job, all.delivery) = (Seen::Known(None), Seen::default()))),
        ("unknown", Sources { now: after(0), ..Sources::default() }),
    ];
    for (kind, sources) in cases {
        let found = cause::find(&sources);
        assert_eq!(found.kind, kind, "{found:#?}");
        assert!(!found.todo.is_empty() && !found.because.is_empty(), "{found:?}");
    }
}

#[test]
fn a_later_step_overrides_an_earlier_cause() {
    let mut sources = deferred("no capacity: RESOURCE:CPU");
    let Seen::Known(lines) = &mut sources.lines else { unreachable!("they are known") };
    lines.push(line(590, "worker", "runner launched", &json!({})));
    assert_eq!(cause::find(&sources).kind, "starting");
    let mut sources = stopped("SpotInterruption", "", None);
    let Seen::Known(lines) = &mut sources.lines else { unreachable!("they are known") };
    lines.push(line(510, "worker", "job deferred", &json!({ "error": "no capacity: RESOURCE:CPU" })));
    assert_eq!(cause::find(&sources).kind, "no-capacity");
    let mut sources = ignored("no runner class has all labels of [gpu]");
    let Seen::Known(lines) = &mut sources.lines else { unreachable!("they are known") };
    lines.push(line(300, "webhook", "job queued", &json!({})));
    assert_eq!(cause::find(&sources).kind, "worker-late");
}

#[test]
fn since_when_is_told() {
    let cause = cause::find(&deferred("no capacity: RESOURCE:CPU"));
    assert!(cause.because.ends_with("so for 9 minutes"), "{}", cause.because);
}

#[test]
fn who_has_the_runners_is_told_where_there_are_none_left() {
    let sources = change(deferred("the fleet has the 50 runners that it may have"), |all| {
        let shares = [("o/a", 3), ("o/b", 40), ("o/c", 4), ("o/d", 3)];
        all.shares = Seen::Known(shares.map(|(name, runners)| (name.to_owned(), runners)).into());
    });
    let because = cause::find(&sources).because;
    assert!(because.contains("of them 40 for o/b, 4 for o/c, 3 for o/a, 3 for others"), "{because}");
}

#[test]
fn the_job_that_its_runner_did_is_named() {
    let sources = with([line(590, "cleaner", "job launched again", &json!({ "swapped.job.id": 7 }))]);
    assert!(cause::find(&sources).because.starts_with("its runner did job 7"), "{:?}", cause::find(&sources));
}

fn shown(sources: &Sources, width: usize) -> String {
    let entries = timeline::merge(sources);
    let cause: Cause = cause::find(sources);
    show::text(sources, &entries, &cause, width)
}

#[test]
fn the_answer_on_a_wide_terminal() {
    insta::assert_snapshot!(shown(&deferred("no capacity: Capacity is unavailable at this time"), 100));
}

#[test]
fn the_answer_on_a_narrow_terminal() {
    let sources = change(
        stopped("TaskFailedToStart", "CannotPullContainerError: dial tcp 1.2.3.4:443: i/o timeout", None),
        |all| {
            all.output = Seen::Unknown("logs:StartQuery: AccessDenied".to_owned());
        },
    );
    insta::assert_snapshot!(shown(&sources, 48));
}

#[test]
fn the_answer_for_programs() {
    let sources = ignored("no runner class has all labels of [gpu]");
    let json = show::json(&sources, &timeline::merge(&sources), &cause::find(&sources));
    insta::assert_snapshot!(format!("{json:#}"));
}

#[test]
fn a_bundle_can_be_read_again() {
    let sources = runs(Some((true, true)));
    let text = serde_json::to_string(&sources).unwrap();
    let again: Sources = serde_json::from_str(&text).unwrap();
    assert_eq!(cause::find(&again), cause::find(&sources));
}
