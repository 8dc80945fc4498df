//! Stories of `ReportToGitHub`: a job that waits, is refused or is given up says so on its commit, and nothing else changes.

use std::time::Duration;

use jitgate::job::JobId;
use jitgate_tests::aws::{answers, ecs};
use jitgate_tests::github::{self, CheckRun, INSTALLATION, JobSpec, ORGANIZATION, PERMISSIONS};
use jitgate_tests::logs::logged;
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{World, runner_classes};
use serde_json::{Value, json};

const CREATE: &str = "create-check-run";
const UPDATE: &str = "update-check-run";
const LOOK: &str = "list-check-runs";

/// A deployment that reports, whose App may.
async fn reporting() -> World {
    reporting_with(&runner_classes()).await
}

async fn reporting_with(classes: &Value) -> World {
    let world = World::with(&[("REPORT_TO_GITHUB", "checks"), ("RUNNER_CLASSES", &classes.to_string())]).await;
    grant(&world);
    world
}

fn grant(world: &World) {
    world.github.grant(INSTALLATION, &[&PERMISSIONS[..], &[("checks", "write")]].concat());
}

fn calls(world: &World) -> [usize; 3] {
    [LOOK, CREATE, UPDATE].map(|operation| world.api_calls(operation))
}

fn only_report(world: &World) -> CheckRun {
    let all = world.github.check_runs();
    let [report] = &all[..] else { panic!("one check run: {all:#?}") };
    report.clone()
}

fn title(report: &CheckRun) -> &str {
    report.title.as_deref().unwrap_or_default()
}

fn summary(report: &CheckRun) -> &str {
    report.summary.as_deref().unwrap_or_default()
}

fn end(report: &CheckRun) -> (&str, Option<&str>) {
    (&report.status, report.conclusion.as_deref())
}

const OPEN: (&str, Option<&str>) = ("queued", None);
const FINAL: (&str, Option<&str>) = ("completed", Some("neutral"));

/// Minutes after which a job that waits has told its commit: ten, and the longest pause between two tries.
const LONG: u32 = 17;

/// The worker works, minute by minute, while time passes.
async fn work_for(world: &mut World, minutes: u32) {
    for _ in 0..minutes {
        world.work().await;
        world.pass(Duration::from_mins(1));
    }
    world.work().await;
}

fn exhaust(world: &World) {
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::exhausted());
}

fn supply(world: &World) {
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::tasks(100));
}

async fn queue(world: &World, spec: JobSpec) -> JobId {
    let job = world.github.queue_job(spec);
    world.deliver_queued(job).await;
    job
}

#[tokio::test]
async fn a_job_that_is_launched_in_time_costs_no_call() {
    let mut world = reporting().await;
    let job = world.queue_and_deliver().await;
    exhaust(&world);
    work_for(&mut world, 5).await;
    supply(&world);
    world.work_until_quiet().await;
    world.assert_done(&[job]);
    assert_eq!(calls(&world), [0, 0, 0]);
    assert_eq!(world.github.tokens_made(), 1, "no token for check runs either");
}

#[tokio::test]
async fn after_ten_minutes_a_commit_hears_why_and_once_more_when_the_runner_starts() {
    let mut world = reporting().await;
    let job = world.queue_and_deliver().await;
    exhaust(&world);
    work_for(&mut world, 9).await;
    assert_eq!(calls(&world), [0, 0, 0]);
    work_for(&mut world, LONG - 9).await;
    let report = only_report(&world);
    assert_eq!((report.name.as_str(), end(&report)), ("jitgate: build", OPEN));
    assert_eq!(title(&report), "No capacity since 2026-11-02 09:00 UTC; jobs wait up to 24 h");
    assert_eq!(report.external_id, Some(format!("jit-{job}")));
    assert!(report.details_url.is_some_and(|url| url.ends_with(&format!("/job/{job}"))));
    insta::assert_snapshot!(report.summary.unwrap_or_default());
    work_for(&mut world, 20).await;
    assert_eq!(calls(&world), [1, 1, 0], "the same reason is told once");
    supply(&world);
    world.work_until_quiet().await;
    world.assert_done(&[job]);
    let report = only_report(&world);
    assert_eq!((title(&report), end(&report)), ("A runner was started for it", FINAL));
    assert_eq!(calls(&world), [1, 1, 1]);
}

#[tokio::test]
async fn another_reason_is_told_too_but_not_more_often_than_every_five_minutes() {
    let mut world = reporting().await;
    world.queue_and_deliver().await;
    exhaust(&world);
    work_for(&mut world, LONG).await;
    assert_eq!(calls(&world), [1, 1, 0]);
    let denied = answers::error(400, "AccessDeniedException", "arn:aws:iam::123456789012:role/worker may not");
    world.aws.faults().script_times("RunTask", Fault::Refuse(denied), 1000);
    work_for(&mut world, 15).await;
    let report = only_report(&world);
    assert!(title(&report).starts_with("Fleet out of order since 2026-11-02 09:"), "{report:#?}");
    assert_eq!((end(&report), calls(&world)), (OPEN, [1, 1, 1]));
    assert!(!format!("{report:?}").contains("123456789012"), "everybody reads it");
    world.aws.faults().clear();
    // The two reasons alternate.
    for _ in 0..30 {
        world.aws.faults().script_times("RunTask", Fault::Refuse(answers::throttling()), 6);
        work_for(&mut world, 1).await;
        world.aws.faults().clear();
        work_for(&mut world, 1).await;
    }
    assert!(world.api_calls(UPDATE) <= 1 + 60 / 5, "{:?}", calls(&world));
}

#[tokio::test]
async fn labels_that_name_a_class_are_answered_on_the_commit_and_those_of_other_fleets_are_not() {
    let mut classes = runner_classes();
    classes[0]["labels"] = json!(["self-hosted", "fargate", "linux"]);
    classes[0]["sizes"] = json!({ "cpu": 4 });
    for (labels, says) in [
        (
            &["fargate", "riscv"][..],
            Some("Not taken: no class has all of its labels; nearest: default, which lacks riscv"),
        ),
        (&["fargate", "gpu"], Some("Not taken: class default: gpu is not available on Fargate")),
        (
            &["fargate", "cpu=16"],
            Some("Not taken: class default: cpu=16 (16 vCPU and 32 GiB on Fargate) is too large: 4 vCPU at most"),
        ),
        (&["self-hosted", "linux", "riscv"], None),
        (&["self-hosted", "gpu"], None),
        (&["ubuntu-latest"], None),
        (&[], None),
    ] {
        let world = reporting_with(&classes).await;
        let job = world.github.queue_job(JobSpec::labels(labels.iter().copied()));
        assert_eq!(world.deliver_queued(job).await.status_code, 200, "{labels:?}");
        assert_eq!(world.api.calls.operations(), Vec::<String>::new(), "the webhook calls nobody");
        assert_eq!(world.waiting(), usize::from(says.is_some()), "{labels:?}");
        world.work().await;
        assert_eq!(world.waiting(), 0);
        match says {
            Some(says) => {
                let report = only_report(&world);
                assert!(title(&report).starts_with(says) && end(&report) == FINAL, "{report:#?}");
            }
            None => assert_eq!(calls(&world), [0, 0, 0], "{labels:?}"),
        }
        assert_eq!((world.live_tasks(), world.dead_letters().len()), (0, 0));
        // The job's end asks for nothing, unless it has no labels: some ends have none.
        world.github.cancel_job(job);
        world.deliver(&world.github.event(job, "completed")).await;
        assert_eq!(world.waiting(), usize::from(labels.is_empty()), "{labels:?}");
    }
}

#[tokio::test]
async fn code_that_is_not_taken_hears_so_on_its_commit() {
    for (takes_public, says) in [
        (false, "Not taken: the repository is public, and class default does not take jobs of public repositories"),
        (true, "Not taken: its run is of a fork, and class default does not take pull requests from forks"),
    ] {
        let mut classes = runner_classes();
        classes[0]["public_repositories"] = json!(takes_public);
        let world = reporting_with(&classes).await;
        world.github.publish(ORGANIZATION, "octo-repo");
        queue(&world, JobSpec::labels(["fargate"]).from_fork_of("mallory")).await;
        world.work().await;
        let report = only_report(&world);
        assert!(title(&report).starts_with(says), "{report:#?}");
        assert_eq!((end(&report), world.live_tasks(), world.waiting()), (FINAL, 0, 0));
    }
}

#[tokio::test]
async fn an_account_that_is_not_on_the_list_hears_nothing() {
    let world = World::with(&[("REPORT_TO_GITHUB", "checks"), ("ALLOWED_INSTALLATIONS", "somebody-else")]).await;
    grant(&world);
    queue(&world, JobSpec::labels(["fargate", "riscv"])).await;
    queue(&world, JobSpec::labels(["fargate"])).await;
    assert_eq!((world.waiting(), world.api.calls.operations()), (0, Vec::new()));
}

#[tokio::test]
async fn a_job_that_is_given_up_says_so() {
    let mut world = reporting().await;
    world.queue_and_deliver().await;
    let mut classes = runner_classes();
    classes[0]["labels"] = json!(["fargate-2"]);
    world.set("RUNNER_CLASSES", &classes.to_string());
    let worker = world.new_worker().unwrap();
    world.work_one_batch(&worker).await;
    assert_eq!(world.dead_letters().len(), 1);
    let report = only_report(&world);
    assert_eq!(title(&report), "Given up: no runner class has all labels of [fargate]");

    let world = reporting().await;
    world.queue_and_deliver().await;
    let unusable = answers::invalid_parameter("No Fargate configuration exists for account 123456789012");
    world.aws.faults().script_times("RunTask", Fault::Refuse(unusable), 100);
    world.work().await;
    assert_eq!(world.dead_letters().len(), 1);
    let report = only_report(&world);
    assert!(title(&report).starts_with("Given up: it cannot be launched"), "{report:#?}");
    assert!(!format!("{report:?}").contains("123456789012"), "{report:#?}");
    assert_eq!(end(&report), FINAL);
}

#[tokio::test]
async fn a_job_that_waits_as_long_as_github_lets_it_says_so_in_the_end() {
    let world = reporting().await;
    world.queue_and_deliver().await;
    exhaust(&world);
    for _ in 0..25 * 30 {
        world.work().await;
        world.clock.advance(Duration::from_mins(2));
    }
    assert_eq!((world.waiting(), world.dead_letters().len()), (0, 1));
    let report = only_report(&world);
    assert_eq!((title(&report), end(&report)), ("Waited too long", FINAL));
    assert!(calls(&world).iter().sum::<usize>() <= 4, "{:?}", calls(&world));
}

#[tokio::test]
async fn a_job_that_is_cancelled_while_it_waits_ends_its_report() {
    let mut world = reporting().await;
    let job = world.queue_and_deliver().await;
    exhaust(&world);
    work_for(&mut world, LONG).await;
    assert_eq!(end(&only_report(&world)), OPEN);
    world.github.cancel_job(job);
    world.deliver(&world.github.event(job, "completed")).await;
    work_for(&mut world, 10).await;
    let report = only_report(&world);
    assert_eq!((title(&report), end(&report)), ("Waits no longer", FINAL));
    assert_eq!(world.waiting(), 0);
}

#[tokio::test]
async fn a_report_whose_job_s_message_was_lost_is_ended_by_whoever_launches_the_job() {
    let mut world = reporting().await;
    let job = world.queue_and_deliver().await;
    exhaust(&world);
    work_for(&mut world, LONG).await;
    world.aws.sqs.purge(jitgate_tests::world::JOB_QUEUE);
    supply(&world);
    world.clean().await.unwrap();
    assert_eq!(world.waiting(), 1, "the cleaner finds the job");
    world.work_until_quiet().await;
    world.assert_done(&[job]);
    let report = only_report(&world);
    assert_eq!((title(&report), end(&report)), ("A runner was started for it", FINAL));
}

#[tokio::test]
async fn runners_that_fail_to_start_are_told_in_one_check_run() {
    let mut world = reporting().await;
    world.queue_and_deliver().await;
    world.aws.ecs.fail_starts(Some("CannotPullContainerError: 123456789012.dkr.ecr.eu-west-1 denied"));
    for _ in 0..25 {
        world.work().await;
        world.pass(Duration::from_mins(1));
        world.heal().await.unwrap();
    }
    let report = only_report(&world);
    assert!(
        title(&report).contains("A runner was started for it; ") || title(&report).contains("failing to start"),
        "{report:#?}"
    );
    assert!(!format!("{report:?}").contains("123456789012"), "{report:#?}");
    assert!(report.writes <= 8, "{report:#?}");
}

#[tokio::test]
async fn repeated_deliveries_and_messages_write_one_check_run() {
    let world = reporting().await;
    let job = world.github.queue_job(JobSpec::labels(["fargate", "riscv"]));
    for _ in 0..3 {
        world.deliver_queued(job).await;
        world.work().await;
    }
    assert_eq!((only_report(&world).writes, calls(&world)), (1, [3, 1, 0]));

    let mut world = reporting().await;
    let job = world.queue_and_deliver().await;
    world.deliver_queued(job).await;
    exhaust(&world);
    work_for(&mut world, LONG).await;
    assert_eq!(only_report(&world).writes, 1, "two messages of one job");
    supply(&world);
    world.work_until_quiet().await;
    world.assert_done(&[job]);
    assert_eq!(end(&only_report(&world)), FINAL);
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_no_second_check_run() {
    let mut world = reporting().await;
    let job = world.queue_and_deliver().await;
    exhaust(&world);
    world.api.faults.script(CREATE, Fault::LoseAnswer);
    work_for(&mut world, 20).await;
    assert_eq!(only_report(&world).writes, 1);
    supply(&world);
    world.work_until_quiet().await;
    world.assert_done(&[job]);
    assert_eq!(end(&only_report(&world)), FINAL);
}

#[tokio::test]
async fn an_app_without_the_permission_launches_as_before_and_says_so_in_one_line() {
    let mut world = World::with(&[("REPORT_TO_GITHUB", "checks")]).await;
    let mut jobs = Vec::new();
    for _ in 0..5 {
        jobs.push(world.queue_and_deliver().await);
    }
    exhaust(&world);
    let ((), lines) = logged(work_for(&mut world, 40)).await;
    let failed: Vec<_> = lines.lines().filter(|line| line.contains("job not reported")).collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert!(failed[0].contains("checks") && failed[0].contains("422"), "{failed:#?}");
    assert_eq!(calls(&world), [0, 0, 0]);
    supply(&world);
    world.work_until_quiet().await;
    world.assert_done(&jobs);
}

#[tokio::test]
async fn a_github_that_fails_for_reports_holds_no_job_up() {
    const ALL: [&str; 3] = [LOOK, CREATE, UPDATE];
    for (operations, fault) in [
        (&ALL[..], Fault::Refuse(github::answers::server_error())),
        (&ALL, Fault::Refuse(github::answers::forbidden())),
        (&ALL, Fault::Refuse(github::answers::not_found())),
        (&[CREATE], Fault::Refuse(github::answers::error(422, "No commit found for SHA"))),
        (&ALL, Fault::Drop),
    ] {
        let mut world = reporting().await;
        let job = world.queue_and_deliver().await;
        exhaust(&world);
        let answer = fault.clone();
        world.api.faults.choose(Box::new(move |called| operations.contains(&called).then(|| answer.clone())));
        work_for(&mut world, LONG).await;
        let tried: usize = calls(&world).iter().sum();
        assert!((1..=6).contains(&tried), "{tried} calls after {fault:?}");
        supply(&world);
        world.work_until_quiet().await;
        world.pass(Duration::from_mins(90));
        work_for(&mut world, 90).await;
        world.assert_done(&[job]);
        assert!(world.github.check_runs().is_empty());
    }
}

#[tokio::test]
async fn a_report_that_takes_too_long_is_left_for_later() {
    let mut world = reporting().await;
    let job = world.queue_and_deliver().await;
    exhaust(&world);
    world.api.faults.script(LOOK, Fault::Delay(Duration::from_secs(30)));
    let ((), lines) = logged(work_for(&mut world, LONG)).await;
    assert_eq!(lines.matches("none within 3 s").count(), 1, "{lines}");
    work_for(&mut world, 7).await;
    assert_eq!(end(&only_report(&world)), OPEN);
    supply(&world);
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}

#[tokio::test]
async fn a_personal_access_token_cannot_report_and_launches_as_before() {
    let mut world = reporting().await;
    world.use_personal_token(&["repo", "admin:org"]);
    let worker = world.new_worker().unwrap();
    let job = world.queue_and_deliver().await;
    exhaust(&world);
    for _ in 0..20 {
        world.source.drain(async |event| jitgate_tests::world::invoke(&worker, event).await).await;
        world.pass(Duration::from_mins(1));
    }
    assert_eq!(calls(&world), [1, 1, 0], "asked once, refused for an hour");
    assert!(world.github.check_runs().is_empty());
    supply(&world);
    world.work_until_quiet().await;
    world.assert_done(&[job]);
}

#[tokio::test]
async fn what_strangers_call_their_jobs_and_labels_is_text_and_nothing_else() {
    let name =
        "`@octo-org/all` ](https://evil.example)\n## Urgent\u{202e}\u{0} <img src=x>".to_owned() + &"ü`".repeat(400);
    let mut world = reporting().await;
    queue(&world, JobSpec::labels(["fargate"]).named(&name)).await;
    exhaust(&world);
    work_for(&mut world, LONG).await;
    let report = only_report(&world);
    assert!(report.name.chars().count() <= 109, "{report:#?}");
    assert!(report.name.chars().all(|letter| !letter.is_control() && letter != '\u{202e}'), "{report:#?}");
    insta::assert_snapshot!("a_hostile_name", summary(&report));

    let world = reporting().await;
    queue(&world, JobSpec::labels(["fargate", "`x` @octo-org/all\n# y"])).await;
    world.work().await;
    insta::assert_snapshot!("a_hostile_label", summary(&only_report(&world)));
}

#[tokio::test]
async fn reports_leave_the_calls_to_launches() {
    let mut world = reporting().await;
    let mut jobs = Vec::new();
    for _ in 0..60 {
        jobs.push(world.queue_and_deliver().await);
    }
    exhaust(&world);
    work_for(&mut world, 11).await;
    let reports = world.github.check_runs().len();
    assert!((1..=36).contains(&reports), "{reports} reports in the first two minutes: twelve a minute");
    work_for(&mut world, 90).await;
    assert_eq!(world.github.check_runs().len(), 60);
    // GitHub's minute belongs to another client.
    supply(&world);
    for _ in 0..100 {
        world.github.write_elsewhere("installation 77");
    }
    // The cleaner's passes find the jobs whose runners took others.
    for _ in 0..12 {
        work_for(&mut world, 5).await;
        world.clean().await.unwrap();
    }
    world.assert_done(&jobs);
    let open: Vec<_> = world.github.check_runs().into_iter().filter(|report| end(report) != FINAL).collect();
    assert!(open.is_empty(), "{open:#?}");
    assert_eq!(world.github.meters()["installation 77"].refused, 0, "GitHub never has to refuse");
}

#[tokio::test]
async fn without_the_parameter_nothing_is_carried_and_nobody_is_told() {
    let mut world = World::new().await;
    grant(&world);
    queue(&world, JobSpec::labels(["fargate", "riscv"])).await;
    assert_eq!(world.waiting(), 0);
    world.queue_and_deliver().await;
    let body = world.aws.sqs.messages(jitgate_tests::world::JOB_QUEUE)[0].body.clone();
    assert!(!body.contains("commit") && !body.contains("build"), "{body}");
    exhaust(&world);
    work_for(&mut world, 15).await;
    assert_eq!(calls(&world), [0, 0, 0]);
    let body = world.aws.sqs.messages(jitgate_tests::world::JOB_QUEUE)[0].body.clone();
    assert!(!body.contains("wait"), "{body}");
}
