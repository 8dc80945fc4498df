//! A delivery fails or is never sent: it is delivered again, or the cleaner finds the job at GitHub.

use jitgate::clock::Clock;
use jitgate_tests::aws::ecs;
use jitgate_tests::github::{HookTarget, JobSpec, JobStatus, ORGANIZATION, Scope, Secondary};
use jitgate_tests::world::{START, World};

use crate::{MINUTE, PASS, logged, send};

#[tokio::test]
async fn failed_deliveries_are_repeated_until_they_succeed() {
    let mut world = World::new().await;
    world.github.add_hook(HookTarget::App, "https://webhook.example");
    let lost = world.queue_job();
    assert_eq!(send(&world, false).await, 1);
    let heard = world.queue_job();
    assert_eq!(send(&world, true).await, 1);
    world.clean().await.unwrap();
    assert_eq!(world.api_calls("redeliver"), 0, "too early");
    world.clock.advance(MINUTE * 2);
    // The webhook is still down.
    world.clean().await.unwrap();
    assert_eq!((world.api_calls("redeliver"), send(&world, false).await), (1, 1));
    world.clock.advance(PASS);
    world.clean().await.unwrap();
    assert_eq!((world.api_calls("redeliver"), send(&world, true).await), (2, 1));
    for _ in 0..5 {
        world.clock.advance(PASS);
        world.clean().await.unwrap();
    }
    assert_eq!(world.api_calls("redeliver"), 2, "a delivery that succeeded is not repeated");
    world.work_until_quiet().await;
    send(&world, true).await;
    world.assert_done(&[lost, heard]);
}

/// This many deliveries failed a while ago.
async fn fail_deliveries(world: &World, count: usize) {
    world.github.add_hook(HookTarget::App, "https://webhook.example");
    for _ in 0..count {
        world.queue_job();
    }
    assert_eq!(send(world, false).await, count);
    world.clock.advance(MINUTE * 2);
}

#[tokio::test]
async fn once_github_limits_redeliveries_the_rest_is_left_to_the_next_pass() {
    let world = World::new().await;
    fail_deliveries(&world, 30).await;
    world.github.limit(|limits| limits.secondary = Some(Secondary { points: 60, ..Secondary::default() }));
    let (outcome, lines) = logged(world.clean()).await;
    outcome.unwrap();
    assert!((1..30).contains(&world.api_calls("redeliver")), "{}", world.api_calls("redeliver"));
    assert_eq!(world.github.meters()["app 123456"].refused, 1);
    assert!(!lines.contains(r#""level":"ERROR""#), "{lines}");
    let mut repeated = send(&world, true).await;
    for _ in 0..5 {
        world.clock.advance(PASS);
        let (outcome, lines) = logged(world.clean()).await;
        assert!(outcome.is_ok(), "{lines}");
        repeated += send(&world, true).await;
    }
    assert_eq!(repeated, 30);
}

#[tokio::test]
async fn a_pass_repeats_a_hundred_deliveries_at_most() {
    let world = World::new().await;
    fail_deliveries(&world, 130).await;
    world.clean().await.unwrap();
    assert_eq!((world.api_calls("redeliver"), send(&world, true).await), (100, 100));
    world.clock.advance(PASS);
    world.clean().await.unwrap();
    assert_eq!((world.api_calls("redeliver"), send(&world, true).await), (130, 30));
}

#[tokio::test]
async fn a_thousand_failed_deliveries_are_all_repeated_while_others_go_on() {
    const FAILED: usize = 1000;
    const OTHERS_A_MINUTE: usize = 50;
    let world = World::unchecked_on(Clock::manual(START), &[]).await;
    world.github.add_hook(HookTarget::App, "https://webhook.example");
    let queue = |jobs: usize| (0..jobs).for_each(|_| _ = world.github.queue_job(JobSpec::labels(["windows"])));
    // The webhook is down for 20 minutes.
    for _ in 0..20 {
        queue(FAILED / 20);
        send(&world, false).await;
        world.clock.advance(MINUTE);
    }
    let (mut passes, mut most_pages) = (0, 0);
    while world.api_calls("redeliver") < FAILED {
        let before = world.api_calls("list-deliveries");
        let (outcome, lines) = logged(world.clean()).await;
        outcome.expect("a pass");
        assert!(!lines.contains("further back"), "{lines}");
        most_pages = most_pages.max(world.api_calls("list-deliveries") - before);
        passes += 1;
        assert!(passes <= 12, "{} repeated after {passes} passes", world.api_calls("redeliver"));
        for _ in 0..5 {
            queue(OTHERS_A_MINUTE);
            send(&world, true).await;
            world.clock.advance(MINUTE);
        }
    }
    assert!((10..=60).contains(&most_pages), "{most_pages} pages of the log in a pass");
    let jobs = world.github.jobs();
    let arrived = jobs.iter().filter(|job| {
        let (id, _) = world.github.last_delivery_of(job.id).expect("a delivery");
        world.github.outcome(id).is_some_and(|outcome| outcome.succeeded())
    });
    assert_eq!(arrived.count(), jobs.len());
    for _ in 0..3 {
        world.clock.advance(PASS);
        world.clean().await.expect("a pass");
    }
    assert_eq!(world.api_calls("redeliver"), FAILED, "none is repeated twice");
}

#[tokio::test]
async fn a_delivery_that_never_succeeds_is_repeated_a_few_times_only() {
    let world = World::new().await;
    world.github.add_hook(HookTarget::App, "https://webhook.example");
    world.queue_job();
    send(&world, false).await;
    for _ in 0..6 * 10 {
        world.clock.advance(MINUTE * 24);
        world.clean().await.unwrap();
        send(&world, false).await;
    }
    assert_eq!(world.api_calls("redeliver"), 5);
}

#[tokio::test]
async fn an_organisations_hook_is_covered_with_a_token_that_has_the_scope() {
    const URL: &str = "https://webhook.example/";
    let world = World::with(&[("WEBHOOK_URL", URL)]).await;
    world.use_personal_token(&["admin:org", "admin:org_hook", "repo"]);
    world.github.add_hook(HookTarget::Scope(Scope::org(ORGANIZATION)), URL.trim_end_matches('/'));
    world.github.add_hook(HookTarget::Scope(Scope::org(ORGANIZATION)), "https://somebody-elses.example");
    world.queue_job();
    assert_eq!(send(&world, false).await, 2);
    world.clock.advance(MINUTE * 2);
    world.clean().await.unwrap();
    assert_eq!(world.api_calls("redeliver"), 1, "not the foreign hook's: {:?}", world.api.calls.operations());
    assert_eq!(send(&world, true).await, 1);
    world.clock.advance(PASS);
    world.clean().await.unwrap();
    assert_eq!(world.api_calls("redeliver"), 1);
}

#[tokio::test]
async fn a_job_that_no_delivery_announced_is_found_in_the_repositories_of_recent_tasks() {
    let mut world = World::new().await;
    let told = world.queue_and_deliver().await;
    world.work().await;
    world.pass(PASS);
    let untold = world.queue_job();
    let not_ours = world.github.queue_job(JobSpec::labels(["windows"]));
    world.pass(MINUTE * 4);
    world.clean().await.unwrap();
    assert_eq!(world.waiting(), 0, "its delivery may still come");
    world.pass(MINUTE * 2);
    world.clean().await.unwrap();
    assert_eq!(world.waiting(), 1);
    world.pass(MINUTE);
    world.clean().await.unwrap();
    world.work_until_quiet().await;
    world.assert_done(&[told, untold]);
    assert_eq!(world.github.job(not_ours).unwrap().status, JobStatus::Queued);
}

#[tokio::test]
async fn a_job_that_no_delivery_announced_is_found_where_the_setting_says() {
    for (setting, is_found) in
        [("", false), ("octo-org/octo-repo", true), ("octo-org/o*", true), ("*/*", true), ("octo-org/x*", false)]
    {
        let mut world = World::with(&[("RECONCILE_REPOSITORIES", setting)]).await;
        // Another job of the run is already in progress, so the run is not `queued` any more.
        // Nobody pushed to the repository.
        let first = world.github.queue_job(JobSpec::labels(["fargate"]).on_event("schedule"));
        let run = world.github.job(first).unwrap().run_id;
        let runner = world.github.orphan(&Scope::org(ORGANIZATION), "somebody-elses", &["fargate"], true);
        world.github.connect(runner).unwrap();
        assert!(world.github.take_job(runner).unwrap().is_some());
        let untold = world.github.queue_job(JobSpec::labels(["fargate"]).on_event("schedule").of_run(run));
        world.stand_still(MINUTE * 6);
        world.clean().await.unwrap();
        world.work_until_quiet().await;
        let status = world.github.job(untold).unwrap().status;
        assert_eq!(status == JobStatus::Completed, is_found, "{setting:?}: {status:?}");
    }
}

#[tokio::test]
async fn a_job_that_no_delivery_announced_is_found_in_a_quiet_repository_that_was_pushed_to() {
    for scope in ["org", "repo"] {
        let mut world = World::with(&[("RUNNER_SCOPE", scope)]).await;
        for number in 0..30 {
            world.github.add_repository(ORGANIZATION, &format!("quiet-{number:02}"));
        }
        let untold = world.github.queue_job(JobSpec::labels(["fargate"]).in_repository(ORGANIZATION, "quiet-17"));
        world.stand_still(MINUTE * 6);
        let (outcome, lines) = logged(world.clean()).await;
        outcome.unwrap_or_else(|error| panic!("{error}: {lines}"));
        assert_eq!(world.api_calls("list-runs"), 2, "nobody pushed to the others");
        world.work_until_quiet().await;
        world.assert_done(&[untold]);
    }
}

#[tokio::test]
async fn jobs_that_wait_in_our_own_queue_are_not_sent_again() {
    let mut world = World::with(&[("RECONCILE_REPOSITORIES", "octo-org/octo-repo")]).await;
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::exhausted());
    let mut jobs = Vec::new();
    for _ in 0..10 {
        jobs.push(world.queue_and_deliver().await);
    }
    for _ in 0..12 {
        world.work().await;
        world.clean().await.unwrap();
        world.pass(PASS);
    }
    assert_eq!(world.waiting(), 10);
    // No delivery announces this one: one job more waits than there are messages on the queue.
    jobs.push(world.queue_job());
    world.pass(MINUTE * 6);
    world.clean().await.unwrap();
    world.aws.ecs.set_limit(ecs::Provider::OnDemand, ecs::Limit::default());
    world.work_until_quiet().await;
    world.assert_done(&jobs);
}

#[tokio::test]
async fn looking_for_jobs_costs_a_bounded_number_of_calls() {
    let world = World::with(&[("RECONCILE_REPOSITORIES", "octo-org/*")]).await;
    world.github.limit(|limits| limits.secondary = None);
    for number in 0..300 {
        world.github.queue_job(JobSpec::labels(["windows"]).in_repository(ORGANIZATION, &format!("r{number}")));
    }
    world.stand_still(MINUTE * 6);
    world.clean().await.unwrap();
    assert!(
        world.api_calls("list-runs") + world.api_calls("list-run-jobs") <= 200,
        "{:?}",
        world.api_calls("list-runs")
    );
    let first: Vec<_> = world.api.calls.all().into_iter().filter(|call| call.operation == "list-runs").collect();
    world.api.calls.clear();
    world.stand_still(PASS);
    world.clean().await.unwrap();
    let second: Vec<_> = world.api.calls.all().into_iter().filter(|call| call.operation == "list-runs").collect();
    assert_ne!(first[0].target, second[0].target, "each pass begins with another repository");
}
