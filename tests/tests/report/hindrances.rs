//! Repeats, faults, missing permissions and limits: a report never holds a job up, and is never written twice.

use std::time::Duration;

use jitgate_tests::github;
use jitgate_tests::github::JobSpec;
use jitgate_tests::logs::logged;
use jitgate_tests::wire::Fault;
use jitgate_tests::world::World;

use crate::{
    CREATE, FINAL, LONG, LOOK, OPEN, UPDATE, calls, end, exhaust, grant, only_report, queue, reporting, supply, title,
    work_for,
};

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
