//! What a commit hears of its job, and when.

use std::time::Duration;

use jitgate_tests::aws::answers;
use jitgate_tests::github::{JobSpec, ORGANIZATION};
use jitgate_tests::wire::Fault;
use jitgate_tests::world::{World, runner_classes};
use serde_json::json;

use crate::{
    FINAL, LONG, OPEN, UPDATE, calls, end, exhaust, grant, only_report, queue, reporting, reporting_with, summary,
    supply, title, work_for,
};

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
